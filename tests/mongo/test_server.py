#!/usr/bin/python3
"""The servers under test themselves: what was written stays through kill -9, logins are asked for, nothing is left behind."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import pymongo

import install
from servers import PATIENCE, Server, started_at

HERE = pathlib.Path(__file__).resolve().parent
LOGIN = {"user": "keeper", "password": "a-long-one"}


def wait_for(what, probe, seconds=20):
    end = time.monotonic() + seconds * PATIENCE
    while not probe():
        assert time.monotonic() < end, f"waited too long for {what}"
        time.sleep(0.05)


def lives_on(name, folder):
    with Server(name, folder, sync=True, test_commands=True, **LOGIN) as server:
        url = server.url("shop")
        things = server.client().shop.things
        things.create_index("number", unique=True)
        things.insert_one({"_id": 1, "number": 7})
        server.kill()
        assert not server.answers(), "killed, and it answers"
        server.start()
        assert server.url("shop") == url, "another address after a restart"
        things = server.client().shop.things
        assert things.find_one()["number"] == 7, "what was acknowledged is gone"
        try:
            things.insert_one({"_id": 2, "number": 7})
            raise AssertionError("the unique index is gone")
        except pymongo.errors.DuplicateKeyError:
            pass


def asks_for_login(name, folder):
    with Server(name, folder, **LOGIN) as server:
        for wrong in ({"password": "wrong"}, {"user": "nobody"}):
            try:
                server.client(**wrong).shop.things.find_one()
                raise AssertionError(f"let in with {wrong}")
            except pymongo.errors.OperationFailure:
                pass


def freezes(name, folder):
    with Server(name, folder) as server:
        server.freeze()
        assert not server.answers(), "frozen, and it answers"
        server.thaw()
        wait_for("the server to answer again", server.answers)


def ends_with_its_owner(name, folder):
    owner = subprocess.Popen([sys.executable, "-c", f"""import sys; sys.path.insert(0, {str(HERE)!r})
from servers import Server
server = Server({name!r}, {str(folder)!r}).start()
print("up", flush=True); sys.stdin.read()"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert owner.stdout.readline() == b"up\n"
    pids = Server.load(folder).processes
    assert pids and all(started_at(pid) == began for pid, began in pids.items())
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_for("the server to end with its owner", lambda: all(started_at(pid) != began for pid, began in pids.items()))


def command(*arguments, **environment):
    return subprocess.run([HERE / "server", *arguments], capture_output=True, text=True, env={**os.environ, **environment})


def is_a_command(name, folder):
    url = command("start", name, "--dir", folder, "--sync").stdout.strip()
    pymongo.MongoClient(url).shop.things.insert_one({"_id": 1})
    assert command("kill", "--dir", folder).returncode == 0
    assert command("start", name, "--dir", folder).stdout.strip() == url
    assert pymongo.MongoClient(url).shop.things.count_documents({}) == 1
    inner = f"import os, pymongo; c = pymongo.MongoClient(os.environ['ZMART_TEST_MONGODB']); c.get_default_database().a.insert_one({{}}); raise SystemExit(3)"
    given = command("with", "mongod", "--", sys.executable, "-c", inner, ZMART_TEST_MONGODB=url)
    assert given.returncode == 3, given.stderr
    left = [n for n in pymongo.MongoClient(url).list_database_names() if n.startswith("zt_")]
    assert not left, f"databases left behind: {left}"
    assert command("stop", "--dir", folder).returncode == 0
    assert not Server.load(folder).answers()


def main():
    name = sys.argv[1]
    try:
        for test in (lives_on, asks_for_login, freezes, ends_with_its_owner, is_a_command):
            with tempfile.TemporaryDirectory(prefix="zmart-mongo-") as folder:
                test(name, pathlib.Path(folder) / "server")
            print(f"{name}: {test.__name__}: as it should be", flush=True)
    except install.Unavailable as why:
        print(f"{name}: {why}")
        sys.exit(1 if name in install.REQUIRED else 77)


main()
