package proctor.policy_test

import data.proctor.policy
import rego.v1

payment(args) := {
	"phase": "request",
	"time": "2026-11-23T21:00:00Z",
	"tool": {"server": "bank", "name": "send_money", "verb": "financial", "roles": {"/amount": "amount", "/recipient": "target"}, "labels": []},
	"args": args,
}

ceiling := {"financial": {"max_amount": 100}}

test_payment_up_to_the_ceiling if {
	policy.decision.effect == "allow" with input as payment({"amount": 100, "recipient": "a"})
		with data.settings as ceiling
}

test_payment_over_the_ceiling if {
	policy.decision.reasons == {"amount_over_limit"} with input as payment({"amount": 100.01, "recipient": "a"})
		with data.settings as ceiling
}

test_negative_payment if {
	policy.decision.reasons == {"amount_negative"} with input as payment({"amount": -1, "recipient": "a"})
}

test_amount_as_text if {
	policy.decision.reasons == {"amount_unreadable"} with input as payment({"amount": "100", "recipient": "a"})
		with data.settings as ceiling
}

test_no_amount if {
	policy.decision.reasons == {"amount_unreadable"} with input as payment({"recipient": "a"})
		with data.settings as ceiling
}

test_malformed_ceiling if {
	policy.decision.reasons == {"setting_malformed"} with input as payment({"amount": 1, "recipient": "a"})
		with data.settings as {"financial": {"max_amount": "100"}}
}

test_a_setting_without_a_ceiling_is_malformed if {
	policy.decision.reasons == {"setting_malformed"} with input as payment({"amount": 1, "recipient": "a"})
		with data.settings as {"financial": {}}
}
