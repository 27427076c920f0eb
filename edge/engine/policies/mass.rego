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
	asked := object.get(input.args, split(trim_prefix(pointer, "/"), "/"), 0)
	not within_mass(asked)
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
	data.settings.mass
	not is_number(data.settings.mass.max_items)
}

deny contains "setting_malformed" if {
	data.settings.mass.verbs
	not is_array(data.settings.mass.verbs)
}
