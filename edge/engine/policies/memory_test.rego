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

paying_many(roles, args, origins) := {
	"phase": "request",
	"time": "2026-11-23T21:00:00Z",
	"tool": {"server": "bank", "name": "send_money", "verb": "financial", "roles": roles, "labels": []},
	"args": args,
	"origins": origins,
}

test_memory_for_roles_with_any_step if {
	every pointer in ["/payments/*/to", "/payments/to", "/payments/0/to", "/*/0/to", "/payments", "/payments/*"] {
		args := {"to": "x", "payments": [{"to": "y"}]}
		good := paying_many({pointer: "target"}, args, {"/to": [], "/payments/0/to": ["memory:verified"]})
		policy.decision.effect == "allow" with input as good with data.settings as by_verb
		bad := paying_many({pointer: "target"}, args, {"/to": [], "/payments/0/to": ["trusted"]})
		policy.decision.reasons == {"memory_not_trusted"} with input as bad with data.settings as by_verb
		beside := paying_many({"/to": "target", pointer: "target"}, args, {"/to": ["memory:verified"], "/payments/0/to": ["trusted"]})
		policy.decision.reasons == {"memory_not_trusted"} with input as beside with data.settings as by_verb
	}
}

test_memory_for_lists_below_members_of_any_name if {
	every pointer in ["/m/*/to", "/m/a/to", "/*/a/to"] {
		bad := paying_many({"/to": "target", pointer: "target"}, {"to": "x", "m": {"a": [{"to": "y"}]}}, {"/to": ["memory:verified"], "/m/a/0/to": []})
		policy.decision.reasons == {"memory_not_trusted"} with input as bad with data.settings as by_verb
		good := paying_many({"/to": "target", pointer: "target"}, {"to": "x", "m": {"a": [{"to": "y"}]}}, {"/to": ["memory:verified"], "/m/a/0/to": ["memory:verified"]})
		policy.decision.effect == "allow" with input as good with data.settings as by_verb
	}
}

test_memory_is_asked_for_no_other_value if {
	call := paying_many(
		{"/to": "target", "/payments/*/to": "target"}, {"to": "x", "note": {"to": "y"}, "payments": [{"to": "x", "note": "z"}]},
		{"/to": ["memory:verified"], "/note/to": [], "/payments/0/to": ["memory:verified"], "/payments/0/note": []},
	)
	policy.decision.effect == "allow" with input as call with data.settings as by_verb
}

test_a_place_with_nothing_that_memory_could_vouch_for if {
	roles := {"/to": "target", "/payments/*/to": "target", "/cc": "target"}
	every args in [{"payments": [{"to": true}]}, {"payments": true}, {"payments": [[{"to": null}]]}, {"cc": true}, {"cc": [true]}] {
		call := paying_many(roles, object.union({"to": "x"}, args), {"/to": ["memory:verified"]})
		policy.decision.reasons == {"memory_not_trusted"} with input as call with data.settings as by_verb
	}
	astray := paying_many(roles, {"to": "x", "payments": "y"}, {"/to": ["memory:verified"], "/payments": ["memory:verified"]})
	policy.decision.reasons == {"memory_not_trusted"} with input as astray with data.settings as by_verb
}

test_a_place_that_is_left_out_needs_no_memory if {
	roles := {"/to": "target", "/payments/*/to": "target", "/cc": "target"}
	every args in [{}, {"cc": null}, {"cc": []}, {"cc": false}, {"payments": []}, {"payments": [{}]}, {"payments": [{"to": null}]}] {
		call := paying_many(roles, object.union({"to": "x"}, args), {"/to": ["memory:verified"]})
		policy.decision.effect == "allow" with input as call with data.settings as by_verb
	}
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

test_rules_of_another_form_are_malformed if {
	sound := {"verbs": ["financial"], "tools": ["bank/send_money"], "roles": ["target"], "trust": "verified"}
	policy.decision.effect == "allow" with input as paying(["memory:verified"]) with data.settings as {"memory": {"required": [sound]}}
	every change in [{"verbs": "financial"}, {"tools": "bank/send_money"}, {"tools": ["send_money"]}, {"roles": "target"}, {"roles": ["payee"]}, {"verb": ["outbound"]}] {
		policy.decision.reasons == {"setting_malformed"} with input as writing("verified") with data.settings as {"memory": {"required": [object.union(sound, change)]}}
	}
	every memory in [{"required": "all"}, {"required": ["financial"]}, {"effect": "ask"}, {"write_trust": null}] {
		policy.decision.reasons == {"setting_malformed"} with input as writing("verified") with data.settings as {"memory": memory}
	}
}
