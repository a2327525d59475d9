#!/usr/bin/python3
"""test_help.py: reads --help of every program as an operator would, and holds each row to it: what stands at a bound is taken, one
beyond is refused in one line that names the row and its bounds, and a variable as the variable."""
import os
import pathlib
import re
import subprocess
import sys

BUILD = pathlib.Path(os.environ["ZMART_BUILD"])
PROGRAMS = [[f"{name}/{name}"] for name in ("broker", "gateway", "product-svc", "order-svc", "user-svc", "event-svc", "webhook-svc", "mail-svc")]
COMMANDS = [["cli/zmart", *words] for words in (["up"], ["bus", "status"], ["keys", "list"], ["tail"], ["ping", "product"], ["backup", "/nowhere/x"],
                                                ["restore", "/nowhere/x"])]
ROW = re.compile(r"^  (--?[a-z][a-z-]*)( N| TEXT|)\n      (.+)\n      \[(ZMART_[A-Z_]+)(?:; (-?\d+)\.\.(\d+)([^;]*))?; default: (.*)\]$", re.M)
UNITS = {"ms": "milliseconds", "us": "microseconds", "s": "seconds", "hours": "hours", "days": "days", "kib": "KiB", "bytes": "bytes",
         "size": "bytes", "percent": "percent", "permille": "thousandths"}
MOST = 2**63 - 1
CLEAN = {**{name: value for name, value in os.environ.items() if not name.startswith("ZMART_")}, "MONGOC_DISABLE_SHM": "1"}


def run(command, *more, **variables):
    return subprocess.run([BUILD / command[0], *command[1:], *more], capture_output=True, text=True, timeout=120, env={**CLEAN, **variables})


def refused(command, said, *more, **variables):
    ended = run(command, *more, **variables)
    text = ended.stderr.strip()
    assert ended.returncode == 2 and "\n" not in text and all(part in text for part in said), (command, more, variables, ended, said)


def value_of(kind, number):
    return str(number) if kind == " N" else "x" * number


def row_is_clear(flag, kind, prose, least, most, unit, default):
    last = flag.rsplit("-", 1)[1]
    assert len(prose) > 15 and prose.rstrip(".") == prose, (flag, prose)
    assert default in ("yes", "no") if not kind else least is not None, flag
    if kind == " N":
        assert unit.strip() == UNITS.get(last, ""), (flag, unit)
        assert int(least) <= int(default) <= int(most), (flag, default)
    elif kind:
        assert unit == " characters" and (default == "none" or int(least) <= len(default) <= int(most)), (flag, default)


def rows_of(command, seen):
    """Every row is clear; those that no program before this one has are tried. The number of both."""
    text = run(command, "--help").stdout
    rows = ROW.findall(text)
    assert len(rows) == text.count("[ZMART_") == len({row[0] for row in rows}), (command, text)
    edges = {"least": [], "most": []}
    tried = 0
    for flag, kind, prose, variable, least, most, unit, default in rows:
        row_is_clear(flag, kind, prose, least or None, most, unit, default)
        if not kind:
            refused(command, (flag, "yes or no"), f"{flag}=perhaps")
            continue
        edges["least"].append(f"{flag}={value_of(kind, int(least))}")
        edges["most"].append(f"{flag}={value_of(kind, int(most))}")
        if (flag, least, most) in seen:
            continue
        seen.add((flag, least, most))
        tried += 1
        if tried == 1:
            refused(command, (variable, most), **{variable: value_of(kind, int(most) + 1)})
        if kind == " N" or int(least) > 0:
            refused(command, (flag, least, most), f"{flag}={value_of(kind, int(least) - 1)}")
        if int(most) < MOST:
            refused(command, (flag, most), f"{flag}={value_of(kind, int(most) + 1)}")
    for words in edges.values():  # all at their bounds: what is wrong comes after them
        refused(command, ("--no-such-flag",), *words, "--no-such-flag")
    return len(rows), tried


def so_many_topics():
    for TAP_MAX_TOPICS in (16, 17):
        ended = run(["cli/zmart", "tail"], *(f"t{i}" for i in range(TAP_MAX_TOPICS)), "--data", "/nowhere")
        said = "up to 16 topics" in ended.stderr
        assert ended.returncode != 0 and said == (TAP_MAX_TOPICS > 16), ended


def main():
    so_many_topics()
    seen = set()
    counts = [rows_of(command, seen) for command in PROGRAMS + COMMANDS]
    assert all(rows > 0 for rows, _ in counts)
    print(f"{sum(rows for rows, _ in counts)} rows in {len(counts)} programs, {sum(tried for _, tried in counts)} with bounds of their own")


sys.exit(main())
