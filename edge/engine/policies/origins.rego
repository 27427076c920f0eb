# The untrusted-origin guard, also for calls without an intent: `settings.origins` = {"verbs": ["financial", …],
# "roles": ["target", "credential"], "effect": "deny" or "escalate"}. Arguments with one of these roles need a value that was seen
# in the goal or in a trusted result (`input.origins`).
package proctor.policy

import rego.v1

origins_bind if {
	is_array(data.settings.origins.verbs)
	some verb in data.settings.origins.verbs
	verb == input.tool.verb
}

# The values that a role is for. In the pointer of a role `*` is any one step, and an index may be missing: each name in it
# has to stand in the pointer of the value.
guarded contains pointer if {
	some pointer, _ in input.origins
	guards_exactly(pointer)
}

guarded contains pointer if {
	some at, role in input.tool.roles
	role in data.settings.origins.roles
	names := {step | some step in split(at, "/"); not any_step(step)}
	some pointer, steps in steps_of
	names & steps == names
}

# The same without taking it apart, which most pointers need not be.
guards_exactly(pointer) if input.tool.roles[pointer] in data.settings.origins.roles

# Of what is not guarded by then.
steps_of := {pointer: {step | some step in split(pointer, "/")} |
	some pointer, _ in input.origins
	not guards_exactly(pointer)
}

any_step("*") := true

any_step(step) if {
	step != ""
	trim(step, "0123456789") == ""
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

# Where something has to be named there is something to be proved: `true` or an empty list is no name.
unproved_value if {
	origins_bind
	some role in input.tool.roles
	role in data.settings.origins.roles
	role in {"target", "command"}
	count(guarded) == 0
}

# Too many values to be told apart: some may be missing.
unproved_value if {
	origins_bind
	count(input.origins) >= 64
}

deny contains "origin_not_trusted" if {
	is_object(data.settings.origins)
	object.get(data.settings.origins, "effect", "deny") != "escalate"
	unproved_value
}

escalate contains "origin_not_trusted" if {
	data.settings.origins.effect == "escalate"
	unproved_value
}

deny contains "setting_malformed" if {
	is_object(data.settings.origins)
	some name in {"verbs", "roles"}
	not is_array(object.get(data.settings.origins, name, null))
}

deny contains "setting_malformed" if {
	is_object(data.settings.origins)
	not object.get(data.settings.origins, "effect", "deny") in {"deny", "escalate"}
}

# A misspelt role guards nothing.
deny contains "setting_malformed" if {
	is_array(data.settings.origins.roles)
	some role in data.settings.origins.roles
	not role in {"target", "command", "credential", "selector", "amount", "currency", "row_limit", "content", "tenant", "memory_key", "control"}
}

# A misspelt verb binds no call.
deny contains "setting_malformed" if {
	is_array(data.settings.origins.verbs)
	some verb in data.settings.origins.verbs
	not verb in {"read", "write", "destructive", "financial", "outbound", "execute"}
}

deny contains "setting_malformed" if {
	is_object(data.settings.origins)
	some member, _ in data.settings.origins
	not member in {"verbs", "roles", "effect"}
}
