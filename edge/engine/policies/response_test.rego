package proctor.policy_test

import data.proctor.policy
import rego.v1

answered(rows) := {
	"phase": "response",
	"time": "2026-11-23T21:00:00Z",
	"tool": {"server": "crm", "name": "list", "verb": "read", "roles": {}, "labels": []},
	"args": {},
	"result": {"rows": rows, "bytes": 100, "error": false},
}

test_an_answer_is_allowed if {
	policy.decision == {"effect": "allow", "reasons": []} with input as answered(3)
}

test_rows_are_trimmed_only_where_asked_for if {
	policy.decision == {"effect": "allow", "reasons": []} with input as answered(300)
		with data.settings as {"rows": {"max": 100}}
	policy.decision.limits == {"rows": 100} with input as answered(300)
		with data.settings as {"rows": {"max": 100, "over": "trim"}}
}

test_what_is_trimmed_is_not_withheld if {
	call := object.union(request("read"), {"tool": {"server": "crm", "name": "list", "verb": "read"}})
	policy.decision.effect == "allow" with input as call
		with data.settings as {"rows": {"max": 100, "over": "trim"}}
}

test_fields_are_redacted if {
	policy.decision == {"effect": "modify", "reasons": [], "redact": {"/a/*/email"}} with input as answered(3)
		with data.settings as {"redact": {"crm/list": ["/a/*/email"], "crm/other": ["/b"]}}
}

test_no_numbers_no_answer if {
	policy.decision.reasons == {"result_missing"} with input as object.remove(answered(3), ["result"])
}

test_a_malformed_redaction_is_found_before_the_call if {
	policy.decision.reasons == {"setting_malformed"} with input as request("read")
		with data.settings as {"redact": {"crm/list": ["email"]}}
	policy.decision.reasons == {"setting_malformed"} with input as request("read")
		with data.settings as {"rows": {"max": 1, "over": "cut"}}
}

test_redactions_of_another_form_are_malformed if {
	every redact in ["crm/list", ["crm/list"], {"crm/list": "/email"}, {"list": ["/email"]}] {
		policy.decision.reasons == {"setting_malformed"} with input as request("read") with data.settings as {"redact": redact}
	}
	policy.decision.effect == "allow" with input as request("read") with data.settings as {"redact": {"crm/list": ["/email"]}}
}
