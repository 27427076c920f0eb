package proctor.policy_test

import data.proctor.policy
import rego.v1

deletion := {
	"phase": "request",
	"time": "2026-11-23T21:00:00Z",
	"tool": {"server": "files", "name": "delete_file", "verb": "destructive", "roles": {}, "labels": []},
	"args": {"path": "a"},
}

test_destructive_is_refused if {
	policy.decision == {"effect": "deny", "reasons": {"destructive_verb"}} with input as deletion
}

test_destructive_is_allowed_where_listed if {
	policy.decision.effect == "allow" with input as deletion
		with data.settings as {"destructive": {"allow": ["files/delete_file"]}}
}

test_another_listed_tool_does_not_help if {
	every listed in ["files/delete", "file/delete_file", "x/files/delete_file", "files//delete_file", "filesdelete_file", "delete_file"] {
		policy.decision.effect == "deny" with input as deletion
			with data.settings as {"destructive": {"allow": [listed]}}
	}
}
