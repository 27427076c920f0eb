package proctor.policy_test

import data.proctor.policy
import rego.v1

mail(recipients) := {
	"phase": "request",
	"time": "2026-11-23T21:00:00Z",
	"tool": {"server": "mail", "name": "send", "verb": "outbound", "roles": {"/to": "target"}, "labels": []},
	"args": {"to": recipients},
}

destinations := {"destinations": {"approved": ["@acme.example", "bob@partner.example"]}}

test_approved_destinations if {
	every to in ["bob@partner.example", "alice@acme.example", "alice@ACME.example", ["alice@acme.example", "bob@partner.example"]] {
		policy.decision.effect == "allow" with input as mail(to) with data.settings as destinations
	}
}

test_other_destinations if {
	every to in ["eve@partner.example", "alice@evil.acme.example", "alice@acme.example.evil.example", "a@b@acme.example", "@acme.example.x", ["alice@acme.example", "eve@evil.example"]] {
		policy.decision.reasons == {"destination_not_approved"} with input as mail(to) with data.settings as destinations
	}
}

test_no_destination if {
	policy.decision.reasons == {"destination_unreadable"} with input as mail([]) with data.settings as destinations
}

test_reading_is_not_bound if {
	policy.decision.effect == "allow" with input as request("read") with data.settings as destinations
}
