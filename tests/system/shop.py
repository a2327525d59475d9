"""A shop under test: real processes on free ports in a folder of their own, and clients that behave like users."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid

import requests

import mongo_rows

BUILD = pathlib.Path(os.environ.get("ZMART_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
SLOW = float(os.environ.get("ZMART_TEST_PATIENCE", "1"))  # sanitizer builds and busy machines wait longer

os.environ.setdefault("MONGOC_DISABLE_SHM", "1")  # the driver says so on stderr when a killed program's counters are under our process id


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, probe, seconds=10, every=0.05):
    """Calls probe until it gives something true; a plain sleep is never a test's clock."""
    end = time.monotonic() + seconds * SLOW
    while True:
        got = probe()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds * SLOW:.0f} s for {what}")
        time.sleep(every)


class Shop:
    """`zmart up` in a temporary folder. with Shop(processes=True) as shop: ..."""

    def __init__(self, *flags, processes=False, workers=1, keep=None, env=None):
        self.flags, self.processes = list(flags), processes
        self.workers = workers  # processes of each service, where the store takes more than one
        self.folder = pathlib.Path(keep or tempfile.mkdtemp(prefix="zmart-test-"))
        self.own_folder = keep is None
        self.env = env or {}
        self.mongo = mongo_rows.database_url()  # None: SQLite in the data folder
        self.port, self.events_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.events = f"tcp://127.0.0.1:{self.events_port}"
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.stop(check=kind is None)
        if kind is not None:
            self.tell_log()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, seconds=30):
        args = [str(BUILD / "cli" / "zmart"), "up", "--port", str(self.port), "--data", str(self.folder / "data"),
                "--events", self.events, *self.flags]
        if self.mongo:
            args += ["--store", self.mongo]
        if self.processes:
            args.append("--processes")
        if self.mongo and self.processes:
            for name in ("product-svc", "order-svc", "user-svc", "event-svc"):
                args += [f"--{name}", str(self.workers)]
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=open(self.folder / "stderr.txt", "ab"),
                                        env={**os.environ, **self.env}, start_new_session=True)
        end = time.monotonic() + seconds * SLOW
        line = b""
        while not line.endswith(b"\n"):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise AssertionError("no ready line in time")
            byte = os.read(self.process.stdout.fileno(), 1)
            if not byte:
                raise AssertionError("up ended before it was ready: " + (self.folder / "stderr.txt").read_text()[-2000:])
            line += byte
        self.ready_line = line.decode()
        assert self.ready_line.startswith("zmart ready"), self.ready_line
        assert self.url in self.ready_line, self.ready_line

    def stop(self, check=True):
        if not self.process:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            if check:
                raise AssertionError("up did not end within 30 s of SIGTERM")
            status = -9
        self.process = None
        if check:
            assert status == 0, f"up ended with {status}: " + (self.folder / "stderr.txt").read_text()[-2000:]

    def kill(self):
        """As a power cut: everything at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def tell_log(self):
        for name in ("data/zmart.log", "stderr.txt"):
            path = self.folder / name
            if path.exists():
                lines = [l for l in path.read_text(errors="replace").splitlines() if '"http.request"' not in l]
                print(f"--- {name}", *lines[-60:], sep="\n", file=sys.stderr)

    def children(self, name):
        """Process ids of this shop's children with this command name."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = (entry / "stat").read_text()
                parent = int(stat.rsplit(")", 1)[1].split()[1])
                if parent == self.process.pid and stat.split("(", 1)[1].rsplit(")", 1)[0] == name:
                    found.append(int(entry.name))
        return found

    def rows(self, file, sql, *args):
        if self.mongo:
            return mongo_rows.rows(self.mongo, file, sql, *args)
        path = self.folder / "data" / file
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            return db.execute(sql, args).fetchall()

    # ---- clients ----
    def call(self, method, path, token=None, body=None, key=None, headers=None, session=None, **kwargs):
        head = dict(headers or {})
        if token:
            head["Authorization"] = f"Bearer {token}"
        if key:
            head["Idempotency-Key"] = key
        return (session or requests).request(method, self.url + path, json=body, headers=head, timeout=30, **kwargs)

    def register(self, email=None, name="Someone", password="password"):
        reply = self.call("POST", "/api/auth/register",
                          body={"email": email or f"{uuid.uuid4().hex}@example.com", "name": name, "password": password})
        assert reply.status_code == 201, reply.text
        return reply.json()

    def admin(self):
        return self.register("admin@example.com", "Admin")["token"]

    def product(self, token, **fields):
        reply = self.call("POST", "/api/products", token, {"name": "Thing", "price": 10, "stock": 5, **fields})
        assert reply.status_code == 201, reply.text
        return reply.json()

    def order(self, token, *lines, key=None, session=None):
        return self.call("POST", "/api/orders", token, key=key, session=session,
                         body={"items": [{"product_id": p, "quantity": q} for p, q in lines]})


def problem(reply, status, code=None, pointer=None):
    """Asserts that a reply is a problem+json of this status (and code, and that it points there)."""
    assert reply.status_code == status, f"{reply.status_code} instead of {status}: {reply.text[:500]}"
    assert reply.headers["Content-Type"].split(";")[0] == "application/problem+json", reply.headers
    body = reply.json()
    for field in ("type", "title", "status", "detail", "instance", "code", "request_id"):
        assert field in body, f"no {field} in {body}"
    assert body["status"] == status
    if code:
        assert body["code"] == code, body
    if pointer is not None:
        assert pointer in [e["pointer"] for e in body.get("errors", [])], body
    return body


def refusal(url, *before, status=1):
    """What order-svc says, in one line, to a store that it cannot use; it ends at once. before: a program that runs it."""
    done = subprocess.run([*before, BUILD / "order-svc" / "order-svc", "--bus", "ipc:///tmp/zmart-nowhere"], capture_output=True, text=True,
                          timeout=60 * SLOW, env={**os.environ, "ZMART_STORE": url})
    lines = done.stderr.splitlines()
    assert done.returncode == status and len(lines) == 1 and '"open.failed"' in lines[0], (done.returncode, done.stderr)
    return json.loads(lines[0])["detail"]


def run(tests):
    """Runs the test functions of a suite; names on the command line choose. Exit status 1 when one fails."""
    chosen = sys.argv[1:] or list(tests)
    failed = []
    for name in chosen:
        begin = time.monotonic()
        try:
            tests[name]()
            print(f"ok   {name} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Exception:  # a test may fail in any way
            import traceback
            traceback.print_exc()
            print(f"FAIL {name}", flush=True)
            failed.append(name)
    sys.exit(1 if failed else 0)
