#!/usr/bin/python3
"""Every limit has a test that reaches it. Limits are the numbers of all settings tables and the constants of the rooms' headers with MAX in
their names; limits.txt says of each which function of which test reaches it, and that function must name it in its code: by its
flag, its name, or the word that the line gives. A constant that no input reaches has a reason instead; a setting never has."""
import ast
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
ROOMS = ["lib", "proto", "broker", "gateway", "product-svc", "order-svc", "user-svc", "event-svc", "webhook-svc", "mail-svc", "cli"]
SETTING = re.compile(r'\bX\(NUMBER,\s*\w+,\s*"([\w-]+)"')
CONSTANT = re.compile(r"\b([A-Z][A-Z0-9_]*)\s*=")


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


def limits():
    found = set()
    for path in (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.[ch]"))):
        text = without_comments(path.read_text())
        found |= {("--" if len(flag) > 1 else "-") + flag for flag in SETTING.findall(text)}
        for listed in re.findall(r"\benum(?:\s+\w+)?\s*\{([^}]*)\}", text) if path.suffix == ".h" else ():
            found |= {name for name in CONSTANT.findall(listed) if "MAX" in name.split("_")}
    return found


def function_code(path, name):
    """The function without comments and docstring, or None."""
    text = path.read_text()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                rest = node.body[1:] if ast.get_docstring(node) else node.body
                return "\n".join(ast.unparse(one) for one in rest)
        return None
    found = re.search(r"^\w[^\n;]*\b" + name + r"\([^;]*?\)\n\{\n(.*?)^\}", without_comments(text), re.M | re.S)
    return found and found[1]


def complaint(name, place, rest):
    """What is wrong with a line, or None."""
    if place == "-":
        return "a setting can be reached" if name.startswith("-") else None if len(rest) > 10 else "no reason"
    file, function = place.split(":")
    path = ROOT / "tests" / file
    code = function_code(path, function) if path.exists() else None
    if code is None:
        return f"no {function} in tests/{file}"
    variable = "ZMART_" + name.strip("-").upper().replace("-", "_")
    words = [rest] if rest else [name, variable]
    named = any(re.search(r"(?<![\w-])" + re.escape(word) + r"(?![\w-])", code) for word in words)
    return None if named else f"{function} does not name {' or '.join(words)}"


def main():
    lines = [line.split(None, 2) + [""] for line in (ROOT / "tests" / "limits.txt").read_text().splitlines() if line and line[0] != "#"]
    listed = {line[0] for line in lines}
    found = [f"{name} is not in tests/limits.txt" for name in sorted(limits() - listed)]
    found += [f"{name} is in tests/limits.txt and nowhere else" for name in sorted(listed - limits())]
    found += [f"{name}: {why}" for name, place, rest, *_ in lines if (why := complaint(name, place, rest.strip()))]
    print(*found, sep="\n")
    reached = sum(place != "-" for _, place, *_ in lines)
    print(f"{len(lines)} limits, {reached} reached by tests, {len(found)} complaints")
    sys.exit(1 if found else 0)


main()
