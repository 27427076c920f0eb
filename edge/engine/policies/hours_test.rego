package proctor.policy_test

import data.proctor.policy
import rego.v1

at(time) := object.union(request("financial"), {"time": time})

office := {"hours": {
	"from": 8,
	"to": 18,
	"days": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"],
	"verbs": ["financial"],
	"utc_offset_s": 3600,
}}

test_within_hours if {
	every time in ["2026-11-23T07:00:00Z", "2026-11-23T16:59:59Z", "2026-11-23T12:00:00.5Z"] {
		policy.decision.effect == "allow" with input as at(time) with data.settings as office
	}
}

test_outside_hours if {
	every time in ["2026-11-23T06:59:59Z", "2026-11-23T17:00:00Z", "2026-11-22T12:00:00Z"] {
		policy.decision.reasons == {"outside_business_hours"} with input as at(time) with data.settings as office
	}
}

test_other_verbs_at_any_time if {
	policy.decision.effect == "allow" with input as request("read") with data.settings as office
}

test_hours_without_verbs_are_malformed if {
	policy.decision.reasons == {"setting_malformed"} with input as request("read") with data.settings as {"hours": {}}
}

test_hours_of_another_form_are_malformed if {
	every change in [{"from": "8"}, {"to": "18"}, {"days": "Monday"}, {"days": ["monday"]}, {"utc_offset_s": "3600"}] {
		policy.decision.reasons == {"setting_malformed"} with input as request("read") with data.settings as {"hours": object.union(office.hours, change)}
	}
}
