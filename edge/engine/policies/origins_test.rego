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

with_roles(roles, args, origins) := {
	"phase": "request",
	"time": "2026-11-23T21:00:00Z",
	"tool": {"server": "mail", "name": "send", "verb": "outbound", "roles": roles, "labels": []},
	"args": args,
	"origins": origins,
}

test_roles_with_any_step if {
	every pointer in ["/payments/*/to", "/payments/to", "/payments/0/to", "/*/0/to"] {
		call := with_roles({pointer: "target"}, {"payments": [{"to": "x"}]}, {"/payments/0/to": ["tool:mail/inbox"]})
		policy.decision.reasons == {"origin_not_trusted"} with input as call with data.settings as guard
		good := with_roles({pointer: "target"}, {"payments": [{"to": "x"}]}, {"/payments/0/to": ["goal"], "/payments/0/note": []})
		policy.decision.effect == "allow" with input as good with data.settings as guard
	}
}

test_a_list_below_a_member_of_any_name if {
	call := with_roles({"/m/*/to": "target"}, {"m": {"a": [{"to": "x"}]}}, {"/m/a/0/to": []})
	policy.decision.reasons == {"origin_not_trusted"} with input as call with data.settings as guard
}

test_a_target_without_any_value if {
	every args in [{}, {"to": true}, {"to": []}] {
		policy.decision.reasons == {"origin_not_trusted"} with input as with_roles({"/to": "target"}, args, {"/body": ["goal"]})
			with data.settings as guard
	}
}

test_many_values_and_roles_are_within_the_budget_of_a_policy if {
	roles := {"/a/*/to": "target", "/b/*/to": "target", "/c/*/to": "target", "/d/*/to": "target", "/e/*/to": "target"}
	origins := {
		"/a/0/to": ["goal"], "/a/1/to": ["goal"], "/a/2/to": ["goal"], "/a/3/to": ["goal"], "/a/4/to": ["goal"], "/a/5/to": ["goal"], "/a/6/to": ["goal"], "/a/7/to": ["goal"], "/a/8/to": ["goal"], "/a/9/to": ["goal"],
		"/b/0/to": ["goal"], "/b/1/to": ["goal"], "/b/2/to": ["goal"], "/b/3/to": ["goal"], "/b/4/to": ["goal"], "/b/5/to": ["goal"], "/b/6/to": ["goal"], "/b/7/to": ["goal"], "/b/8/to": ["goal"], "/b/9/to": ["goal"],
		"/c/0/to": ["goal"], "/c/1/to": ["goal"], "/c/2/to": ["goal"], "/c/3/to": ["goal"], "/c/4/to": ["goal"], "/c/5/to": ["goal"], "/c/6/to": ["goal"], "/c/7/to": ["goal"], "/c/8/to": ["goal"], "/c/9/to": ["goal"],
		"/d/0/to": ["goal"], "/d/1/to": ["goal"], "/d/2/to": ["goal"], "/d/3/to": ["goal"], "/d/4/to": ["goal"], "/d/5/to": ["goal"], "/d/6/to": ["goal"], "/d/7/to": ["goal"], "/d/8/to": ["goal"], "/d/9/to": ["goal"],
		"/e/0/to": ["goal"], "/e/1/to": ["goal"], "/e/2/to": ["goal"], "/e/3/to": ["goal"], "/e/4/to": ["goal"], "/e/5/to": ["goal"], "/e/6/to": ["goal"], "/e/7/to": ["goal"], "/e/8/to": ["goal"], "/e/9/to": ["goal"],
	}
	policy.decision.effect == "allow" with input as with_roles(roles, {}, origins) with data.settings as guard
}

test_roles_and_effects_that_there_are_none_of if {
	every change in [{"roles": ["targets"]}, {"roles": "target"}, {"verbs": "outbound"}, {"effect": "ask"}] {
		policy.decision.reasons == {"setting_malformed"} with input as request("read") with data.settings as {"origins": object.union(guard.origins, change)}
	}
}
