# The decision: refused on any ground that the other modules give, escalated on any of theirs, else allowed.
# Add grounds in modules of your own: `deny contains "my_reason" if { … }`.
package proctor.policy

import rego.v1

default decision := {"effect": "deny", "reasons": ["undefined"]}

decision := {"effect": "deny", "reasons": deny} if {
	count(deny) > 0
}

decision := {"effect": "escalate", "reasons": escalate} if {
	count(deny) == 0
	count(escalate) > 0
}

decision := {"effect": "allow", "reasons": []} if {
	input.phase == "request"
	count(deny) == 0
	count(escalate) == 0
	count(limits) == 0
}

decision := {"effect": "modify", "reasons": [], "limits": limits} if {
	input.phase == "request"
	count(deny) == 0
	count(escalate) == 0
	count(limits) > 0
}

# A call whose tool has no verb can't be judged.
deny contains "verb_missing" if not input.tool.verb

# Grounds for asking a person; modules of your own may add some.
escalate contains "verb_unknown" if {
	input.tool.verb
	not input.tool.verb in {"read", "write", "destructive", "financial", "outbound", "execute"}
}
