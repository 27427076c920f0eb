# What a session may not do one after the other (`input.history`: permitted calls, those under way included). Of a session
# whose history is incomplete (an edge started anew, or it had to make room) what a guard asks about counts as done:
# `settings.sequence` = {
#   "untrusted_then_outbound": true,   something untrusted was read, now something is to leave
#   "rows_then_outbound": 1000,        so many rows were read, now something is to leave
#   "destructive_max": 3,              more destructive calls than that in one session
#   "first_financial": true,           the first use of a financial tool
#   "effect": "escalate" or "deny"     escalate, if it is missing
# }
package proctor.policy

import rego.v1

leaving if input.tool.verb in {"outbound", "financial", "execute"}

sequence contains "untrusted_then_outbound" if {
	data.settings.sequence.untrusted_then_outbound == true
	leaving
	input.history.untrusted_reads > 0
}

sequence contains "rows_then_outbound" if {
	leaving
	input.history.rows >= data.settings.sequence.rows_then_outbound
}

sequence contains "destructive_burst" if {
	input.tool.verb == "destructive"
	object.get(input.history.by_verb, "destructive", 0) >= data.settings.sequence.destructive_max
}

sequence contains "first_financial" if {
	data.settings.sequence.first_financial == true
	input.tool.verb == "financial"
	object.get(input.history.by_verb, "financial", 0) == 0
}

# What was done before is not known: no count can be below a ceiling, and something untrusted may have been read.
sequence contains "history_incomplete" if {
	object.get(input, ["history", "incomplete"], false) != false
	asks_the_past
}

asks_the_past if {
	data.settings.sequence.untrusted_then_outbound == true
	leaving
}

asks_the_past if {
	data.settings.sequence.rows_then_outbound
	leaving
}

asks_the_past if {
	data.settings.sequence.destructive_max
	input.tool.verb == "destructive"
}

# Without a history nothing can be said about it.
sequence contains "history_missing" if not input.history

# The set is asked for only where there is a setting: a decision has to be quick.
deny contains ground if {
	data.settings.sequence.effect == "deny"
	some ground in sequence
}

escalate contains ground if {
	is_object(data.settings.sequence)
	object.get(data.settings.sequence, "effect", "escalate") != "deny"
	some ground in sequence
}

deny contains "setting_malformed" if {
	is_object(data.settings.sequence)
	some name in {"rows_then_outbound", "destructive_max"}
	not is_number(object.get(data.settings.sequence, name, 0))
}

deny contains "setting_malformed" if {
	is_object(data.settings.sequence)
	some name in {"untrusted_then_outbound", "first_financial"}
	not is_boolean(object.get(data.settings.sequence, name, false))
}

deny contains "setting_malformed" if {
	is_object(data.settings.sequence)
	not object.get(data.settings.sequence, "effect", "escalate") in {"deny", "escalate"}
}

deny contains "setting_malformed" if {
	is_object(data.settings.sequence)
	some member, _ in data.settings.sequence
	not member in {"untrusted_then_outbound", "rows_then_outbound", "destructive_max", "first_financial", "effect"}
}
