# A ceiling on the amounts of financial tools: `settings.financial.max_amount`. The catalogue says which arguments
# are amounts (role `amount`). With a ceiling set, a financial call whose amount can't be read is refused.
package proctor.policy

import rego.v1

amount_pointers contains pointer if {
	some pointer, role in input.tool.roles
	role == "amount"
}

amounts contains value if {
	some pointer in amount_pointers
	value := object.get(input.args, split(trim_prefix(pointer, "/"), "/"), null)
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
}

deny contains "amount_unreadable" if {
	is_number(financial_ceiling)
	count(amount_pointers) == 0
}

# A ceiling that is no number must not pass for none.
deny contains "setting_malformed" if {
	input.tool.verb == "financial"
	data.settings.financial
	not is_number(object.get(data.settings.financial, "max_amount", null))
}
