# A ceiling on each amount of financial tools: `settings.financial.max_amount`. The catalogue says which arguments are amounts (role
# `amount`, see pointers.rego). With a ceiling set, a financial call whose amount can't be read, or is missing, is refused;
# `settings.financial.optional` = ["server/tool", …]: tools whose amount may be left out, as what they do then is known to be harmless.
package proctor.policy

import rego.v1

amount_pointers contains pointer if {
	some pointer, role in input.tool.roles
	role == "amount"
}

amounts contains value if {
	some pointer in amount_pointers
	value := plain_values[pointer]
}

amounts contains value if {
	some pointer in amount_pointers
	some value in pointed_values(winding_ways[pointer])
}

amount_optional if {
	is_object(data.settings.financial)
	named := object.get(data.settings.financial, "optional", [])
	is_array(named)
	some full_name in named
	with_slash := trim_suffix(full_name, input.tool.name)
	with_slash != full_name
	trim_suffix(with_slash, "/") == input.tool.server
	endswith(with_slash, "/")
}

left_out(amount) if {
	is_null(amount)
	amount_optional
}

financial_ceiling := ceiling if {
	input.tool.verb == "financial"
	ceiling := data.settings.financial.max_amount
	is_number(ceiling)
}

deny contains "amount_over_limit" if {
	is_number(financial_ceiling)
	some amount in amounts
	is_number(amount)
	amount > financial_ceiling
}

deny contains "amount_negative" if {
	input.tool.verb == "financial"
	some amount in amounts
	is_number(amount)
	amount < 0
}

deny contains "amount_unreadable" if {
	is_number(financial_ceiling)
	some amount in amounts
	not is_number(amount)
	not left_out(amount)
}

# No element has one.
deny contains "amount_unreadable" if {
	is_number(financial_ceiling)
	count(amount_pointers) > 0
	count(amounts) == 0
	not amount_optional
}

deny contains "amount_unreadable" if {
	is_number(financial_ceiling)
	count(amount_pointers) == 0
}

# A ceiling that is no number must not pass for none.
deny contains "setting_malformed" if {
	input.tool.verb == "financial"
	is_object(data.settings.financial)
	not is_number(object.get(data.settings.financial, "max_amount", null))
}

deny contains "setting_malformed" if {
	input.tool.verb == "financial"
	is_object(data.settings.financial)
	not is_array(object.get(data.settings.financial, "optional", []))
}

deny contains "setting_malformed" if {
	input.tool.verb == "financial"
	is_object(data.settings.financial)
	some member, _ in data.settings.financial
	not member in {"max_amount", "optional"}
}
