#!/usr/bin/env python3
"""A second verifier for audit bundles, written from docs/audit-format.md alone.

Usage: verify_audit.py BUNDLE... --key KEY [--key KEY] [--witness KEY] [--checkpoint FILE] [--whole]

--key is the log's key, as NAME+ID+BASE64 or as the bare Ed25519 public key in base64; get it from somewhere else than the
bundle. Each witness has to have cosigned the last checkpoint besides. A checkpoint that you kept has to be in the log.
--whole asks for all of each log. Needs only `pip install cryptography`.
Exit code 0: sound. 4: not; what is wrong is named.
"""

import argparse
import base64
import hashlib
import json
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "proctor.audit-bundle/1"
ZERO = "0" * 64


class Wrong(Exception):
    """The first thing that is wrong: a fault's identifier, the entry's number or 0, a sentence."""


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf(data):
    return sha256(b"\x00" + data)


def unbase64(text):
    return base64.b64decode(text, validate=True)


class Tree:
    """RFC 6962: complete subtrees, the largest first."""

    def __init__(self, size=0, nodes=()):
        self.size, self.nodes = size, list(nodes)
        if bin(size).count("1") != len(self.nodes):
            raise Wrong("header", 0, "not as many hashes as there have to be")

    def push(self, node, level=0):
        if self.size % (1 << level):
            raise Wrong("header", 0, "a subtree that can't stand here")
        height = level
        while (self.size >> height) & 1:
            node = sha256(b"\x01" + self.nodes.pop() + node)
            height += 1
        self.nodes.append(node)
        self.size += 1 << level

    def root(self):
        if not self.nodes:
            return sha256(b"")
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = sha256(b"\x01" + node + root)
        return root


def subtrees(start, end):
    """Levels of the complete subtrees that the leaves start..end consist of."""
    levels = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        levels.append(level)
        start += 1 << level
    return levels


class Key:
    def __init__(self, text):
        match = re.fullmatch(r"([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", text)
        if match:
            typed = unbase64(match[3])
            self.name, self.public = match[1], typed[1:]
            if typed[0] not in (1, 4) or self.id(self.name, typed[0]).hex() != match[2]:
                raise SystemExit("--key: not a verifier key")
        else:
            text = text.replace("-", "+").replace("_", "/").rstrip("=")
            self.name, self.public = None, unbase64(text + "=" * (-len(text) % 4))
        self.key = Ed25519PublicKey.from_public_bytes(self.public)

    def id(self, name, kind):
        return sha256(name.encode() + b"\n" + bytes([kind]) + self.public)[:4]

    def verify(self, message, signature):
        try:
            self.key.verify(signature, message)
        except InvalidSignature:
            raise Wrong("checkpoint", 0, "a signature of a known key does not verify") from None


def open_note(note, keys):
    """(origin, size, root, time or None, who signed as (public key, name, type)) of a checkpoint that one of the keys signed."""
    try:
        text, signatures = note.rsplit("\n\n", 1)
        text += "\n"
        origin, size, root = text.split("\n")[:3]
        size, written = int(size), size
        root = unbase64(root)
        lines = [re.fullmatch("\u2014 ([^ +]+) ([A-Za-z0-9+/=]+)", line) for line in signatures.removesuffix("\n").split("\n")]
        lines = [(line[1], unbase64(line[2])) for line in lines]
    except (ValueError, TypeError):
        raise Wrong("checkpoint", 0, "not a checkpoint") from None
    if written != str(size) or size < 0 or len(root) != 32 or not signatures.endswith("\n"):
        raise Wrong("checkpoint", 0, "not a checkpoint")
    signed, times = [], []
    for name, signature in lines:
        for key in keys:
            if (key.name or origin) != name:
                continue
            if signature[:4] == key.id(name, 1):
                key.verify(text.encode(), signature[4:])
                signed.append((key.public, name, 1))
            elif signature[:4] == key.id(name, 4):
                time = int.from_bytes(signature[4:12], "big")
                key.verify(f"cosignature/v1\ntime {time}\n{text}".encode(), signature[12:])
                signed.append((key.public, name, 4))
                times.append(time)
    if not signed:
        raise Wrong("checkpoint", 0, "not signed with a key that is trusted here")
    return origin, size, root, max(times, default=None), signed


def canonical(value):
    """RFC 8785, as far as entries need it: their numbers are integers, their keys ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def unique(pairs):
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key that is there twice")
    return dict(pairs)


def parse_entry(line, seq):
    try:
        entry = json.loads(line.decode(), object_pairs_hook=unique)
        place = [entry[name] for name in ("v", "tenant", "seq", "prev", "edge", "edge_seq", "edge_prev", "event_id", "kind")]
        numbers = all(type(entry[name]) is int for name in ("seq", "edge_seq"))
        if place[0] != "proctor.audit/1" or not numbers or canonical(entry) != line:
            raise ValueError
        return entry
    except (ValueError, KeyError, TypeError):
        raise Wrong("form", seq, "this is no audit entry") from None


class Bundle:
    """Checks one bundle; `known` is a list of (tenant, size, root) from elsewhere, `seals` one of those that are compared where that can be."""

    def __init__(self, header, keys, witnesses, known, seals=()):
        try:
            self.tenant, self.first, self.last, self.size = (header[name] for name in ("tenant", "first", "last", "size"))
            left = [bytes.fromhex(node) for node in header["left"]]
            self.right = [bytes.fromhex(node) for node in header["right"]]
            notes = header["checkpoints"]
            right = header["bundle"] == FORMAT and 1 <= self.first <= self.last + 1 and self.last <= self.size
        except (KeyError, TypeError, ValueError):
            right = False
        if not right or len(self.right) != len(subtrees(self.last, self.size)):
            raise Wrong("header", 0, "the first line is no header")
        self.tree = Tree(self.first - 1, left)
        self.marks, self.tenants, self.seals, self.doubles = {}, {}, [], []
        before, origin_before, signed = None, None, []
        for note in notes:
            origin, size, root, time, signed = open_note(note, keys + witnesses)
            if not origin.endswith(f"/audit/{self.tenant}") or origin_before not in (None, origin):
                raise Wrong("checkpoint", size, "a checkpoint of another log")
            if not any((key.public, origin, 1) in signed for key in keys):
                raise Wrong("checkpoint", size, "a checkpoint that the log did not sign")
            if before and (size <= before[0] or (time or before[1]) < before[1]):
                raise Wrong("checkpoint", size, "a checkpoint that does not rise over the one before")
            before, origin_before = (size, time or (before[1] if before else 0)), origin
            self.mark(size, root, "root")
        if before is None or before[0] != self.size:
            raise Wrong("checkpoint", self.size, "there is no checkpoint of the whole log")
        for witness in witnesses:
            if (witness.public, witness.name, 4) not in signed:
                raise Wrong("witness", self.size, f"{witness.name} has not cosigned the last checkpoint")
        for tenant, size, root in known:
            if tenant != self.tenant:
                continue
            if size > self.size:
                raise Wrong("old", self.size, f"the log had {size} entries before")
            self.mark(size, root, "history")
        for tenant, size, root in seals:
            if tenant == self.tenant and self.reaches(size):
                self.mark(size, root, "history")
        self.seq, self.before = self.first - 1, ZERO if self.first == 1 else None
        self.lanes, self.ids = {}, set()
        self.compare()

    def reaches(self, size):
        return size == self.size or self.first - 1 <= size <= self.last

    def mark(self, size, root, fault):
        if not self.reaches(size):
            raise Wrong("uncovered", size, "a checkpoint that can't be compared with these entries")
        self.marks.setdefault(size, []).append((root, fault))

    def compare(self):
        for root, fault in self.marks.get(self.tree.size, ()):
            if root != self.tree.root():
                raise Wrong(fault, self.tree.size, f"entries up to {self.tree.size} are not those that were sealed")

    def entry(self, line):
        seq = self.seq + 1
        if seq > self.last:
            raise Wrong("length", seq, "more entries than the header says")
        entry = parse_entry(line, seq)
        if entry["tenant"] != self.tenant:
            raise Wrong("tenant", seq, "an entry of another tenant")
        if entry["seq"] != seq:
            raise Wrong("number", seq, f"entry {entry['seq']} stands where {seq} has to")
        if self.before not in (None, entry["prev"]):
            raise Wrong("link", seq, "it does not follow from the entry before it")
        if entry["event_id"] in self.ids:
            self.doubles.append(Wrong("double", seq, "an event that is there already"))
        self.ids.add(entry["event_id"])
        self.lane(seq, entry)
        # What another lane says of seals is an edge's word.
        if (self.tenant, entry["edge"], entry["kind"]) == ("_platform", "ledger", "sealed") and "sealed" in entry:
            seal = entry["sealed"]
            named = (seal["tenant"], seal["size"], bytes.fromhex(seal["root"]))
            self.tenants[seal["tenant"]] = named
            self.seals.append(named)
        hashed = leaf(line)
        self.seq, self.before = seq, hashed.hex()
        self.tree.push(hashed)
        self.compare()

    def lane(self, seq, entry):
        edge_form = {key: value for key, value in entry.items() if key not in ("seq", "prev")}
        start = (0, ZERO) if self.first == 1 else None
        before = self.lanes.get(entry["edge"], start)
        self.lanes[entry["edge"]] = (entry["edge_seq"], leaf(canonical(edge_form)).hex())
        if before is None:
            return
        if entry["edge_seq"] != before[0] + 1:
            raise Wrong("lane_gap", seq, f"events of edge {entry['edge']} are missing")
        if entry["edge_prev"] != before[1]:
            raise Wrong("lane_fork", seq, f"an event of edge {entry['edge']} does not follow from the one before")

    def whole(self):
        return self.first == 1 and self.last == self.size

    def end(self):
        if self.seq != self.last:
            raise Wrong("length", self.seq, f"the entries end at {self.seq}; there have to be {self.last}")
        for level, node in zip(subtrees(self.last, self.size), self.right):
            self.tree.push(node, level)
        self.compare()


def verify(path, keys, witnesses, known, seals):
    with open(path, "rb") as file:
        try:
            header = json.loads(file.readline())
        except ValueError:
            raise Wrong("header", 0, "the first line is no header") from None
        bundle = Bundle(header, keys, witnesses, known, seals)
        for line in file:
            if not line.endswith(b"\n"):
                raise Wrong("form", bundle.seq + 1, "a line that does not end")
            bundle.entry(line[:-1])
        bundle.end()
    verdict = "as it was sealed" if bundle.doubles else "sound"
    print(
        f"{verdict}: {path}: {'the whole log' if bundle.whole() else 'a stretch'}: entries {bundle.first} to {bundle.last} of {bundle.size} of tenant {bundle.tenant}, "
        f"root {bundle.tree.root().hex()}"
    )
    return bundle


def is_platform(path):
    with open(path, "rb") as file:
        return b'"tenant":"_platform"' in file.readline()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--key", action="append", required=True)
    parser.add_argument("--witness", action="append", default=[])
    parser.add_argument("--checkpoint", action="append", default=[])
    parser.add_argument("--whole", action="store_true")
    given = sys.argv[1:]
    while "--key" in given[:-1]:
        # A bare key may begin with a hyphen, and is no option then either.
        at = given.index("--key")
        given[at:at + 2] = [f"--key={given[at + 1]}"]
    arguments = parser.parse_args(given)
    keys, witnesses = [Key(key) for key in arguments.key], [Key(key) for key in arguments.witness]
    if any(witness.name is None for witness in witnesses):
        raise SystemExit("--witness: a witness signs under its own name: NAME+ID+BASE64")
    wrongs, path = [], None
    try:
        known = []
        for path in arguments.checkpoint:
            with open(path, encoding="utf-8", newline="") as file:
                origin, size, root, _, _ = open_note(file.read(), keys + witnesses)
            known.append((origin.rsplit("/", 1)[1], size, root))
        named, seen, seals = {}, {}, []
        for path in sorted(arguments.bundles, key=lambda path: not is_platform(path)):
            bundle = verify(path, keys, witnesses, known, seals)
            wrongs.extend((path, double) for double in bundle.doubles)
            seen.setdefault(bundle.tenant, []).append((bundle.first, bundle.last, bundle.size))
            named.update(bundle.tenants)
            known.extend(bundle.tenants.values())
            seals.extend(bundle.seals)
        path = "all"
        missing = set(named) - set(seen)
        if len(seen) > 1 and missing:
            wrongs.append((path, Wrong("tenant_missing", 0, f"the platform's log names {', '.join(sorted(missing))}")))
        for tenant, stretches in seen.items() if arguments.whole else ():
            absent = 1
            for first, last, _ in sorted(stretches):
                absent = max(absent, last + 1) if first <= absent else absent
            if absent <= max(size for _, _, size in stretches):
                wrongs.append((path, Wrong("partial", absent, f"this entry of {tenant} is in no bundle")))
    except Wrong as wrong:
        wrongs.append((path, wrong))
    for path, wrong in wrongs:
        fault, seq, message = wrong.args
        print(f"NOT SOUND: {path}: entry {seq}: {fault}: {message}")
    return 4 if wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
