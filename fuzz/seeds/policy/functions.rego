decision := {"effect": "allow"} if {
	every x in input.args.list { to_number(x) + 1 < 9 }
	f(input.args.n, [y | y := input.args.list[_]; is_string(y)]) == 5
}

f(a, b) := a * 2 - count(b) if regex.match(`^[a-z]+$`, input.args.to)

default allow := false

allow if input.args with input.args as {"a": {1, 2} | {3}}
