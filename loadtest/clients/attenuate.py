"""Narrows a capability token with pymacaroons, offline: `attenuate.py TOKEN CAVEAT…` prints the new token."""

import base64
import sys

from pymacaroons import Macaroon
from pymacaroons.serializers import BinarySerializer

PREFIX = "pct_"


def read(text: str) -> Macaroon:
    assert text.startswith(PREFIX)
    return Macaroon.deserialize(text[len(PREFIX):])


def main() -> None:
    macaroon = read(sys.argv[1])
    for caveat in sys.argv[2:]:
        macaroon.add_first_party_caveat(caveat)
    data = macaroon.serialize(serializer=BinarySerializer())
    raw = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
    print(PREFIX + base64.urlsafe_b64encode(raw).decode().rstrip("="))


main()
