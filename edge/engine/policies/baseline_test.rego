package proctor.policy_test

import data.proctor.policy
import rego.v1

request(verb) := {
	"phase": "request",
	"time": "2026-11-23T21:00:00Z",
	"tool": {"server": "crm", "name": "contact", "verb": verb, "roles": {}, "labels": []},
	"args": {},
}

test_reading_is_allowed if {
	policy.decision.effect == "allow" with input as request("read")
}

test_no_verb_is_refused if {
	policy.decision.effect == "deny" with input as {"phase": "request", "tool": {}, "args": {}}
}

test_an_unknown_verb_is_escalated if {
	policy.decision.effect == "escalate" with input as request("levitate")
}

test_another_phase_is_refused if {
	policy.decision.effect == "deny" with input as object.union(request("read"), {"phase": "later"})
}

all_settings := {"bytes", "destinations", "destructive", "financial", "hours", "mass", "memory", "origins", "redact", "rows", "sequence"}

test_settings_of_another_kind_are_malformed if {
	every name in all_settings {
		every setting in ["on", 5, true, null, ["x"]] {
			policy.decision.reasons == {"setting_malformed"} with input as request("read") with data.settings as {name: setting}
		}
	}
}

test_settings_may_be_switched_off if {
	every name in all_settings {
		policy.decision.effect == "allow" with input as request("read") with data.settings as {name: false}
	}
}

test_members_that_no_setting_has_are_malformed if {
	every setting in [
		{"bytes": {"max": 5, "most": 5}},
		{"destinations": {"aproved": ["@acme.example"]}},
		{"destructive": {"allowed": []}},
		{"hours": {"from": 8, "to": 18, "days": ["Monday"], "verbs": ["financial"], "utc_offset": 1}},
		{"mass": {"max_items": 5, "verb": ["write"]}},
		{"memory": {"require": []}},
		{"origins": {"verbs": ["outbound"], "roles": ["target"], "effects": "escalate"}},
		{"rows": {"maximum": 5}},
		{"sequence": {"untrusted_then_outbond": true}},
	] {
		policy.decision.reasons == {"setting_malformed"} with input as request("read") with data.settings as setting
	}
	policy.decision.reasons == {"setting_malformed"} with input as payment({"amount": 1})
		with data.settings as {"financial": {"max_amount": 100, "option": []}}
}

test_verbs_that_no_tool_has_are_malformed if {
	every setting in [
		{"hours": {"from": 8, "to": 18, "days": ["Monday"], "verbs": ["Financial"]}},
		{"mass": {"max_items": 5, "verbs": ["writes"]}},
		{"origins": {"verbs": ["outbound", "send"], "roles": ["target"]}},
		{"memory": {"required": [{"verbs": ["pay"], "roles": ["target"], "trust": "verified"}]}},
	] {
		policy.decision.reasons == {"setting_malformed"} with input as request("read") with data.settings as setting
	}
}

test_settings_of_other_modules_are_theirs if {
	policy.decision.effect == "allow" with input as request("read") with data.settings as {"labels": "any", "threshold": 5}
}
