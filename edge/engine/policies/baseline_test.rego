package proctor.policy_test

import data.proctor.policy
import rego.v1

request(verb) := {
	"phase": "request",
	"time": "2026-11-23T21:00:00Z",
	"tool": {"server": "crm", "name": "contact", "verb": verb, "roles": {}, "labels": []},
	"args": {},
}

test_reading_is_allowed if {
	policy.decision.effect == "allow" with input as request("read")
}

test_no_verb_is_refused if {
	policy.decision.effect == "deny" with input as {"phase": "request", "tool": {}, "args": {}}
}

test_an_unknown_verb_is_escalated if {
	policy.decision.effect == "escalate" with input as request("levitate")
}

test_another_phase_is_refused if {
	policy.decision.effect == "deny" with input as object.union(request("read"), {"phase": "later"})
}
