"""Reads each case (a request to the edge, and what the tool server got) with Python's json; prints what the arguments of
both are, in a form that no language has an opinion of its own about."""

import json
import struct
import sys


def neutral(value):
    if value is None:
        return "n"
    if value is True:
        return "t"
    if value is False:
        return "f"
    if isinstance(value, (int, float)):
        # A number of JSON is a double (RFC 8785); zero has no sign.
        return "#" + struct.pack(">d", float(value) + 0.0).hex()
    if isinstance(value, str):
        return "'" + value.encode("utf-8").hex()
    if isinstance(value, list):
        return "[" + ",".join(map(neutral, value)) + "]"
    members = (key.encode("utf-8").hex() + ":" + neutral(one) for key, one in value.items())
    return "{" + ",".join(sorted(members)) + "}"


with open(sys.argv[1], encoding="utf-8", newline="\n") as cases:
    for line in cases:
        case = json.loads(line)
        sent = json.loads(case["sent"])["arguments"]
        came = json.loads(case["came"])["params"]["arguments"]
        print(neutral(sent), neutral(came))
