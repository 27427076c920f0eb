package proctor.policy_test

import data.proctor.policy
import rego.v1

paying(origins) := {
	"phase": "request",
	"time": "2026-11-23T21:00:00Z",
	"tool": {"server": "bank", "name": "send_money", "verb": "financial", "roles": {"/to": "target", "/amount": "amount"}, "labels": []},
	"args": {"to": ["x"], "amount": 5},
	"origins": {"/to/0": origins, "/amount": []},
}

by_verb := {"memory": {"required": [{"verbs": ["financial"], "roles": ["target"], "trust": "verified"}]}}

by_tool := {"memory": {"required": [{"tools": ["bank/send_money"], "roles": ["target"], "trust": "agent"}], "effect": "escalate"}}

test_memory_of_the_trust_that_is_needed if {
	policy.decision.effect == "allow" with input as paying(["memory:verified"]) with data.settings as by_verb
	every origins in [["memory:verified"], ["memory:agent", "tool:notes/get"]] {
		policy.decision.effect == "allow" with input as paying(origins) with data.settings as by_tool
	}
}

test_memory_of_less_trust_and_other_sources if {
	every origins in [[], ["memory:agent"], ["goal"], ["trusted"], ["tool:notes/get"]] {
		policy.decision.reasons == {"memory_not_trusted"} with input as paying(origins) with data.settings as by_verb
	}
	policy.decision.effect == "escalate" with input as paying(["trusted"]) with data.settings as by_tool
}

test_a_call_without_the_value if {
	policy.decision.reasons == {"memory_not_trusted"} with data.settings as by_verb
		with input as object.union(paying([]), {"tool": {"server": "bank", "name": "send_money", "verb": "financial", "roles": {"/amount": "amount"}, "labels": []}})
}

test_other_tools_are_free if {
	policy.decision.effect == "allow" with input as paying([])
		with data.settings as {"memory": {"required": [{"verbs": ["outbound"], "tools": ["bank/other"], "roles": ["target"], "trust": "verified"}]}}
}

writing(trust) := {
	"phase": "request",
	"time": "2026-11-23T21:00:00Z",
	"tool": {"server": "notes", "name": "set", "verb": "write", "roles": {}, "labels": []},
	"args": {},
	"origins": {},
	"memory": {"use": "write", "items": 1, "trust": trust},
}

test_what_may_be_written if {
	every trust in ["agent", "verified"] {
		policy.decision.effect == "allow" with input as writing(trust) with data.settings as {"memory": {"write_trust": "agent"}}
	}
	policy.decision.reasons == {"memory_write_not_trusted"} with input as writing("untrusted") with data.settings as {"memory": {"write_trust": "agent"}}
	policy.decision.effect == "allow" with input as writing("untrusted") with data.settings as {}
}

test_malformed_settings if {
	every setting in [
		{"required": [{"verbs": ["financial"], "roles": ["target"], "trust": "full"}]},
		{"required": [{"verbs": ["financial"], "trust": "verified"}]},
		{"required": [{"roles": ["target"], "trust": "verified"}]},
		{"required": {"verbs": ["financial"]}},
		{"write_trust": "some"},
	] {
		"setting_malformed" in policy.decision.reasons with input as paying(["memory:verified"]) with data.settings as {"memory": setting}
	}
}
