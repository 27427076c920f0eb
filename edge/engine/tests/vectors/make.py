#!/usr/bin/env python3
"""Makes the numbered token vectors beside this file, with pymacaroons: another implementation than ours.

    python3 -m venv venv && venv/bin/pip install pymacaroons && venv/bin/python make.py

The output is deterministic; the vectors are committed.
"""

import base64
import hashlib
import json
import pathlib
import struct

from pymacaroons import Macaroon
from pymacaroons.serializers import BinarySerializer
from pymacaroons.macaroon import MACAROON_V2
from pymacaroons.utils import hmac_digest, generate_derived_key

HERE = pathlib.Path(__file__).parent
KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
KID = "k1"


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    if n < 256:
        return bytes([major << 5 | 24, n])
    if n < 65536:
        return bytes([major << 5 | 25]) + struct.pack(">H", n)
    return bytes([major << 5 | 26]) + struct.pack(">I", n)


def text(s):
    return head(3, len(s.encode())) + s.encode()


def identifier(v=1, kid=KID, nonce=bytes(16), tenant="acme", agent="copilot", iat=1700000000, extra=b""):
    members = [
        text("v") + head(0, v),
        text("kid") + text(kid),
        text("nonce") + head(2, len(nonce)) + nonce,
        text("tenant") + text(tenant),
        text("agent") + text(agent),
        text("iat") + head(0, iat),
    ]
    count = len(members) + (1 if extra else 0)
    return head(5, count) + b"".join(members) + extra


def macaroon(caveats, key=KEY, location="acme", ident=None):
    m = Macaroon(location=location, identifier=ident or identifier(), key=key, version=MACAROON_V2)
    for caveat in caveats:
        m.add_first_party_caveat(caveat)
    return m


def raw(m):
    return BinarySerializer().serialize_raw(m)


def as_text(data):
    return "pct_" + base64.urlsafe_b64encode(data).decode().rstrip("=")


def tags(caveats, key=KEY, ident=None):
    tag = hmac_digest(generate_derived_key(key), ident or identifier())
    out = [tag]
    for caveat in caveats:
        tag = hmac_digest(tag, caveat.encode())
        out.append(tag)
    return out


def revocation_ids(caveats):
    return [hashlib.sha256(b"proctor-revocation-v1" + tag).hexdigest() for tag in tags(caveats)]


NEEDED = ["time < 2026-11-23T21:00:00Z", "tool in crm/read_*,files/read_file"]
ALL = NEEDED + [
    "time >= 2026-01-01T00:00:00Z",
    "tool not in */delete_*",
    "intent = int_01J",
    "session = s-91f2",
    "agent = copilot",
    "verb in read,write",
    "arg files/read_file /path matches ^/reports/",
    "arg bank/send_money /amount <= 100",
    "arg bank/send_money /amount >= 0.5",
    'arg bank/send_money /currency in ["EUR","USD"]',
    'arg crm/* /name = "Zo\\u00eb"',
    "calls <= 20",
    "region in eu-west,eu-central",
    "edge = edge_1",
    "depth <= 2",
    "delegate = researcher-2",
    "delegate = researcher-3",
]

vectors = []


def valid(name, caveats):
    vectors.append((name, {
        "token": as_text(raw(macaroon(caveats))),
        "caveats": caveats,
        "revocation_ids": revocation_ids(caveats),
    }))


def hostile(name, data, reason):
    token = data if isinstance(data, str) else as_text(data)
    vectors.append((name, {"token": token, "reason": reason}))


valid("least", NEEDED)
valid("all-caveats", ALL)
valid("repeated-caveats", NEEDED + NEEDED)
valid("cost", NEEDED + ["cost <= 500000"])
valid("time-with-offset", ["time < 2026-11-23T22:00:00+01:00", "tool in */*"])

plain = raw(macaroon(NEEDED))
hostile("other-key", raw(macaroon(NEEDED, key=OTHER_KEY)), "token_forged")
hostile("tag-of-a-prefix", plain[:-32] + tags(NEEDED)[1], "token_forged")
hostile("tag-altered", plain[:-1] + bytes([plain[-1] ^ 1]), "token_forged")
hostile("tag-of-zeros", plain[:-32] + bytes(32), "token_forged")
hostile("caveat-dropped", raw(macaroon(ALL[:-1]))[:-32] + tags(ALL)[-1], "token_forged")
hostile("caveats-swapped", raw(macaroon([NEEDED[1], NEEDED[0]]))[:-32] + tags(NEEDED)[-1], "token_forged")
hostile("unknown-key", raw(macaroon(NEEDED, ident=identifier(kid="k9"))), "token_unknown_key")
hostile("other-tenant", raw(macaroon(NEEDED, location="evil", ident=identifier(tenant="evil"))), "token_unknown_key")
hostile("location-not-tenant", raw(macaroon(NEEDED, location="evil")), "token_malformed")
hostile("identifier-version", raw(macaroon(NEEDED, ident=identifier(v=2))), "token_malformed")
hostile("identifier-short-nonce", raw(macaroon(NEEDED, ident=identifier(nonce=bytes(15)))), "token_malformed")
hostile("identifier-extra-member", raw(macaroon(NEEDED, ident=identifier(extra=text("x") + head(0, 1)))), "token_malformed")
hostile("identifier-long-integer", raw(macaroon(NEEDED, ident=identifier()[:3] + b"\x18\x01" + identifier()[4:])), "token_malformed")
hostile("identifier-text", raw(macaroon(NEEDED, ident=b"{\"v\":1}")), "token_malformed")
hostile("identifier-trailing", raw(macaroon(NEEDED, ident=identifier() + b"\x00")), "token_malformed")
third = macaroon(NEEDED)
# What a third-party caveat looks like: location, identifier and a verification id.
packet = b"\x01\x04evil\x02\x03abc\x04\x03vid\x00"
hostile("third-party-caveat", raw(third)[:-35] + packet + raw(third)[-35:], "token_malformed")
hostile("caveat-with-location", raw(third)[:-35] + b"\x01\x04acme\x02\x03abc\x00" + raw(third)[-35:], "token_malformed")
hostile("trailing-bytes", plain + b"\x00", "token_malformed")
hostile("truncated", plain[:-1], "token_malformed")
hostile("version-1", b"\x01" + plain[1:], "token_malformed")
hostile("long-length", plain[:1] + b"\x01\x84\x00acme" + plain[7:], "token_malformed")
hostile("empty", "pct_", "token_malformed")
hostile("no-prefix", as_text(plain)[4:], "token_malformed")
hostile("padded", as_text(plain) + "=", "token_malformed")
hostile("standard-alphabet", "pct_" + base64.b64encode(b"\x02\xff\xfe\xfb").decode().rstrip("="), "token_malformed")
hostile("no-expiry", raw(macaroon(NEEDED[1:])), "token_incomplete")
hostile("no-tools", raw(macaroon(NEEDED[:1])), "token_incomplete")
hostile("no-caveats", raw(macaroon([])), "token_incomplete")
for name, caveat in [
    ("unknown-caveat", "color = blue"),
    ("cnf-caveat", "cnf = 0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4"),
    ("caveat-without-operator", "time"),
    ("caveat-with-two-spaces", "calls <=  5"),
    ("caveat-negative", "calls <= -5"),
    ("caveat-plus", "calls <= +5"),
    ("caveat-not-ascii", "session = s\u00e9"),
    ("caveat-newline", "calls <= 5\n"),
    ("caveat-date", "time < 2026-11-23"),
    ("caveat-empty-list", "tool in "),
    ("caveat-empty-item", "verb in read,,write"),
    ("caveat-bare-glob", "tool in *"),
    ("caveat-bad-pattern", "arg a/b /c matches (a"),
    ("caveat-huge-pattern", "arg a/b /c matches (a{1000}){1000}"),
    ("caveat-duplicate-keys", 'arg a/b /c = {"a":1}'),
    ("caveat-bad-pointer", "arg a/b c = 1"),
    ("caveat-upper-case", "CALLS <= 5"),
]:
    hostile(name, raw(macaroon(NEEDED + [caveat])), "token_unknown_caveat")
hostile("too-deep", raw(macaroon(NEEDED + ["depth <= 1", "delegate = a", "delegate = b"])), "delegation_too_deep")
hostile("depth-raised", raw(macaroon(NEEDED + ["depth <= 0", "depth <= 9", "delegate = a"])), "delegation_too_deep")
hostile("too-many-caveats", raw(macaroon(NEEDED + ["depth <= 9"] * 63)), "token_malformed")
hostile("too-large", raw(macaroon(NEEDED + ["session = " + "a" * 3000])), "token_malformed")
valid("cnf", NEEDED + ["cnf = 0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"])

for old in HERE.glob("[0-9]*.json"):
    old.unlink()
for number, (name, vector) in enumerate(vectors, 1):
    path = HERE / f"{number:02d}-{name}.json"
    path.write_text(json.dumps(vector, indent=1) + "\n")
print(len(vectors), "vectors")
