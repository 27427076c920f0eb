# What memory has to be worth: `settings.memory` = {
#   "required": [{"verbs": ["financial"], "tools": ["bank/send_money"], "roles": ["target"], "trust": "verified"}],
#                              values of these roles have to come from memory of this trust (`agent` or `verified`), in
#                              calls of these tools, and of tools with these verbs; either list may be missing
#   "write_trust": "agent",    the least trust of what may be written to memory
#   "effect": "escalate"       or "deny", the default
# }
package proctor.policy

import rego.v1

memory_origins := {
	"verified": {"memory:verified"},
	"agent": {"memory:verified", "memory:agent"},
}

memory_rank := {"untrusted": 0, "agent": 1, "verified": 2}

memory_rules contains rule if {
	is_array(data.settings.memory.required)
	some rule in data.settings.memory.required
	is_object(rule)
}

memory_binding contains rule if {
	some rule in memory_rules
	memory_binds(rule)
}

memory_binds(rule) if {
	some verb in rule.verbs
	verb == input.tool.verb
}

memory_binds(rule) if {
	some tool in rule.tools
	rest := trim_prefix(tool, input.tool.server)
	rest != tool
	startswith(rest, "/")
	trim_prefix(rest, "/") == input.tool.name
}

# The values below the pointers of the rule's roles.
memory_guarded(rule) := {pointer |
	some at, role in input.tool.roles
	role in rule.roles
	some pointer, _ in input.origins
	memory_below(pointer, at)
}

memory_below(pointer, at) if pointer == at

memory_below(pointer, at) if {
	rest := trim_prefix(pointer, at)
	rest != pointer
	startswith(rest, "/")
}

memory_vouches(pointer, trust) if {
	some origin in input.origins[pointer]
	origin in memory_origins[trust]
}

memory_missing if {
	some rule in memory_binding
	some pointer in memory_guarded(rule)
	not memory_vouches(pointer, rule.trust)
}

# Nothing there that could be vouched for, or too many values to be told apart.
memory_missing if {
	some rule in memory_binding
	count(memory_guarded(rule)) == 0
}

memory_missing if {
	some rule in memory_binding
	count(input.origins) >= 64
}

memory_too_low if {
	data.settings.memory.write_trust
	input.memory.use == "write"
	memory_rank[input.memory.trust] < memory_rank[data.settings.memory.write_trust]
}

memory_grounds contains "memory_not_trusted" if memory_missing

memory_grounds contains "memory_write_not_trusted" if memory_too_low

deny contains ground if {
	object.get(data.settings.memory, "effect", "deny") != "escalate"
	some ground in memory_grounds
}

escalate contains ground if {
	data.settings.memory.effect == "escalate"
	some ground in memory_grounds
}

deny contains "setting_malformed" if {
	some rule in data.settings.memory.required
	is_object(rule)
	not rule.trust in {"agent", "verified"}
}

deny contains "setting_malformed" if {
	some rule in data.settings.memory.required
	is_object(rule)
	not is_array(object.get(rule, "roles", null))
}

deny contains "setting_malformed" if {
	some rule in data.settings.memory.required
	is_object(rule)
	not is_array(object.get(rule, "verbs", null))
	not is_array(object.get(rule, "tools", null))
}

deny contains "setting_malformed" if {
	data.settings.memory
	not is_array(object.get(data.settings.memory, "required", []))
}

deny contains "setting_malformed" if {
	is_array(data.settings.memory.required)
	some rule in data.settings.memory.required
	not is_object(rule)
}

deny contains "setting_malformed" if {
	data.settings.memory
	not object.get(data.settings.memory, "write_trust", "untrusted") in {"untrusted", "agent", "verified"}
}
