package proctor.policy_test

import data.proctor.policy
import rego.v1

ceilings := {"rows": {"max": 100, "tools": {"crm/contact": 10, "bank/send": 1}}}

test_a_reader_has_a_ceiling if {
	policy.decision == {"effect": "modify", "reasons": [], "limits": {"rows": 100}} with input as object.union(request("read"), {"tool": {"server": "crm", "name": "list", "verb": "read"}})
		with data.settings as ceilings
}

test_a_listed_tool_has_its_own if {
	policy.decision.limits.rows == 10 with input as request("read") with data.settings as ceilings
}

test_other_verbs_have_none if {
	policy.decision.effect == "allow" with input as object.union(request("write"), {"tool": {"server": "crm", "name": "add", "verb": "write"}})
		with data.settings as ceilings
}

test_a_malformed_ceiling_is_none if {
	policy.decision.reasons == {"setting_malformed"} with input as request("read")
		with data.settings as {"rows": {"max": "100"}}
}

test_a_size_without_a_ceiling_is_malformed if {
	policy.decision.reasons == {"setting_malformed"} with input as request("read") with data.settings as {"bytes": {}}
}

test_ceilings_of_another_form_are_malformed if {
	every rows in [{"max": null}, {"tools": "crm/contact"}, {"tools": ["crm/contact"]}, {"tools": {"crm/contact": "10"}}, {"tools": {"contact": 10}}] {
		policy.decision.reasons == {"setting_malformed"} with input as request("read") with data.settings as {"rows": rows}
	}
	policy.decision.effect == "allow" with input as request("read") with data.settings as {"rows": {"tools": {"crm/list": 10}}}
}
