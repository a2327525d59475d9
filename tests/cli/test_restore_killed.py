#!/usr/bin/python3
"""A restore that is killed at any moment leaves nothing that a shop would start on, and the next one begins again. On SQLite; on
MongoDB where ZMART_TEST_MONGODB names a server."""
import contextlib
import mmap
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.parse

URL = os.environ.pop("ZMART_TEST_MONGODB", None)  # a Shop would begin there
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from backups import ZMART, books_balance, database_beside, rows, sections, zmart
from shop import BUILD, SLOW, Shop, refusal, run, wait_for

STOCK = 50
FILES = ("product.db", "order.db", "user.db", "event.db", "webhook.db", "mail.db")


@contextlib.contextmanager
def backup_of_a_shop():
    """A folder with a.backup, which has orders and events that wait."""
    with tempfile.TemporaryDirectory(prefix="zmart-kill-") as kept:
        with Shop(keep=kept) as shop:
            token = shop.admin()
            products = [shop.product(token, name=f"Thing {i}", stock=STOCK, categories=["things"])["id"] for i in range(5)]
            for i in range(10):
                assert shop.order(token, (products[i % 5], 1), (products[(i + 1) % 5], 2)).status_code == 201
            zmart("backup", shop.folder / "a.backup", "--data", shop.folder / "data")
        yield pathlib.Path(kept)


def same(one, other, but=()):
    first, second = sections(one), sections(other)
    return {name for name in first if first[name] != second[name]} - {"event.stream", "event.entries", "event.topics", *but}


# ---- SQLite ----

class Steps:
    """Kills a program at its n-th step (tests/system/shim.c)."""

    def __init__(self, folder):
        self.path = folder / "steps"
        self.path.write_bytes(bytes(8 * 68))

    def run(self, n, *words):
        """-> its exit status, and its steps"""
        with open(self.path, "r+b") as file, mmap.mmap(file.fileno(), 0) as shim:
            shim[8:24] = struct.pack("qq", n, 0)
            done = subprocess.run([ZMART, *map(str, words)], capture_output=True, text=True, timeout=120 * SLOW,
                                  env={**os.environ, "ZMART_SHIM": str(self.path), "LD_PRELOAD": str(BUILD / "tests" / "system" / "libshim.so"),
                                       "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"})
            return done.returncode, struct.unpack("q", shim[16:24])[0]


def refused_by_all(folder):
    """Nobody takes what is there for a shop's."""
    assert "has not ended" in refusal(f"sqlite:{folder}"), "a service would start"
    assert "has not ended" in zmart("backup", folder.parent / "bad.backup", "--data", folder, status=1)
    port = ("--port", "0", "--events", "")
    done = subprocess.run([ZMART, "up", "--data", folder, *port], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 1 and "has not ended" in done.stderr and "zmart restore" in done.stderr and done.stderr.count("\n") == 1, done


def at_each_step_on_sqlite():
    with backup_of_a_shop() as folder:
        steps, target = Steps(folder), folder / "target"
        status, count = steps.run(0, "restore", folder / "a.backup", "--data", folder / "whole")
        assert status == 0 and count > 40, (status, count)
        marked = empty = whole = 0
        for n in (*range(1, 12), *range(12, count - 40, 9), *range(max(12, count - 40), count + 1)):  # each of the last ones
            status, _ = steps.run(n, "restore", folder / "a.backup", "--data", target)  # also behind the mark of the one before
            assert status == -signal.SIGKILL, f"step {n} of {count}: {status}"
            there = [name for name in FILES if (target / name).exists()]
            if (target / "restore.unfinished").exists():
                marked += 1
                if marked % 10 == 0 or there and len(there) < len(FILES):
                    refused_by_all(target)
                continue
            assert not there or len(there) == len(FILES), f"step {n}: {there} without a mark"
            empty, whole = empty + (not there), whole + bool(there)
            if there:  # it was killed when everything was done
                books_balance(target, STOCK)
                for path in target.glob("*.db"):
                    path.unlink()
        assert marked > 40 and empty < 12 and whole < 12, (marked, empty, whole, count)
        print(f"     {count} steps: marked after {marked} of them, empty after {empty}, whole after {whole}")
        zmart("restore", folder / "a.backup", "--data", target)
        books_balance(target, STOCK)
        zmart("backup", folder / "b.backup", "--data", target)
        zmart("backup", folder / "c.backup", "--data", folder / "whole")
        assert not same(folder / "b.backup", folder / "c.backup")
        with Shop(keep=folder) as shop:  # on its old data: the file is no worse for it
            assert shop.call("GET", "/api/products").status_code == 200


def a_log_without_its_database_is_refused():
    with backup_of_a_shop() as folder:
        (folder / "target").mkdir()
        (folder / "target" / "order.db-wal").write_bytes(b"of another shop")
        assert "order.db-wal" in zmart("restore", folder / "a.backup", "--data", folder / "target", status=1)
        assert (folder / "target" / "order.db-wal").read_bytes() == b"of another shop"


def interrupted():
    """Whoever asks it to end gets one line, and nothing is left."""
    with backup_of_a_shop() as folder:
        for number in (signal.SIGINT, signal.SIGTERM):
            for words, left in ((["restore", folder / "a.backup", "--data", folder / "new"], folder / "new"),
                                (["backup", folder / "b.backup", "--data", folder / "data"], folder / "b.backup.part")):
                blocked = subprocess.Popen([ZMART, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                           preexec_fn=lambda n=number: (signal.pthread_sigmask(signal.SIG_BLOCK, [n]), os.kill(os.getpid(), n)))
                _, told = blocked.communicate(timeout=60 * SLOW)
                assert blocked.returncode == 1 and told.startswith("zmart: interrupted: ") and told.count("\n") == 1, (blocked.returncode, told)
                assert not left.exists() and not (folder / "b.backup").exists()


# ---- MongoDB ----

INSERT, UPDATE, END = b"\x02insert\0", b"\x02update\0", b"\x02delete\0\x0d\0\0\0zmart_schema\0"  # as commands begin in BSON


class Way:
    """Between a program and its server: kills the program when it sends its n-th command of a kind, which arrives all the same."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.target = (parts.hostname, parts.port or 27017)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = parts._replace(netloc=f"127.0.0.1:{self.listener.getsockname()[1]}").geturl()
        self.counts, self.kill_at, self.process, self.lock = {}, None, None, threading.Lock()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                server = socket.create_connection(self.target)
                threading.Thread(target=self.carry, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self.carry, args=(server, client, False), daemon=True).start()

    def count(self, data):
        with self.lock:
            for kind in (INSERT, UPDATE, END):
                if kind in data[:200]:
                    self.counts[kind] = self.counts.get(kind, 0) + 1
                    if self.kill_at == (kind, self.counts[kind]):
                        self.process.kill()

    def carry(self, source, target, counts):
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(1 << 16):
                if counts:
                    self.count(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def run(self, kill_at, *words):
        with self.lock:  # nothing is counted before there is a process
            self.counts, self.kill_at = {}, kill_at
            self.process = subprocess.Popen([ZMART, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        told = "".join(self.process.communicate(timeout=180 * SLOW))
        return self.process.returncode, told


def things_in(database):
    return {name: count for name in database.list_collection_names() if name != "zmart_schema" and not name.startswith("system.")
            if (count := database[name].count_documents({}))}


def at_some_commands_on_mongodb():
    with backup_of_a_shop() as folder, database_beside(URL, "killed") as (url, database):
        way, marks = Way(url), database.zmart_schema
        status, told = way.run(None, "restore", folder / "a.backup", "--store", way.url)
        assert status == 0 and not marks.find_one({"_id": "restoring"}), told
        whole, inserts = things_in(database), way.counts[INSERT]
        assert inserts > 8 and way.counts[END] == 1, way.counts
        zmart("backup", folder / "whole.backup", "--store", url)
        for name in whole:
            database[name].delete_many({})
        last = inserts - 1  # the mark is not put again
        for kind, n in ((INSERT, 1), (UPDATE, 1), (INSERT, 3), (INSERT, inserts // 2), (INSERT, last), (UPDATE, 3), (END, 1)):
            status, told = way.run((kind, n), "restore", folder / "a.backup", "--store", way.url)  # also where the one before was killed
            assert status == -signal.SIGKILL, (kind, n, way.counts, told)
            there = things_in(database)
            if kind == END and not marks.find_one({"_id": "restoring"}):
                assert there == whole, f"{there} without a mark"
                continue
            assert marks.find_one({"_id": "restoring"}), f"{there} without a mark"
            assert there or (kind, n) not in ((INSERT, 3), (INSERT, inserts // 2), (INSERT, last)), f"nothing was put before {kind} {n}"
            assert "has not ended" in refusal(url) and "zmart restore" in refusal(url)
            assert "has not ended" in zmart("backup", folder / "bad.backup", "--store", url, status=1)
        if not marks.find_one({"_id": "restoring"}):
            assert "not empty" in zmart("restore", folder / "a.backup", "--store", url, status=1)
            marks.insert_one({"_id": "restoring", "token": "x", "beat": 0, "fills": True})
        zmart("restore", folder / "a.backup", "--store", url)
        assert not marks.find_one({"_id": "restoring"})
        assert things_in(database) == whole, (things_in(database), whole)
        zmart("backup", folder / "b.backup", "--store", url)
        assert not same(folder / "whole.backup", folder / "b.backup")
        with Shop(env={"ZMART_STORE": url}) as shop:
            token = shop.call("POST", "/api/auth/login", body={"email": "admin@example.com", "password": "password"}).json()["token"]
            product = shop.call("GET", "/api/products").json()["data"][0]["id"]
            assert shop.order(token, (product, 1)).status_code == 201


def only_behind_the_mark():
    """What is there is deleted only where a restore has put it, and not while that one is at work."""
    with backup_of_a_shop() as folder, database_beside(URL, "mark") as (url, database):
        zmart("restore", folder / "a.backup", "--store", url)
        whole, marks = things_in(database), database.zmart_schema
        marks.insert_one({"_id": "restoring", "token": "x", "beat": 0})  # of one that was killed before it knew what is there
        assert "has not ended" in refusal(url)
        assert "not empty" in zmart("restore", folder / "a.backup", "--store", url, status=1)
        assert things_in(database) == whole and not marks.find_one({"_id": "restoring"}), "a shop was changed, or is still marked"
        marks.insert_one({"_id": "restoring", "token": "x", "beat": 0, "fills": True})
        ending = threading.Event()

        def beat():
            while not ending.wait(0.1):
                marks.update_one({"_id": "restoring"}, {"$inc": {"beat": 1}})
        beating = threading.Thread(target=beat)
        beating.start()
        try:
            assert "is at work" in zmart("restore", folder / "a.backup", "--store", url, status=1)
            assert things_in(database) == whole and marks.find_one({"_id": "restoring"})["token"] == "x"
        finally:
            ending.set()
            beating.join()
        zmart("restore", folder / "a.backup", "--store", url)
        assert things_in(database) == whole


def a_failed_one_leaves_nothing():
    """A file that is whole, and has something that the store refuses at its end: what was put is deleted, and the mark goes."""
    with backup_of_a_shop() as folder, database_beside(URL, "failed") as (url, database):
        way = Way(url)
        status, _ = way.run(None, "restore", folder / "a.backup", "--store", way.url)
        assert status == 0
        for name in things_in(database):
            database[name].delete_many({})
        database.products.create_index("product.currency", unique=True)  # two products have the same
        assert zmart("restore", folder / "a.backup", "--store", url, status=1)
        assert not things_in(database) and not database.zmart_schema.find_one({"_id": "restoring"})
        database.products.drop_index("product.currency_1")
        zmart("restore", folder / "a.backup", "--store", url)


ON_SQLITE = (at_each_step_on_sqlite, a_log_without_its_database_is_refused, interrupted)
ON_MONGODB = (at_some_commands_on_mongodb, only_behind_the_mark, a_failed_one_leaves_nothing)
run({f.__name__: f for f in (ON_MONGODB if URL else ON_SQLITE)})
