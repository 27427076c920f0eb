package proctor.policy_test

import data.proctor.policy
import rego.v1

change(args) := object.union(request("write"), {"args": args})

three := {"mass": {"max_items": 3}}

test_few_items if {
	every args in [{"ids": [1, 2, 3]}, {"a": "x"}, {"filter": {"ids": [1, 2, 3]}}] {
		policy.decision.effect == "allow" with input as change(args) with data.settings as three
	}
}

test_many_items if {
	every args in [{"ids": [1, 2, 3, 4]}, {"filter": {"ids": [1, 2, 3, 4]}}, {"rows": [[1, 2, 3, 4]]}, {"by_id": {"a": 1, "b": 2, "c": 3, "d": 4}}] {
		policy.decision.reasons == {"mass_update"} with input as change(args) with data.settings as three
	}
}

test_a_limit_that_is_asked_for if {
	every limit in [4, "3", null] {
		call := object.union(change({"limit": limit}), {"tool": {"server": "crm", "name": "update", "verb": "write", "roles": {"/limit": "row_limit"}}})
		policy.decision.reasons == {"mass_update"} with input as call with data.settings as three
	}
}

limited(pointer, args) := object.union(change(args), {"tool": {"server": "crm", "name": "update", "verb": "write", "roles": {pointer: "row_limit"}}})

test_limits_in_lists_and_members_of_any_name if {
	every pointer in ["/queries/*/limit", "/queries/limit"] {
		policy.decision.effect == "allow" with input as limited(pointer, {"queries": [{"limit": 3}, {"x": 1}]}) with data.settings as three
		policy.decision.effect == "allow" with input as limited(pointer, {}) with data.settings as three
		policy.decision.reasons == {"mass_update"} with input as limited(pointer, {"queries": [{"limit": 1}, {"limit": 4}]}) with data.settings as three
		policy.decision.reasons == {"mass_update"} with input as limited(pointer, {"queries": [[{"limit": 4}]]}) with data.settings as three
	}
	policy.decision.reasons == {"mass_update"} with input as limited("/*/limit", {"a": {"limit": 4}}) with data.settings as three
	policy.decision.reasons == {"mass_update"} with input as limited("/q/*/r/*/limit", {"q": [{"r": [{"limit": 4}]}]}) with data.settings as three
	policy.decision.reasons == {"mass_update"} with input as limited("/q/limit", {"q": {"limit": [4]}}) with data.settings as three
}

test_reading_is_not_bound_but_where_listed if {
	call := object.union(request("read"), {"args": {"ids": [1, 2, 3, 4]}})
	policy.decision.effect == "allow" with input as call with data.settings as three
	policy.decision.effect == "deny" with input as call with data.settings as {"mass": {"max_items": 3, "verbs": ["read"]}}
}

test_a_malformed_mass_is_none if {
	policy.decision.reasons == {"setting_malformed"} with input as change({}) with data.settings as {"mass": {}}
}
