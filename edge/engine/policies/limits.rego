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
	is_object(data.settings.rows.tools)
	some full_name, ceiling in data.settings.rows.tools
	is_number(ceiling)
	with_slash := trim_suffix(full_name, input.tool.name)
	with_slash != full_name
	trim_suffix(with_slash, "/") == input.tool.server
	endswith(with_slash, "/")
}

deny contains "setting_malformed" if {
	is_object(data.settings.rows)
	not is_number(object.get(data.settings.rows, "max", 0))
}

deny contains "setting_malformed" if {
	data.settings.rows.tools
	not is_object(data.settings.rows.tools)
}

deny contains "setting_malformed" if {
	is_object(data.settings.rows.tools)
	some ceiling in data.settings.rows.tools
	not is_number(ceiling)
}

# Without its server a tool is not found.
deny contains "setting_malformed" if {
	is_object(data.settings.rows.tools)
	some full_name, _ in data.settings.rows.tools
	not contains(full_name, "/")
}

deny contains "setting_malformed" if {
	is_object(data.settings.rows)
	some member, _ in data.settings.rows
	not member in {"max", "tools", "over"}
}

deny contains "setting_malformed" if {
	is_object(data.settings.rows)
	not object.get(data.settings.rows, "over", "withhold") in {"withhold", "trim"}
}

deny contains "setting_malformed" if {
	is_object(data.settings.bytes)
	not is_number(object.get(data.settings.bytes, "max", null))
}

deny contains "setting_malformed" if {
	is_object(data.settings.bytes)
	some member, _ in data.settings.bytes
	not member in {"max"}
}
