package proctor.policy_test

import data.proctor.policy
import rego.v1

from(origins) := {
	"phase": "request",
	"time": "2026-11-23T21:00:00Z",
	"tool": {"server": "mail", "name": "send", "verb": "outbound", "roles": {"/to": "target", "/body": "content"}, "labels": []},
	"args": {"to": ["x"], "body": "y"},
	"origins": {"/to/0": origins, "/body": []},
}

guard := {"origins": {"verbs": ["outbound"], "roles": ["target"]}}

test_values_that_may_be_used if {
	every origins in [["goal"], ["trusted"], ["trusted", "tool:mail/inbox"]] {
		policy.decision.effect == "allow" with input as from(origins) with data.settings as guard
	}
}

test_values_that_may_not if {
	every origins in [[], ["tool:mail/inbox"]] {
		policy.decision.reasons == {"origin_not_trusted"} with input as from(origins) with data.settings as guard
	}
}

test_a_person_is_asked_where_the_setting_says_so if {
	policy.decision.effect == "escalate" with input as from([])
		with data.settings as {"origins": {"verbs": ["outbound"], "roles": ["target"], "effect": "escalate"}}
}

test_other_verbs_are_free if {
	policy.decision.effect == "allow" with input as from([])
		with data.settings as {"origins": {"verbs": ["financial"], "roles": ["target"]}}
}

test_a_setting_without_roles if {
	policy.decision.reasons == {"setting_malformed"} with input as from(["goal"])
		with data.settings as {"origins": {"verbs": ["outbound"]}}
}
