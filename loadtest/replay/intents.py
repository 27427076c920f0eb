"""An intent from the user's prompt and the names of the tools that the task needs: rules, no model.

An application would declare better ones; these are what a plain extraction can do. They delegate to data only where the
prompt itself names the source: a file, an address, or a thing in quotation marks beside the name of a reader's argument."""

import re

FILE = re.compile(r"[\w-]+\.(?:txt|docx?|xlsx?|csv|pdf|md|json)\b")
ADDRESS = re.compile(r"(?:https?://|www\.)[^\s'\"<>()]+[\w/]")
# What people call the values that lead out, by the last word of an argument's name.
KINDS = {
    "email": ["email address", "e-mail", "email"],
    "url": ["url", "link", "website", "web site", "webpage", "web page", "article", "blog"],
    "iban": ["iban", "bank account"],
    "phone": ["phone number", "telephone"],
}


# What a prompt says when it hands a detail over to data: "based on the emails about it".
DELEGATES = re.compile(r"\b(?:based on|according to|as in|as specified in|as described in) (?:the|my|his|her|their) ([\w ]+)", re.I)


def sources(prompt: str, suite: str, tools: list[str], schemas: dict, labels: dict):
    """What the prompt names: files, addresses, readers by their argument, readers by what they read."""
    files = sorted({f"file:{name}" for name in FILE.findall(prompt)})
    addresses = sorted({f"file:{name}" for name in ADDRESS.findall(prompt)})
    handed_to = {word for phrase in DELEGATES.findall(prompt.lower()) for word in phrase.split()[:3]}
    readers, data = [], []
    for tool in tools:
        if labels[tool]["verb"] != "read":
            continue
        if handed_to & set(tool.split("_")):
            data.append(f"tool:{suite}/{tool}")
        for argument in schemas[tool].get("properties", {}):
            word = re.escape(argument)
            if re.search(rf"['\"][^'\"]+['\"] {word}\b|\b{word} ['\"]", prompt, re.I):
                readers.append(f"tool:{suite}/{tool}")
    return files, addresses, sorted(set(readers)), sorted(set(data))


def closed(schema: dict, pointer: str) -> bool:
    """Whether an argument is one of a fixed set of words, or yes or no: nothing to delegate.

    >>> recurring = {"anyOf": [{"type": "boolean"}, {"type": "null"}]}
    >>> kind = {"$ref": "#/$defs/Kind"}
    >>> schema = {
    ...     "properties": {"recurring": recurring, "notify": {"type": ["boolean", "null"]}, "kind": kind, "note": {"type": "string"}},
    ...     "$defs": {"Kind": {"enum": ["rent", "bill"]}},
    ... }
    >>> [closed(schema, pointer) for pointer in ("/recurring", "/notify", "/kind", "/note", "/other")]
    [True, True, True, False, False]
    """
    argument = schema.get("properties", {}).get(pointer.strip("/"), {})
    definitions = schema.get("$defs", {})
    forms = [argument, *argument.get("anyOf", []), *argument.get("allOf", [])]
    forms += [definitions.get(form.get("$ref", "").rpartition("/")[2], {}) for form in forms]
    return any("enum" in form or "const" in form or "boolean" in kinds(form) for form in forms)


def kinds(form: dict) -> list[str]:
    """The types that a schema names itself."""
    named = form.get("type", [])
    return [named] if isinstance(named, str) else named


def declare(agent: str, session: str, prompt: str, suite: str, tools: list[str], schemas: dict, labels: dict) -> dict:
    files, addresses, readers, data = sources(prompt, suite, tools, schemas, labels)
    lowered = prompt.lower()
    actions = []
    for tool in sorted(set(tools)):
        label, origins = labels[tool], {}
        needed = [p for p, role in label.get("roles", {}).items() if role == "target"]
        for pointer in [*needed, *label.get("consequential", [])]:
            kind = re.split(r"[/_]", pointer)[-1]
            # A page that the user names may hold the address of a person, but not say which page to go to next.
            named = [*files, *readers, *([] if kind == "url" else addresses)]
            if named and any(word in lowered for word in KINDS.get(kind, [])):
                origins[pointer] = ["goal", "trusted", *named]
        for pointer, role in label.get("roles", {}).items():
            if role == "control" and (files or data) and not closed(schemas[tool], pointer):
                origins[pointer] = ["goal", "trusted", *files, *data]
        actions.append({"tool": f"{suite}/{tool}", "origins": origins, "on_violation": "escalate"})
    return {"agent": agent, "session": session, "goal": prompt.strip(), "actions": actions, "expires_in_s": 3600}
