# Business hours: `settings.hours` = {"from": 8, "to": 18, "days": ["Monday", …], "verbs": ["financial", …],
# "utc_offset_s": 3600}. Calls with one of these verbs are refused outside.
package proctor.policy

import rego.v1

hours_bind if {
	is_array(data.settings.hours.verbs)
	some verb in data.settings.hours.verbs
	verb == input.tool.verb
}

local_ns := time.parse_rfc3339_ns(input.time) + (offset_s * 1000000000)

offset_s := seconds if {
	is_object(data.settings.hours)
	seconds := object.get(data.settings.hours, "utc_offset_s", 0)
	is_number(seconds)
}

within_hours if {
	clock := time.clock(local_ns)
	clock[0] >= data.settings.hours.from
	clock[0] < data.settings.hours.to
	time.weekday(local_ns) in data.settings.hours.days
}

deny contains "outside_business_hours" if {
	hours_bind
	not within_hours
}

deny contains "setting_malformed" if {
	is_object(data.settings.hours)
	some name in {"verbs", "days"}
	not is_array(object.get(data.settings.hours, name, null))
}

deny contains "setting_malformed" if {
	is_object(data.settings.hours)
	some name in {"from", "to"}
	not is_number(object.get(data.settings.hours, name, null))
}

deny contains "setting_malformed" if {
	is_array(data.settings.hours.days)
	some day in data.settings.hours.days
	not day in {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
}

deny contains "setting_malformed" if {
	is_object(data.settings.hours)
	not is_number(object.get(data.settings.hours, "utc_offset_s", 0))
}

# A misspelt verb binds no call.
deny contains "setting_malformed" if {
	is_array(data.settings.hours.verbs)
	some verb in data.settings.hours.verbs
	not verb in {"read", "write", "destructive", "financial", "outbound", "execute"}
}

deny contains "setting_malformed" if {
	is_object(data.settings.hours)
	some member, _ in data.settings.hours
	not member in {"from", "to", "days", "verbs", "utc_offset_s"}
}
