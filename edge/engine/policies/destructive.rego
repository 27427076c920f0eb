# Destructive tools are refused, but for those that `settings.destructive.allow` lists (["server/tool", …]).
package proctor.policy

import rego.v1

deny contains "destructive_verb" if {
	input.tool.verb == "destructive"
	not destructive_allowed
}

destructive_allowed if {
	is_array(data.settings.destructive.allow)
	some full_name in data.settings.destructive.allow

	# "server/tool", taken apart rather than put together: a decision has no built-ins that make text longer.
	with_slash := trim_suffix(full_name, input.tool.name)
	with_slash != full_name
	trim_suffix(with_slash, "/") == input.tool.server
	endswith(with_slash, "/")
}

deny contains "setting_malformed" if {
	is_object(data.settings.destructive)
	some member, _ in data.settings.destructive
	not member in {"allow"}
}
