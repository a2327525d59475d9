"""The taps of examples/ against real shops: they lose messages, the log is restored under them, they need keys, and end with the log."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import tempfile

from shop import Shop, run, wait_for
from test_keys import folder, zmart
from test_stream import Leak, each_type_whole, in_the_log, log_of, move, opened, place

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


class Absent(Exception):
    """Why an example cannot run here."""


def python_tap(_):
    return ["/usr/bin/python3", str(EXAMPLES / "python" / "tap.py")]


def node_tap(_):
    node = shutil.which("node")
    if not node:
        raise Absent("node is not installed")
    script = "require('zeromq'); require('@msgpack/msgpack')"
    if subprocess.run([node, "-e", script], cwd=EXAMPLES / "node", capture_output=True, check=False).returncode != 0:
        raise Absent("its packages are not installed (npm install in examples/node, or NODE_PATH)")
    return [node, str(EXAMPLES / "node" / "tap.js")]


def go_tap(into):
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not go:
        raise Absent("go is not installed")
    env = {**os.environ, "GOPROXY": "off", "GOFLAGS": "-mod=readonly"}  # what is not here is not fetched
    version = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < (1, 21):
        raise Absent(f"{version.strip()} is older than 1.21")
    if subprocess.run([go, "list", "-deps", "."], cwd=EXAMPLES / "go", env=env, capture_output=True, check=False).returncode != 0:
        raise Absent("its modules are not here (go mod download in examples/go)")
    subprocess.run([go, "build", "-o", str(into / "tap"), "."], cwd=EXAMPLES / "go", env=env, check=True)
    return [str(into / "tap")]


class Tap:
    def __init__(self, command, shop, token, *flags, events=None):
        self.lines = open(shop.folder / "tap.txt", "a+", encoding="utf-8")
        self.errors = open(shop.folder / "tap-errors.txt", "a+", encoding="utf-8")
        self.process = subprocess.Popen([*command, "--events", events or shop.events, "--url", shop.url, "--token", token, *flags],
                                        stdout=self.lines, stderr=self.errors)

    def events(self):
        assert self.process.poll() is None, pathlib.Path(self.errors.name).read_text()
        return [json.loads(line) for line in pathlib.Path(self.lines.name).read_text().splitlines()]

    def seqs(self):
        return [event["seq"] for event in self.events()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.lines.close()
        self.errors.close()


def ends_with_the_log(shop, tap):
    with contextlib.suppress(AssertionError):
        wait_for("the log", lambda: sorted(tap.seqs()) == [row[0] for row in log_of(shop)], 30)
    each_type_whole(shop, tap.events())


def repairs(command):
    with Shop() as shop:
        admin, ada, _, product = opened(shop)
        for _ in range(5):
            place(shop, ada["token"], product)
        in_the_log(shop, 5)
        leak = Leak(shop)
        with Tap(command, shop, admin, "--after", "0", events=leak.address) as tap:
            wait_for("the first five", lambda: len(tap.seqs()) == 5, 30)
            before = leak.count
            for _ in range(35):
                move(shop, admin, place(shop, ada["token"], product), "confirmed")
            in_the_log(shop, 75)
            ends_with_the_log(shop, tap)
            assert leak.count >= before + 20, "hardly anything was lost"
            # a restore: same events, another epoch
            shop.stop()
            with contextlib.closing(sqlite3.connect(shop.folder / "data" / "event.db")) as db:
                db.execute("UPDATE stream SET epoch = epoch + 1")
                db.commit()
            shop.start()
            admin = shop.call("POST", "/api/auth/login", body={"email": "admin@example.com", "password": "password"}).json()["token"]
            for _ in range(6):
                place(shop, ada["token"], product)
            in_the_log(shop, 81)
            ends_with_the_log(shop, tap)
        leak.ending = True
        leak.join(10)
    return f"{leak.count} of 81 events were lost on the way"


def opens_with_a_key(command):
    with folder() as keys:
        zmart("keys", "new", "listener", "--role", "subscriber", "--keys", keys)
        with Shop("--keys", str(keys)) as shop:
            admin, ada, _, product = opened(shop)
            with Tap(command, shop, admin, "--after", "0", "--keys", str(keys), "--key", "listener") as tap:
                place(shop, ada["token"], product)
                ends_with_the_log(shop, tap)
                # what comes now comes by the socket: nothing is missing, so nobody asks the log again
                asked = lambda: (shop.folder / "data" / "zmart.log").read_text().count("/api/events")
                wait_for("the log to be asked", lambda: asked() == 1)
                for _ in range(5):
                    place(shop, ada["token"], product)
                in_the_log(shop, 6)
                ends_with_the_log(shop, tap)
                assert asked() == 1, "it asked the log instead of listening"


def of(make):
    def tried():
        with tempfile.TemporaryDirectory(prefix="zmart-tap-") as into:
            try:
                command = make(pathlib.Path(into))
            except Absent as why:
                print(f"skip {make.__name__}: {why}", flush=True)
                return
            print(f"     {repairs(command)}", flush=True)
            opens_with_a_key(command)
    return tried


if __name__ == "__main__":
    run({make.__name__: of(make) for make in (python_tap, node_tap, go_tap)})
