"""Tampers with a token: without its last caveat, and with another tag; one per line."""

import base64
import sys

from pymacaroons import Macaroon
from pymacaroons.serializers import BinarySerializer

PREFIX = "pct_"


def write(macaroon: Macaroon) -> str:
    data = macaroon.serialize(serializer=BinarySerializer())
    raw = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
    return PREFIX + base64.urlsafe_b64encode(raw).decode().rstrip("=")


wider = Macaroon.deserialize(sys.argv[1][len(PREFIX):])
wider.caveats.pop()
print(write(wider))

other = Macaroon.deserialize(sys.argv[1][len(PREFIX):])
signature = other.signature
other.signature = ("0" if signature[0] != "0" else "1") + signature[1:]
print(write(other))
