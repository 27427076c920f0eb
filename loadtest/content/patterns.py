"""Credentials of every vendor that somebody else knows: strings made from the patterns of Betterleaks and Veles, as Kingfisher
packages them, each confirmed by Kingfisher itself; and text that others wrote in which there is nothing to find.
"""

import json
import random
import re
import subprocess
import tempfile
import warnings
from pathlib import Path

import rstr

# What a pattern allows around a credential, as one plain form of it: `adafruit_key ="…`.
PLAIN = [
    (r"\b", ""), (r"\B", ""), ("(?:\\\\?['\"\\x60]|[\\s;]|\\\\[nr]|$)", ""), (r"[ \t\w.-]{0,20}", "_key"), (r"[\s'\"]{0,3}", " "),
    (r"[\x60'\"\s=]{0,5}", '"'), (r"\w", "[a-zA-Z0-9_]"), (r"\s", " "), (r"(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)", "="),
]
# Lock files, source of libraries, minified scripts: what a developer's agent reads all day.
WRITTEN = ["**/package-lock.json", "**/Cargo.lock", "**/*.min.js", "**/*.py"]
WRITTEN_BYTES = 4_000_000


def plain(pattern):
    """A pattern without what the generator does not know."""
    pattern = re.sub(r"\(\?-?[a-z]+:", "(?:", re.sub(r"\(\?-?[a-z]+\)", "", pattern))
    for theirs, simple in PLAIN:
        pattern = pattern.replace(theirs, simple)
    pattern = re.sub(r"\(\?P<\w+>", "(", pattern)
    return re.sub(r"\{(\d+),\}", lambda least: f"{{{least[1]},{int(least[1]) + 8}}}", pattern)


def kingfisher(scanner, *arguments):
    return subprocess.run([scanner, *arguments], capture_output=True, text=True).stdout


def credentials(scanner, seed, each=3):
    """Lines with the spans that Kingfisher finds in them, and the rule of each."""
    warnings.filterwarnings("ignore")
    maker = rstr.Rstr(random.Random(seed))
    lines = []
    for rule in json.loads(kingfisher(scanner, "rules", "list", "--format", "json")):
        try:
            made = [maker.xeger(plain(rule["pattern"])) for _ in range(each)]
        except Exception:
            # A pattern that the generator can't read.
            continue
        lines += [line for line in made if line.isprintable() and line.isascii()]
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "app.conf").write_text("\n".join(lines) + "\n")
        said = kingfisher(scanner, "scan", directory, "--no-validate", "--format", "jsonl", "--no-dedup", "--no-update-check",
                          "--confidence", "low")
    spans = {}
    for line in said.splitlines():
        found = json.loads(line) if line.startswith("{") else {}
        if "finding" not in found:
            continue
        finding = found["finding"]
        number, text = finding["line"] - 1, finding["snippet"]
        if number < len(lines) and text in lines[number]:
            at = lines[number].index(text)
            spans.setdefault(number, []).append((at, at + len(text), found["rule"]["id"].split(".", 1)[1]))
    return [(lines[number], marked) for number, marked in sorted(spans.items())]


def written(roots):
    """Lines of files that others wrote, without long ones."""
    lines, size = [], 0
    for root in roots:
        for pattern in WRITTEN:
            for path in sorted(Path(root).glob(pattern)):
                text = path.read_text(errors="ignore")[:100_000]
                size += len(text)
                if size > WRITTEN_BYTES:
                    return lines
                lines += [line for line in text.splitlines() if line.strip() and len(line) < 20_000]
    return lines
