# Mass updates: `settings.mass` = {"max_items": 20, "verbs": ["write", "destructive", …]}. Calls with one of these verbs (without
# `verbs`: any but read) are refused if a list or an object among their arguments, at the top or one step below, has more
# elements, or an argument with the role `row_limit` asks for more.
package proctor.policy

import rego.v1

mass_binds if {
	data.settings.mass
	not data.settings.mass.verbs
	input.tool.verb != "read"
}

mass_binds if {
	is_array(data.settings.mass.verbs)
	some verb in data.settings.mass.verbs
	verb == input.tool.verb
}

is_list(value) if is_array(value)

is_list(value) if is_object(value)

mass_update if {
	some value in input.args
	is_list(value)
	count(value) > data.settings.mass.max_items
}

mass_update if {
	some value in input.args
	is_list(value)
	some inner in value
	is_list(inner)
	count(inner) > data.settings.mass.max_items
}

mass_update if {
	some pointer, role in input.tool.roles
	role == "row_limit"
	steps := split(trim_prefix(pointer, "/"), "/")
	exceeds(steps)
}

# What a pointer leads to. `*` is each element, and a list may stand where the pointer says nothing of one.
exceeds(steps) if {
	not "*" in steps
	count(pointer_lists(steps)) == 0
	not within_mass(object.get(input.args, steps, 0))
}

exceeds(steps) if {
	at := min({i | some i, step in steps; step == "*"})
	some element in object.get(input.args, array.slice(steps, 0, at), [])
	exceeds_in(element, array.slice(steps, at + 1, count(steps)))
}

exceeds(steps) if {
	not "*" in steps
	at := min(pointer_lists(steps))
	some element in object.get(input.args, array.slice(steps, 0, at), [])
	exceeds_in(element, array.slice(steps, at, count(steps)))
}

# In an element. Where the way is not plain the limit counts as too large.
exceeds_in(element, steps) if not plain_way(element, steps)

exceeds_in(element, steps) if {
	plain_way(element, steps)
	not within_mass(object.get(element, steps, 0))
}

plain_way(element, steps) if {
	not "*" in steps
	not is_array(element)
	every i, _ in steps {
		not is_array(object.get(element, array.slice(steps, 0, i + 1), null))
	}
}

within_mass(asked) if {
	is_number(asked)
	asked <= data.settings.mass.max_items
}

deny contains "mass_update" if {
	mass_binds
	mass_update
}

deny contains "setting_malformed" if {
	is_object(data.settings.mass)
	not is_number(object.get(data.settings.mass, "max_items", null))
}

deny contains "setting_malformed" if {
	data.settings.mass.verbs
	not is_array(data.settings.mass.verbs)
}

# A misspelt verb binds no call.
deny contains "setting_malformed" if {
	is_array(data.settings.mass.verbs)
	some verb in data.settings.mass.verbs
	not verb in {"read", "write", "destructive", "financial", "outbound", "execute"}
}

deny contains "setting_malformed" if {
	is_object(data.settings.mass)
	some member, _ in data.settings.mass
	not member in {"max_items", "verbs"}
}
