import rego.v1

decision := {"effect": "deny", "reasons": deny} if {
	count(deny) > 0
} else := {"effect": "allow", "reasons": []}

deny contains "too_much" if input.args.n > data.settings.most

deny contains "name" if not input.args.to in {x | some x in data.settings.names}
