package proctor.policy_test

import data.proctor.policy
import rego.v1

after(verb, history) := object.union(request(verb), {"history": object.union({"calls": 5, "by_verb": {}, "untrusted_reads": 0, "rows": 0, "last": []}, history)})

guards := {"sequence": {"untrusted_then_outbound": true, "rows_then_outbound": 1000, "destructive_max": 2, "first_financial": true}, "destructive": {"allow": ["crm/contact"]}}

test_untrusted_then_outbound if {
	policy.decision == {"effect": "escalate", "reasons": {"untrusted_then_outbound"}} with input as after("outbound", {"untrusted_reads": 1})
		with data.settings as guards
}

test_many_rows_then_outbound if {
	policy.decision.reasons == {"rows_then_outbound"} with input as after("outbound", {"rows": 1000})
		with data.settings as guards
}

test_a_burst_of_deletions if {
	policy.decision.reasons == {"destructive_burst"} with input as after("destructive", {"by_verb": {"destructive": 2}})
		with data.settings as guards
}

test_the_first_payment if {
	policy.decision.reasons == {"first_financial"} with input as after("financial", {})
		with data.settings as guards
}

test_what_is_usual_passes if {
	every call in [after("outbound", {"rows": 999}), after("destructive", {"by_verb": {"destructive": 1}}), after("financial", {"by_verb": {"financial": 1}}), after("read", {"untrusted_reads": 7, "rows": 5000})] {
		policy.decision.effect == "allow" with input as call with data.settings as guards
	}
}

test_an_incomplete_history_counts_as_done if {
	every verb in ["outbound", "execute", "destructive"] {
		policy.decision.effect == "escalate" with input as after(verb, {"incomplete": true, "by_verb": {"financial": 1}}) with data.settings as guards
		policy.decision.reasons["history_incomplete"] with input as after(verb, {"incomplete": true, "by_verb": {"financial": 1}}) with data.settings as guards
	}
	every setting in [{"untrusted_then_outbound": true}, {"rows_then_outbound": 10}] {
		policy.decision.reasons == {"history_incomplete"} with input as after("outbound", {"incomplete": true}) with data.settings as {"sequence": setting}
	}
}

test_an_incomplete_history_matters_to_guards_alone if {
	every verb in ["read", "write"] {
		policy.decision.effect == "allow" with input as after(verb, {"incomplete": true}) with data.settings as guards
	}
	policy.decision.effect == "allow" with input as after("outbound", {"incomplete": true}) with data.settings as {"sequence": {"first_financial": true}}
	policy.decision.effect == "allow" with input as after("outbound", {"incomplete": false}) with data.settings as guards
}

test_a_denial_where_the_setting_says_so if {
	policy.decision.effect == "deny" with input as after("outbound", {"untrusted_reads": 1})
		with data.settings as {"sequence": {"untrusted_then_outbound": true, "effect": "deny"}}
}

test_without_a_history_a_person_is_asked if {
	policy.decision.reasons == {"history_missing"} with input as request("read") with data.settings as guards
}

test_a_malformed_setting if {
	policy.decision.reasons == {"setting_malformed"} with input as after("read", {})
		with data.settings as {"sequence": {"destructive_max": "2"}}
}

test_malformed_guards if {
	every setting in [
		{"untrusted_then_outbound": "true"},
		{"untrusted_then_outbound": 1},
		{"untrusted_then_outbound": null},
		{"first_financial": "yes"},
		{"first_financial": ["financial"]},
		{"rows_then_outbound": true},
		{"destructive_max": null},
		{"untrusted_then_outbound": true, "effect": "Deny"},
		{"untrusted_then_outbound": true, "effect": true},
	] {
		policy.decision.reasons == {"setting_malformed"} with input as after("read", {}) with data.settings as {"sequence": setting}
	}
}

test_guards_that_are_off if {
	every setting in [{"untrusted_then_outbound": false, "first_financial": false}, {}] {
		policy.decision.effect == "allow" with input as after("outbound", {"untrusted_reads": 1, "rows": 5000}) with data.settings as {"sequence": setting}
	}
}
