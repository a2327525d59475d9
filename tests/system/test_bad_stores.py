"""Stores that cannot be used: one line that says what to do, an exit status, and nothing is changed. On SQLite; with a server's
name (tests/mongo/README.md) as first argument on that one."""
import contextlib
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mongo"))
import install
from servers import Server

from shop import Shop, refusal, run

NAME = sys.argv.pop(1) if sys.argv[1:] and sys.argv[1] in ("mongod", "secantus", "ferretdb") else None
READER, PASSWORD = "reader", "corr3ct-h0rse"
LAW_ABIDING = ["setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override"] if os.geteuid() == 0 else []


def expect(line, *words):
    missing = [word for word in words if word not in line]
    assert not missing, f"{missing} not in: {line}"
    print("    ", line)


def wrong_urls():
    for url, word in (("sqlite:", "sqlite:DIR"), ("mysql://127.0.0.1/shop", "mongodb://"), ("mongodb://", "mongodb://"),
                      ("mongodb://u:s3cret@@host/shop", "mongodb://")):
        line = refusal(url)
        expect(line, "--store", word)
        assert "s3cret" not in line, line


# ---- SQLite ----

def contents(folder):
    """Every file but locks: its size, mode, time and bytes."""
    return {str(path): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix != ".lock"}


@contextlib.contextmanager
def folder_of_a_shop():
    """A data folder that a shop has used."""
    with tempfile.TemporaryDirectory(prefix="zmart-bad-") as kept:
        with Shop(keep=kept) as shop:
            token = shop.admin()
            assert shop.order(token, (shop.product(token)["id"], 1)).status_code == 201
        yield pathlib.Path(kept) / "data"


def refused_unchanged(folder, *words, before=()):
    was = contents(folder)
    expect(refusal(f"sqlite:{folder}", *before), *words)
    assert contents(folder) == was, "something was changed"


def foreign_file():
    with tempfile.TemporaryDirectory(prefix="zmart-bad-") as folder:
        path = pathlib.Path(folder) / "order.db"
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE letters (a)")
        refused_unchanged(path.parent, "not zmart's", "name another folder")
        path.write_text("this is no database, and long enough to be read as one" * 40)
        refused_unchanged(path.parent, "order.db cannot be used", "not a database")


def newer_file():
    with folder_of_a_shop() as folder:
        with contextlib.closing(sqlite3.connect(folder / "order.db")) as db:
            db.execute("PRAGMA user_version = 999")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        refused_unchanged(folder, "schema version 999", "start that one")


def read_only_folder():
    with folder_of_a_shop() as folder:
        (folder / "order.db").chmod(0o400)
        refused_unchanged(folder, "order.db", "Permission denied", "must be able to write", before=LAW_ABIDING)
        (folder / "order.db").chmod(0o600)
        (folder / "order.db.lock").unlink()
        folder.chmod(0o500)
        try:
            refused_unchanged(folder, "order.db", "Permission denied", "must be able to write", before=LAW_ABIDING)
        finally:
            folder.chmod(0o700)
        with Shop(keep=folder.parent) as shop:  # and with its rights back it goes on
            assert shop.rows("order.db", "SELECT count(*) FROM orders") == [(1,)]


def full_disk():
    if os.geteuid() != 0:
        print("     not tried: it needs a file system of its own, and that needs root")
        return
    with tempfile.TemporaryDirectory(prefix="zmart-bad-") as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "zmart-test", folder], capture_output=True, text=True)
        if done.returncode:
            print(f"     not tried: {done.stderr.strip()}")
            return
        try:
            with contextlib.suppress(OSError), open(pathlib.Path(folder) / "ballast", "wb", buffering=0) as ballast:
                while True:
                    ballast.write(bytes(4096))
            expect(refusal(f"sqlite:{folder}"), "order.db", "full")
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


# ---- MongoDB ----

def all_there_is(client):
    return {name: sorted(map(repr, client.shop[name].find())) + sorted(client.shop[name].index_information())
            for name in client.shop.list_collection_names()}


@contextlib.contextmanager
def server_of(**options):
    with tempfile.TemporaryDirectory(prefix="zmart-bad-") as folder, Server(NAME, folder, **options) as server, server.client() as client:
        yield server, client


def refused_there(url, client, *words):
    was = all_there_is(client)
    expect(refusal(url), *words)
    assert all_there_is(client) == was, "something was changed"


def bad_databases():
    """Somebody else's, a newer zmart's, one without a primary, and one that is gone."""
    with server_of() as (server, client):
        client.shop.letters.insert_one({"a": 1})
        refused_there(server.url("shop"), client, "not zmart's", "name another one")
        client.drop_database("shop")
        client.shop.zmart_schema.insert_one({"_id": "order", "version": 999})
        refused_there(server.url("shop"), client, "schema version 999", "start that one")
        client.drop_database("shop")
        refused_there(server.url("shop") + "?replicaSet=another", client, "no server that takes writes", "start it, or correct --store")
        url = server.url("shop")
        server.kill()
        expect(refusal(url), "no server that takes writes", "start it, or correct --store")


def read_only_user():
    if NAME == "ferretdb":
        print("     not tried: the driver takes none of its logins (system/mongo says why)")
        return
    with server_of(user="zmart", password=PASSWORD) as (server, client):
        client.admin.command("createUser", READER, pwd=PASSWORD, roles=[{"role": "read", "db": "shop"}])
        url = server.url("shop", user=READER, password=PASSWORD)
        refused_there(url, client, "give it", "role readWrite", '"shop"')
        client.shop.zmart_schema.insert_one({"_id": "order", "version": 1})
        refused_there(url, client, "role readWrite")


def main():
    if NAME:
        try:
            install.ready(NAME)
        except install.Unavailable as why:
            print(f"no tests on {NAME}: {why}")
            sys.exit(1 if NAME in install.REQUIRED else 77)
    tests = (bad_databases, read_only_user) if NAME else (wrong_urls, foreign_file, newer_file, read_only_folder, full_disk)
    run({f.__name__: f for f in tests})


if __name__ == "__main__":
    main()
