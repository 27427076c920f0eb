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

# Whatever ends like an address of an approved domain, and leads somewhere else.
test_an_address_has_a_plain_name if {
	every to in [
		"https://evil.example/c?d=SECRET@acme.example",
		"//evil.example/x@acme.example",
		"evil.example/x@acme.example",
		"evil.example?x@acme.example",
		"evil.example#x@acme.example",
		"javascript:x@acme.example",
		"eve%evil.example@acme.example",
		"evil.example!eve@acme.example",
		"eve,alice@acme.example",
		"eve alice@acme.example",
		"eve\nalice@acme.example",
		"eve\u0000alice@acme.example",
		"eve\\@acme.example",
		"<alice@acme.example",
	] {
		policy.decision.reasons == {"destination_not_approved"} with input as mail(to) with data.settings as destinations
	}
	every to in ["alice.b+news-1@acme.example", "O'Neill_2@Acme.example"] {
		policy.decision.effect == "allow" with input as mail(to) with data.settings as destinations
	}
}

test_the_case_of_an_approved_domain_does_not_matter if {
	settings := {"destinations": {"approved": ["@Acme.Example"]}}
	every to in ["alice@acme.example", "alice@ACME.example"] {
		policy.decision.effect == "allow" with input as mail(to) with data.settings as settings
	}
	policy.decision.effect == "deny" with input as mail("alice@acme.example.evil.example") with data.settings as settings
}

test_no_destination if {
	policy.decision.reasons == {"destination_unreadable"} with input as mail([]) with data.settings as destinations
}

test_reading_is_not_bound if {
	policy.decision.effect == "allow" with input as request("read") with data.settings as destinations
}

batch_mail(pointer, args) := {
	"phase": "request",
	"time": "2026-11-23T21:00:00Z",
	"tool": {"server": "mail", "name": "batch", "verb": "outbound", "roles": {pointer: "target"}, "labels": []},
	"args": args,
}

test_destinations_in_lists_and_members_of_any_name if {
	every pointer in ["/mails/*/to", "/mails/to"] {
		policy.decision.effect == "allow" with input as batch_mail(pointer, {"mails": [{"to": "bob@partner.example"}, {"to": ["a@acme.example"]}]}) with data.settings as destinations
		policy.decision.reasons == {"destination_not_approved"} with input as batch_mail(pointer, {"mails": [{"to": "bob@partner.example"}, {"to": ["a@acme.example", "eve@evil.example"]}]}) with data.settings as destinations
		policy.decision.reasons == {"destination_not_approved", "destination_unreadable"} with input as batch_mail(pointer, {"mails": [{"to": "bob@partner.example"}, {}]}) with data.settings as destinations
		policy.decision.reasons == {"destination_unreadable"} with input as batch_mail(pointer, {"mails": []}) with data.settings as destinations
	}
	policy.decision.reasons == {"destination_not_approved"} with input as batch_mail("/to/*", {"to": ["bob@partner.example", "eve@evil.example"]}) with data.settings as destinations
}

with_copies(args) := copies_at(["/cc", "/bcc", "/urgent", "/body"], args)

copies_at(consequential, args) := {
	"phase": "request",
	"time": "2026-11-23T21:00:00Z",
	"tool": {
		"server": "mail",
		"name": "send",
		"verb": "outbound",
		"roles": {"/to": "target", "/body": "content"},
		"consequential": consequential,
		"labels": [],
	},
	"args": object.union({"to": "bob@partner.example", "body": "Hello"}, args),
}

test_copies_go_somewhere_too if {
	every copies in [{}, {"cc": null}, {"cc": []}, {"cc": "a@acme.example"}, {"bcc": ["a@acme.example"]}, {"urgent": true}] {
		policy.decision.effect == "allow" with input as with_copies(copies) with data.settings as destinations
	}
	every copies in [{"cc": "eve@evil.example"}, {"bcc": ["a@acme.example", "eve@evil.example"]}] {
		policy.decision.reasons == {"destination_not_approved"} with input as with_copies(copies) with data.settings as destinations
	}
	every astray in [{"all": [[{"cc": "a@acme.example"}]]}, {"all": "a@acme.example"}, {"all": [["a@acme.example"]]}] {
		policy.decision.reasons == {"destination_not_approved", "destination_unreadable"} with input as copies_at(["/all/*/cc"], astray) with data.settings as destinations
	}
	policy.decision.effect == "deny" with input as with_copies({"cc": [{"email": "a@acme.example"}]}) with data.settings as destinations
}
