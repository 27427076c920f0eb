# Ceilings on answers; a larger one is withheld, or with `settings.rows.over` = "trim" cut to the ceiling (response.rego). `settings.rows.max`: rows in the answer of a tool with verb `read`;
# `settings.rows.tools`: other ceilings for some tools ({"crm/search": 50}); `settings.bytes.max`: bytes in any answer.
# Add ceilings in modules of your own: `row_limits contains 5 if { … }`, `byte_limits contains 4096 if { … }`.
package proctor.policy

import rego.v1

limits := {"rows": min(row_limits), "bytes": min(byte_limits)} if {
	count(row_limits) > 0
	not rows_are_trimmed
	count(byte_limits) > 0
} else := {"rows": min(row_limits)} if {
	count(row_limits) > 0
	not rows_are_trimmed
} else := {"bytes": min(byte_limits)} if {
	count(byte_limits) > 0
} else := {}

rows_are_trimmed if data.settings.rows.over == "trim"

byte_limits contains data.settings.bytes.max if is_number(data.settings.bytes.max)

row_limits contains ceiling if some ceiling in listed_rows

row_limits contains data.settings.rows.max if {
	input.tool.verb == "read"
	count(listed_rows) == 0
	is_number(data.settings.rows.max)
}

listed_rows contains ceiling if {
	some full_name, ceiling in data.settings.rows.tools
	is_number(ceiling)
	with_slash := trim_suffix(full_name, input.tool.name)
	with_slash != full_name
	trim_suffix(with_slash, "/") == input.tool.server
	endswith(with_slash, "/")
}

deny contains "setting_malformed" if {
	data.settings.rows
	ceilings := {object.get(data.settings.rows, "max", 0)} | {ceiling | some ceiling in data.settings.rows.tools}
	some ceiling in ceilings
	not is_number(ceiling)
}

deny contains "setting_malformed" if {
	data.settings.rows
	not object.get(data.settings.rows, "over", "withhold") in {"withhold", "trim"}
}

deny contains "setting_malformed" if {
	data.settings.bytes
	not is_number(object.get(data.settings.bytes, "max", null))
}
