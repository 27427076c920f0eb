#!/usr/bin/env python3
"""Runs the standard library's Rego tests in the reference implementation, OPA itself.

`opa test` where there is an `opa` in PATH. Elsewhere OPA's own Go library (github.com/open-policy-agent/opa, which PyPI
carries as a shared object) is fetched, checked against the digest below and asked for every `test_*` rule: a rule passes
if it is `true`, as in `opa test`. Ends with 1 if a test fails.
"""
import ctypes
import hashlib
import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
POLICIES = ROOT / "edge/engine/policies"
CACHE = ROOT / "target/opa"
PACKAGE = "opa-golib-python-bindings==0.4.4"  # embeds OPA 1.20.2
SHA256 = "d411c901e14b8c7c3023e23e4a944f4cf429c1d31baf80e959e57d11efbfd24a"


def library() -> ctypes.CDLL:
    """OPA as a shared library. The wheel asks for a newer Python for its own wrapper, which is not used here."""
    CACHE.mkdir(parents=True, exist_ok=True)
    wheels = list(CACHE.glob("*.whl"))
    if not wheels:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
        subprocess.run([*pip, "download", "--no-deps", "--ignore-requires-python", "--only-binary", ":all:",
                        "--dest", CACHE, PACKAGE], check=True)
        wheels = list(CACHE.glob("*.whl"))
    content = wheels[0].read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        wheels[0].unlink()
        sys.exit(f"test-opa: {wheels[0].name} is not the file that was reviewed (its digest differs)")
    shared = CACHE / "opa_bindings/libopabridge.so"
    if not shared.exists():
        zipfile.ZipFile(wheels[0]).extractall(CACHE)
    lib = ctypes.CDLL(str(shared))
    lib.OpaNew.restype = ctypes.c_uint64
    lib.OpaFreeString.argtypes = [ctypes.c_void_p]
    lib.OpaAddPolicy.restype = lib.OpaEvalQuery.restype = ctypes.c_void_p
    lib.OpaAddPolicy.argtypes = [ctypes.c_uint64, ctypes.c_char_p, ctypes.c_char_p]
    lib.OpaEvalQuery.argtypes = [ctypes.c_uint64, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    return lib


class Engine:
    """One OPA with modules in it."""

    def __init__(self):
        self.lib = library()
        self.handle = self.lib.OpaNew()

    def _call(self, function, *arguments):
        pointer = function(self.handle, *arguments)
        try:
            answer = json.loads(ctypes.string_at(pointer))
        finally:
            self.lib.OpaFreeString(pointer)
        if answer.get("error"):
            raise RuntimeError(answer["error"].get("message", "no message"))
        return answer.get("result")

    def add(self, name: str, source: str):
        self._call(self.lib.OpaAddPolicy, name.encode(), source.encode())

    def holds(self, rule: str) -> bool:
        answers = self._call(self.lib.OpaEvalQuery, f"x = {rule}".encode(), b"{}", 0, 0) or []
        return [answer["bindings"] for answer in answers] == [{"x": True}]


def tests(source: str):
    """The full names of a module's `test_*` rules."""
    package = re.search(r"^package\s+(\S+)", source, re.MULTILINE).group(1)
    return dict.fromkeys(f"data.{package}.{name}" for name in re.findall(r"^(test_\w+)", source, re.MULTILINE))


def main():
    if shutil.which("opa"):
        sys.exit(subprocess.run(["opa", "test", POLICIES]).returncode)
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print("test-opa: SKIPPED, no `opa` in PATH and no library of it for this machine: the rules were not held against OPA")
        return
    engine = Engine()
    modules = {path.name: path.read_text() for path in sorted(POLICIES.glob("*.rego"))}
    for name, source in modules.items():
        engine.add(name, source)
    rules = [rule for name, source in modules.items() if name.endswith("_test.rego") for rule in tests(source)]
    failed = [rule for rule in rules if not engine.holds(rule)]
    for rule in failed:
        print(f"FAIL {rule}")
    print(f"test-opa: {len(rules) - len(failed)} of {len(rules)} tests pass in OPA")
    sys.exit(1 if failed or not rules else 0)


if __name__ == "__main__":
    main()
