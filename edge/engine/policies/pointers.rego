# What the pointers of roles lead to among the arguments. `*` is each element of a list or member of an object, and a list may stand
# where a pointer says nothing of one (`/payments/amount`). A value that is missing is `null`; where the way to it is not plain (a second `*`, a
# list in a list) there is an object in its place, which no rule takes for an amount or a destination.
package proctor.policy

import rego.v1

pointer_steps(pointer) := split(trim_prefix(pointer, "/"), "/")

# What is at the end of each plain way, and the other ways' steps: found out once, however many rules ask.
plain_values[pointer] := object.get(input.args, steps, null) if {
	some pointer in bound_pointers
	steps := pointer_steps(pointer)
	is_plain_pointer(steps)
}

winding_ways[pointer] := steps if {
	some pointer in bound_pointers
	steps := pointer_steps(pointer)
	not is_plain_pointer(steps)
}

# Those of roles that a rule is about, and those without a role that matter all the same.
bound_pointers contains pointer if {
	some pointer, role in input.tool.roles
	role in {"target", "amount"}
}

bound_pointers contains pointer if some pointer in aside_pointers

aside_pointers contains pointer if {
	some pointer in object.get(input.tool, "consequential", [])
	object.get(input.tool.roles, pointer, "") == ""
}

# Neither `*` nor a list on the way: `object.get` has the value.
is_plain_pointer(steps) if {
	not "*" in steps
	count(pointer_lists(steps)) == 0
}

# The places of the lists on the way, the value itself not counted.
pointer_lists(steps) := {i |
	some i, _ in steps
	is_array(object.get(input.args, array.slice(steps, 0, i), null))
}

# The values at the end of any other way.
pointed_values(steps) := {value |
	some ends in [starred_values(steps), starred_astray(steps), listed_values(steps)]
	some value in ends
}

starred_values(steps) := {value |
	at := min({i | some i, step in steps; step == "*"})
	branches := object.get(input.args, array.slice(steps, 0, at), null)
	is_list(branches)
	some branch in branches
	some value in values_beyond(branch, array.slice(steps, at + 1, count(steps)))
}

# Something else where elements are meant to be.
starred_astray(steps) := {mark |
	at := min({i | some i, step in steps; step == "*"})
	branches := object.get(input.args, array.slice(steps, 0, at), null)
	not is_null(branches)
	not is_list(branches)
	mark := {"unreadable": true}
}

listed_values(steps) := {value |
	not "*" in steps
	at := min(pointer_lists(steps))
	some branch in object.get(input.args, array.slice(steps, 0, at), [])
	some value in values_beyond(branch, array.slice(steps, at, count(steps)))
}

values_beyond(branch, steps) := {value |
	some ends in [branch_itself(branch, steps), branch_inside(branch, steps), branch_astray(branch, steps)]
	some value in ends
}

branch_itself(branch, steps) := {branch |
	count(steps) == 0
	not is_array(branch)
}

branch_inside(branch, steps) := {value |
	is_plain_beyond(branch, steps)
	value := object.get(branch, steps, null)
}

branch_astray(branch, steps) := {mark |
	count(branch_itself(branch, steps)) == 0
	not is_plain_beyond(branch, steps)
	mark := {"unreadable": true}
}

is_plain_beyond(branch, steps) if {
	count(steps) > 0
	is_object(branch)
	not "*" in steps
	every i, _ in steps {
		not is_array(object.get(branch, array.slice(steps, 0, i), null))
	}
}
