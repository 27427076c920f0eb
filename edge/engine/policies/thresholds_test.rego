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

batch(pointer, args) := {
	"phase": "request",
	"time": "2026-11-23T21:00:00Z",
	"tool": {"server": "bank", "name": "batch", "verb": "financial", "roles": {pointer: "amount"}, "labels": []},
	"args": args,
}

test_amounts_in_lists_and_members_of_any_name if {
	every pointer in ["/payments/*/amount", "/payments/amount"] {
		policy.decision.effect == "allow" with input as batch(pointer, {"payments": [{"amount": 1}, {"amount": 100}]}) with data.settings as ceiling
		policy.decision.reasons == {"amount_over_limit"} with input as batch(pointer, {"payments": [{"amount": 1}, {"amount": 101}]}) with data.settings as ceiling
		policy.decision.reasons == {"amount_unreadable"} with input as batch(pointer, {"payments": [{"amount": 1}, {"to": "a"}]}) with data.settings as ceiling
		policy.decision.reasons == {"amount_unreadable"} with input as batch(pointer, {"payments": [{"amount": 1}, [{"amount": 1}]]}) with data.settings as ceiling
		policy.decision.reasons == {"amount_unreadable"} with input as batch(pointer, {"payments": 5}) with data.settings as ceiling
		policy.decision.reasons == {"amount_unreadable"} with input as batch(pointer, {"payments": []}) with data.settings as ceiling
		policy.decision.reasons == {"amount_unreadable"} with input as batch(pointer, {}) with data.settings as ceiling
		policy.decision.reasons == {"amount_negative"} with input as batch(pointer, {"payments": [{"amount": 1}, {"amount": -1}]})
	}
	policy.decision.reasons == {"amount_over_limit"} with input as batch("/*/amount", {"a": {"amount": 1}, "b": {"amount": 101}}) with data.settings as ceiling
	policy.decision.effect == "allow" with input as batch("/amounts/*", {"amounts": [1, 2]}) with data.settings as ceiling
	policy.decision.reasons == {"amount_over_limit"} with input as batch("/amounts/*", {"amounts": [1, 101]}) with data.settings as ceiling
	policy.decision.effect == "allow" with input as batch("/p/0/amount", {"p": {"0": {"amount": 1}}}) with data.settings as ceiling
}

test_two_stars_are_not_read if {
	policy.decision.reasons == {"amount_unreadable"} with input as batch("/a/*/b/*/amount", {"a": [{"b": [{"amount": 1}]}]}) with data.settings as ceiling
}

test_an_amount_that_may_be_left_out if {
	optional := {"financial": {"max_amount": 100, "optional": ["bank/send_money"]}}
	policy.decision.effect == "allow" with input as payment({"recipient": "a"}) with data.settings as optional
	policy.decision.reasons == {"amount_over_limit"} with input as payment({"amount": 101}) with data.settings as optional
	policy.decision.reasons == {"amount_unreadable"} with input as payment({"amount": "1"}) with data.settings as optional
	policy.decision.reasons == {"amount_unreadable"} with input as payment({"recipient": "a"}) with data.settings as {"financial": {"max_amount": 100, "optional": ["bank/send", "send_money", "x/bank/send_money"]}}
	policy.decision.reasons == {"setting_malformed"} with input as payment({"amount": 1}) with data.settings as {"financial": {"max_amount": 100, "optional": "bank/send_money"}}
}
