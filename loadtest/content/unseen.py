"""Precision and recall of the content filter on text that was not at hand when its rules were written.

    unseen.py PROCTOR [--seed N] [--samples N] [--show-misses [N]] [--alone]

People and their numbers as FakeNameGenerator, Faker (28 places), Google's telephone library, python-stdnum, schwifty and mrz make
or publish them; secrets from CredSweeper's rules, and passwords in sixty ways to write them down; and packages of others in which
next to nothing is to be found. All of it is fetched or made when this runs. Nothing here may be used to tune a rule to a text: a
rule that is wrong is to be put right in general, and the seed changed.
"""

import argparse
import collections
import json
import logging
import subprocess
import sys
from pathlib import Path

import assignments
import clean
import people
import published
from measure import CREDENTIALS, PRESIDIO, presidio, same, scores

logging.disable(logging.WARNING)


def ours(proctor, texts):
    """What is found in each text, but for what is unsure."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    out = subprocess.run([proctor, "content", "scan", "-", "--lines"], input=lines, capture_output=True, text=True, check=True).stdout
    return [[(start, end, kind) for start, end, kind, sure in json.loads(line) if sure != "low"] for line in out.splitlines()]


def covers(span, said):
    """Whether something that was found has half of a secret in it, whatever class it was given."""
    return any(min(span[1], s[1]) - max(span[0], s[0]) >= (span[1] - span[0]) / 2 for s in said if s[2] in CREDENTIALS)


def shown(text, start, end):
    return repr(text[max(0, start - 40) : end + 20])


class Misses:
    """Examples by what they are of, some of each."""

    def __init__(self, most):
        self.most, self.by = most, collections.defaultdict(list)

    def add(self, what, text, start, end):
        self.by[what].append(shown(text, start, end))

    def print(self):
        for what, examples in sorted(self.by.items(), key=lambda item: -len(item[1])) if self.most else ():
            print(f"  {what}: {len(examples)}")
            for example in sorted(set(examples))[:: max(1, len(set(examples)) // self.most)][: self.most]:
                print(f"    {example}")


def personal(args):
    """Classes in people's records, mail and talk; beside presidio's patterns on the same text."""
    made = list(people.texts(args.seed, args.samples))
    folder = clean.source(args.folder / "source", "python-stdnum==2.2") / "tests"
    parts = {
        "people": [(text, spans, place) for text, spans, place in made],
        "published": [(text, spans, "") for text, spans in [*published.numbers(folder), *published.accounts(args.seed), *published.zones(args.seed)]],
        "others": [(text, spans, "") for text, spans in published.other_numbers(folder)],
    }
    for name, part in parts.items():
        texts, truth = [text for text, *_ in part], [spans for _, spans, _ in part]
        found, misses = ours(args.proctor, texts), Misses(args.show_misses)
        classes = sorted({kind for spans in truth for *_, kind in spans} | {said[2] for all_said in found for said in all_said if said[2] not in CREDENTIALS})
        mine = scores(truth, found, classes)
        theirs = scores(truth, presidio(texts)[0], classes) if not args.alone else {}
        print(f"\n{name}: {len(texts)} texts")
        print(f"{'class':20} {'n':>5}   {'proctor P':>9} {'R':>6} {'F1':>6}   {'presidio P':>10} {'R':>6} {'F1':>6}")
        for kind in classes:
            p, r, f, n = mine[kind]
            beside = "   %10.3f %6.3f %6.3f" % theirs[kind][:3] if kind in theirs and kind in PRESIDIO else ""
            print(f"{kind:20} {n:5}   {p:9.3f} {r:6.3f} {f:6.3f}{beside}")
        for (text, spans, place), said in zip(part, found):
            for span in spans:
                if not any(same(span, one) for one in said):
                    misses.add(f"missed {span[2]} {place if span[2] == 'phone' else ''}", text, *span[:2])
            for one in said:
                if not any(same(span, one) for span in spans):
                    misses.add(f"wrong {one[2]}", text, *one[:2])
        misses.print()


def telephones(args):
    made = list(people.telephones())
    found = ours(args.proctor, [text for text, *_ in made])
    rows, misses = collections.defaultdict(lambda: [0, 0]), Misses(args.show_misses)
    for (text, spans, how, region), said in zip(made, found):
        hit = any(same(spans[0], one) for one in said)
        rows[how][0] += hit
        rows[how][1] += 1
        if not hit:
            misses.add(f"missed {how}", f"{text} [{region}]", 0, len(text) + 5)
    print(f"\ntelephone numbers of all regions: {len(made)} texts")
    for how, (hit, all_of_it) in rows.items():
        print(f"{how:24} R {hit / all_of_it:.3f}")
    misses.print()


def secrets(args):
    for name, lines in (("CredSweeper's rules", assignments.by_rule(args.seed)), ("ways to write a secret", assignments.ways(args.seed))):
        lines = list(lines)
        found = ours(args.proctor, [text for text, _ in lines])
        rows, misses = collections.defaultdict(lambda: [0, 0]), Misses(args.show_misses)
        for (text, spans), said in zip(lines, found):
            for span in spans:
                rows[span[2]][0] += covers(span, said)
                rows[span[2]][1] += 1
                if not covers(span, said):
                    misses.add(f"missed {span[2]}", text, *span[:2])
        hit, all_of_it = map(sum, zip(*rows.values()))
        print(f"\n{name}: {all_of_it} in {len(rows)} forms, R {hit / all_of_it:.3f}; below 0.9:")
        worst = sorted((hit / count, what) for what, (hit, count) in rows.items() if hit < 0.9 * count)
        print("\n".join(f"{share:6.2f} {what}" for share, what in worst))
        misses.print()
    lines, misses = assignments.nothing(), Misses(args.show_misses)
    found = ours(args.proctor, [text for text, _ in lines])
    alarms = sum(bool(said) for said in found)
    print(f"\nlines that look so: {len(lines)}, false alarms on {alarms}")
    for (text, _), said in zip(lines, found):
        for one in said:
            misses.add(f"wrong {one[2]}", text, *one[:2])
    misses.print()


def nothing_there(args):
    """What is found in packages, by class; addresses apart, which may well be somebody's."""
    clean.fetch(args.folder / "packages")
    files = list(clean.files(args.folder / "packages"))
    found = ours(args.proctor, [text for *_, text in files])
    size, counts, misses = sum(len(text) for *_, text in files), collections.Counter(), Misses(args.show_misses)
    by_package = collections.Counter()
    for (package, name, text), said in zip(files, found):
        for start, end, kind in said:
            counts[kind] += 1
            if kind not in {"email", "ip_address"}:
                by_package[package] += 1
                misses.add(f"{kind}", f"{text[max(0, start - 40):end + 20]} [{package}: {name[-60:]}]", 0, 400)
    print(f"\npackages: {len(files)} files, {size / 1e6:.1f} MB")
    print(", ".join(f"{kind} {count}" for kind, count in counts.most_common()))
    print("but for addresses:", ", ".join(f"{package} {count}" for package, count in by_package.most_common()))
    misses.print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("proctor", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=int, default=3000, help="texts about people")
    parser.add_argument("--folder", type=Path, default=Path(sys.prefix) / "unseen", help="where packages are kept")
    parser.add_argument("--show-misses", type=int, nargs="?", const=8, default=0, metavar="N", help="show some of what was missed or wrong, of each kind")
    parser.add_argument("--alone", action="store_true", help="without presidio")
    parser.add_argument("--only", choices=["personal", "telephones", "secrets", "packages"], nargs="*")
    args = parser.parse_args()
    parts = {"personal": personal, "telephones": telephones, "secrets": secrets, "packages": nothing_there}
    for name, part in parts.items():
        if not args.only or name in args.only:
            part(args)


if __name__ == "__main__":
    main()
