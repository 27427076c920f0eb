decision := {"effect": "allow", "a": [[{"b": {"c": [1 | 2, -3]}}], {k: v | some k, v in input}]}
