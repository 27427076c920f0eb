# The decision about a call: refused on any ground that the other modules give, escalated on any of theirs, else allowed;
# and about an answer: see response.rego. Add grounds in modules of your own: `deny contains "my_reason" if { … }`.
package proctor.policy

import rego.v1

# One chain, so that each ground is asked for once.
decision := answer if {
	input.phase == "response"
} else := {"effect": "deny", "reasons": deny} if {
	count(deny) > 0
} else := {"effect": "escalate", "reasons": escalate} if {
	count(escalate) > 0
} else := {"effect": "deny", "reasons": ["undefined"]} if {
	object.get(input, "phase", null) != "request"
} else := {"effect": "modify", "reasons": [], "limits": limits} if {
	count(limits) > 0
} else := {"effect": "allow", "reasons": []}

# The settings of the library's modules, which say what has to be in them: in anything else they would find nothing, and guard
# nothing. `false` is none. Who adds modules gives their settings names of their own.
deny contains "setting_malformed" if {
	some name in {"bytes", "destinations", "destructive", "financial", "hours", "mass", "memory", "origins", "redact", "rows", "sequence"}
	setting := object.get(data.settings, name, false)
	setting != false
	not is_object(setting)
}

# A call whose tool has no verb can't be judged.
deny contains "verb_missing" if not input.tool.verb

# Grounds for asking a person; modules of your own may add some.
escalate contains "verb_unknown" if {
	input.tool.verb
	not input.tool.verb in {"read", "write", "destructive", "financial", "outbound", "execute"}
}
