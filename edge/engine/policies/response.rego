# What is done with an answer. The call was made; here it is only decided how much of the answer the agent gets:
# `settings.redact` = {"crm/contact": ["/email", "/notes/*/text"]}: fields (JSON Pointers, `*` for any one step) that are taken out
# of a tool's answers; `settings.rows.over` = "trim": see limits.rego. Add to it in modules of your own:
# `withhold contains "my_reason" if { input.result.rows > 1000 }`, `redact contains "/email" if { … }`, `row_trims contains 5 if { … }`.
package proctor.policy

import rego.v1

answer := {"effect": "deny", "reasons": withhold} if {
	count(withhold) > 0
} else := {"effect": "modify", "reasons": [], "redact": redact, "limits": {"rows": min(row_trims)}} if {
	count(row_trims) > 0
} else := {"effect": "modify", "reasons": [], "redact": redact} if {
	count(redact) > 0
} else := {"effect": "allow", "reasons": []}

# Without numbers nothing can be said about an answer.
withhold contains "result_missing" if not input.result

row_trims contains ceiling if {
	rows_are_trimmed
	some ceiling in row_limits
}

redact contains pointer if {
	is_object(data.settings.redact)
	some full_name, pointers in data.settings.redact
	is_array(pointers)
	with_slash := trim_suffix(full_name, input.tool.name)
	with_slash != full_name
	trim_suffix(with_slash, "/") == input.tool.server
	endswith(with_slash, "/")
	some pointer in pointers
}

# Found out before the call, not when its answer is there.
deny contains "setting_malformed" if {
	is_object(data.settings.redact)
	some pointers in data.settings.redact
	not is_array(pointers)
}

deny contains "setting_malformed" if {
	is_object(data.settings.redact)
	some pointers in data.settings.redact
	is_array(pointers)
	some pointer in pointers
	not startswith(pointer, "/")
}

# Without its server a tool is not found.
deny contains "setting_malformed" if {
	is_object(data.settings.redact)
	some full_name, _ in data.settings.redact
	not contains(full_name, "/")
}
