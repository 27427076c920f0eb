"""Packages of others, in which there is next to nothing to find: translations, descriptions of interfaces, tables of places, code,
lock files. They are downloaded once, and never part of this repository.
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

# With what they are full of.
PYTHON = {
    "django==5.2.19": "translations, code",
    "ansible-core==2.19.14": "YAML, code",
    "vega_datasets==0.9.0": "tables",
    "airportsdata==20260905": "a table of airports",
    "networkx==3.6.1": "numbers in code",
    "home-assistant-intents==2026.11.25": "sentences of 60 languages",
    "sentry-sdk==2.75.0": "code about keys",
    "twisted==26.10.0": "code about networks",
    "Babel==2.18.0": "dates, code",
    "SQLAlchemy==2.1.9": "connection strings in prose",
    "paramiko==5.1.0": "code about keys",
    "botocore==1.44.8": "descriptions of interfaces",
    "holidays==0.109": "years and laws",
    "pint==0.25.3": "units",
    "pygments==2.21.0": "words of programming languages",
    "pycountry==26.2.16": "codes and translations",
}
KINDS = {".py", ".js", ".ts", ".json", ".csv", ".tsv", ".txt", ".md", ".rst", ".yaml", ".yml", ".po", ".html", ".xml", ".cfg", ".toml", ".sql", ".dat"}
# Of each package, and of each file of it.
PACKAGE_BYTES_MAX = 3_000_000
FILE_BYTES_MAX = 150_000


def fetch(folder):
    """The packages that are not there yet, through pip."""
    folder.mkdir(parents=True, exist_ok=True)
    have = " ".join(path.name.lower().replace("_", "-") for path in folder.iterdir())
    for package in PYTHON:
        name, version = package.lower().replace("_", "-").split("==")
        if f"{name}-{version}" not in have:
            run = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--disable-pip-version-check", "-d", str(folder), package]
            subprocess.run(run, check=False)


def source(folder, package):
    """The unpacked source of a package, with its tests."""
    folder.mkdir(parents=True, exist_ok=True)
    name = package.replace("==", "-").replace("-", "_", package.split("==")[0].count("-"))
    if not (folder / name).exists():
        run = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--disable-pip-version-check",
            "--no-binary",
            package.split("==")[0],
            "-d",
            str(folder),
            package,
        ]
        subprocess.run(run, check=True)
        with tarfile.open(folder / f"{name}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return folder / name


def members(path):
    """Names and texts of an archive's files."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if Path(info.filename).suffix in KINDS:
                    with archive.open(info) as file:
                        yield info.filename, file.read(FILE_BYTES_MAX)
    else:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and Path(member.name).suffix in KINDS:
                    yield member.name, archive.extractfile(member).read(FILE_BYTES_MAX)


def files(folder):
    """The package of each file, its name, and its text."""
    for path in sorted(folder.iterdir()):
        if path.suffix not in {".whl", ".gz"}:
            continue
        size = 0
        for name, content in members(path):
            text = content.decode(errors="ignore")
            size += len(text)
            if size > PACKAGE_BYTES_MAX:
                break
            if text.strip():
                yield path.name.split("-")[0], name, text
