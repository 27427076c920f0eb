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
	is_array(rule.verbs)
	some verb in rule.verbs
	verb == input.tool.verb
}

memory_binds(rule) if {
	is_array(rule.tools)
	some tool in rule.tools
	rest := trim_prefix(tool, input.tool.server)
	rest != tool
	startswith(rest, "/")
	trim_prefix(rest, "/") == input.tool.name
}

# The values that the pointers of the rule's roles lead to, and what is below those.
memory_guarded(rule) := {pointer |
	some at, role in input.tool.roles
	role in rule.roles
	some pointer in memory_led[at]
}

# Found out once, however many rules ask. In the pointer of a role `*` is any one step, and an index may be missing.
memory_led := {at: led |
	some at, role in input.tool.roles
	role in memory_roles
	led := memory_reached(split(at, "/"))
}

memory_reached(steps) := memory_in_order(steps) | memory_among(steps)

memory_roles contains role if {
	some rule in memory_binding
	is_array(rule.roles)
	some role in rule.roles
}

# The names in the pointers of values, without the indices of lists.
memory_names := {pointer: [step | some step in split(pointer, "/"); trim(step, "0123456789") != ""] |
	some pointer, _ in input.origins
}

memory_name_sets := {pointer: {name | some name in names} |
	some pointer, names in memory_names
}

# The names of the role's pointer, and others behind them.
memory_in_order(steps) := {pointer |
	not "*" in steps
	wanted := [step | some step in steps; trim(step, "0123456789") != ""]
	some pointer, names in memory_names
	array.slice(names, 0, count(wanted)) == wanted
}

# Where `*` may stand for a name each of the others has to be there, and no fewer steps: only indices may be left out.
memory_among(steps) := {pointer |
	"*" in steps
	wanted := {step | some step in steps; step != "*"; trim(step, "0123456789") != ""}
	some pointer, names in memory_name_sets
	wanted & names == wanted
	count(split(pointer, "/")) >= count(steps)
}

# Something stands where a role's pointer leads to.
memory_filled(at) if {
	steps := pointer_steps(at)
	is_plain_pointer(steps)
	memory_something(object.get(input.args, steps, null))
}

memory_filled(at) if {
	steps := pointer_steps(at)
	not is_plain_pointer(steps)
	some value in pointed_values(steps)
	memory_something(value)
}

memory_something(value) if not value in [null, false, [], {}]

memory_vouches(pointer, trust) if {
	some origin in input.origins[pointer]
	origin in memory_origins[trust]
}

memory_missing if {
	some rule in memory_binding
	some pointer in memory_guarded(rule)
	not memory_vouches(pointer, rule.trust)
}

# Nothing there that could be vouched for, in all or in one of the places, or too many values to be told apart.
memory_missing if {
	some rule in memory_binding
	count(memory_guarded(rule)) == 0
}

memory_missing if {
	some rule in memory_binding
	some at, role in input.tool.roles
	role in rule.roles
	count(memory_led[at]) == 0
	memory_filled(at)
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
	is_object(data.settings.memory)
	object.get(data.settings.memory, "effect", "deny") != "escalate"
	some ground in memory_grounds
}

escalate contains ground if {
	data.settings.memory.effect == "escalate"
	some ground in memory_grounds
}

deny contains "setting_malformed" if {
	is_array(data.settings.memory.required)
	some rule in data.settings.memory.required
	is_object(rule)
	not rule.trust in {"agent", "verified"}
}

deny contains "setting_malformed" if {
	is_array(data.settings.memory.required)
	some rule in data.settings.memory.required
	is_object(rule)
	not is_array(object.get(rule, "roles", null))
}

# Of the two lists either may be missing; what is there is a list.
deny contains "setting_malformed" if {
	is_array(data.settings.memory.required)
	some rule in data.settings.memory.required
	is_object(rule)
	not rule.verbs
	not rule.tools
}

deny contains "setting_malformed" if {
	is_array(data.settings.memory.required)
	some rule in data.settings.memory.required
	is_object(rule)
	rule.verbs
	not is_array(rule.verbs)
}

deny contains "setting_malformed" if {
	is_array(data.settings.memory.required)
	some rule in data.settings.memory.required
	is_object(rule)
	rule.tools
	not is_array(rule.tools)
}

# What is misspelt binds nothing.
deny contains "setting_malformed" if {
	is_array(data.settings.memory.required)
	some rule in data.settings.memory.required
	is_object(rule)
	some member, _ in rule
	not member in {"verbs", "tools", "roles", "trust"}
}

deny contains "setting_malformed" if {
	is_array(data.settings.memory.required)
	some rule in data.settings.memory.required
	is_object(rule)
	is_array(rule.verbs)
	some verb in rule.verbs
	not verb in {"read", "write", "destructive", "financial", "outbound", "execute"}
}

deny contains "setting_malformed" if {
	is_array(data.settings.memory.required)
	some rule in data.settings.memory.required
	is_object(rule)
	is_array(rule.tools)
	some tool in rule.tools
	not contains(tool, "/")
}

deny contains "setting_malformed" if {
	is_array(data.settings.memory.required)
	some rule in data.settings.memory.required
	is_object(rule)
	is_array(rule.roles)
	some role in rule.roles
	not role in {"target", "command", "credential", "selector", "amount", "currency", "row_limit", "content", "tenant", "memory_key", "control"}
}

deny contains "setting_malformed" if {
	is_object(data.settings.memory)
	not is_array(object.get(data.settings.memory, "required", []))
}

deny contains "setting_malformed" if {
	is_array(data.settings.memory.required)
	some rule in data.settings.memory.required
	not is_object(rule)
}

deny contains "setting_malformed" if {
	is_object(data.settings.memory)
	not object.get(data.settings.memory, "write_trust", "untrusted") in {"untrusted", "agent", "verified"}
}

deny contains "setting_malformed" if {
	is_object(data.settings.memory)
	not object.get(data.settings.memory, "effect", "deny") in {"deny", "escalate"}
}

deny contains "setting_malformed" if {
	is_object(data.settings.memory)
	some member, _ in data.settings.memory
	not member in {"required", "write_trust", "effect"}
}
