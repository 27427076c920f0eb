# The untrusted-origin guard, also for calls without an intent: `settings.origins` = {"verbs": ["financial", …],
# "roles": ["target", "credential"], "effect": "deny" or "escalate"}. Arguments with one of these roles need a value that was seen
# in the goal or in a trusted result (`input.origins`).
package proctor.policy

import rego.v1

origins_bind if {
	some verb in data.settings.origins.verbs
	verb == input.tool.verb
}

# The values below the pointer of a role.
guarded contains pointer if {
	some at, role in input.tool.roles
	role in data.settings.origins.roles
	some pointer, _ in input.origins
	below(pointer, at)
}

below(pointer, at) if pointer == at

below(pointer, at) if {
	rest := trim_prefix(pointer, at)
	rest != pointer
	startswith(rest, "/")
}

proved(pointer) if {
	some origin in input.origins[pointer]
	origin in {"goal", "trusted"}
}

unproved_value if {
	origins_bind
	some pointer in guarded
	not proved(pointer)
}

# Too many values to be told apart: some may be missing.
unproved_value if {
	origins_bind
	count(input.origins) >= 64
}

deny contains "origin_not_trusted" if {
	data.settings.origins
	object.get(data.settings.origins, "effect", "deny") != "escalate"
	unproved_value
}

escalate contains "origin_not_trusted" if {
	data.settings.origins.effect == "escalate"
	unproved_value
}

deny contains "setting_malformed" if {
	data.settings.origins
	some name in {"verbs", "roles"}
	not is_array(object.get(data.settings.origins, name, null))
}
