# Where money and data may go: `settings.destinations.approved`, a list of exact targets and, beginning with "@",
# of mail domains. It binds the arguments with role `target` of financial and outbound tools.
package proctor.policy

import rego.v1

bound_by_destinations if {
	input.tool.verb in {"financial", "outbound"}
	data.settings.destinations
}

target_pointers contains pointer if {
	some pointer, role in input.tool.roles
	role == "target"
}

# A target may be one text or a list of them.
targets contains target if {
	some pointer in target_pointers
	value := object.get(input.args, split(trim_prefix(pointer, "/"), "/"), null)
	not is_array(value)
	target := value
}

targets contains target if {
	some pointer in target_pointers
	value := object.get(input.args, split(trim_prefix(pointer, "/"), "/"), null)
	is_array(value)
	some target in value
}

approved(target) if target in data.settings.destinations.approved

approved(target) if {
	is_string(target)
	some domain in data.settings.destinations.approved
	startswith(domain, "@")
	parts := split(target, "@")
	count(parts) == 2
	parts[0] != ""
	lower(parts[1]) == trim_prefix(domain, "@")
}

deny contains "destination_not_approved" if {
	bound_by_destinations
	some target in targets
	not approved(target)
}

deny contains "destination_unreadable" if {
	bound_by_destinations
	count(targets) == 0
}

# Anything but a text is no destination.
deny contains "destination_unreadable" if {
	bound_by_destinations
	some target in targets
	not is_string(target)
}
