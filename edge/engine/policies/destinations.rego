# Where money and data may go: `settings.destinations.approved`, a list of exact targets and, beginning with "@",
# of mail domains: any address with a plain name before it. It binds the arguments with role `target` of financial and outbound
# tools, and the texts in those that the catalogue calls consequential and gives no role (`/cc`, `/bcc`), which may be missing. See
# pointers.rego for where these are.
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

destination_values contains value if {
	some pointer in target_pointers
	value := plain_values[pointer]
}

destination_values contains value if {
	some pointer in target_pointers
	some value in pointed_values(winding_ways[pointer])
}

destination_values contains value if {
	some pointer in aside_pointers
	value := plain_values[pointer]
	names_something(value)
}

destination_values contains value if {
	some pointer in aside_pointers
	some value in pointed_values(winding_ways[pointer])
	names_something(value)
}

# What is missing, a number and a truth are nobody's address.
names_something(value) if is_string(value)

names_something(value) if is_array(value)

names_something(value) if is_object(value)

# A target may be one text or a list of them.
targets contains target if {
	some target in destination_values
	not is_array(target)
}

targets contains target if {
	some list in destination_values
	is_array(list)
	some target in list
}

approved(target) if target in data.settings.destinations.approved

approved(target) if {
	is_string(target)
	is_array(data.settings.destinations.approved)
	some domain in data.settings.destinations.approved
	startswith(domain, "@")
	parts := split(target, "@")
	count(parts) == 2
	parts[0] != ""
	trim(parts[0], address_signs) == ""
	lower(parts[1]) == lower(trim_prefix(domain, "@"))
}

# What stands before the at sign of an address of a domain: nothing but these. To whoever fetches `https://evil.example/?q=x@acme.example`
# it is no address, and `%` and `!` have mail handed on to another host.
address_signs := "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.$&'*+-=^_{|}~"

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

deny contains "setting_malformed" if {
	is_object(data.settings.destinations)
	some member, _ in data.settings.destinations
	not member in {"approved"}
}
