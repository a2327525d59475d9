"""A shop whose MongoDB server is killed, stands still, has no room left, or asks for a password. First argument: the server (tests/mongo/README.md);
further ones choose tests."""
import contextlib
import os
import pathlib
import sys
import tempfile
import time

import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mongo"))
import install
from servers import Server

import bus1
from faults import f01_worker_killed, f10_same_key
from scenario import Stage, run_round
from shop import Shop, refusal, run, wait_for

NAME = sys.argv.pop(1)
SEED, FROZEN_S, DISK_MIB = 113, 20, 1024
PASSWORD = "corr3ct-h0rse"


@contextlib.contextmanager
def database(**options):
    """A server of our own, durable at each commit; shops that are made meanwhile are on it."""
    before = os.environ.get("ZMART_TEST_MONGODB")
    with tempfile.TemporaryDirectory(prefix="zmart-mongo-") as folder, Server(NAME, folder, sync=True, **options) as server:
        os.environ["ZMART_TEST_MONGODB"] = server.url("shop")
        try:
            yield server
        finally:
            os.environ.pop("ZMART_TEST_MONGODB")
            if before:
                os.environ["ZMART_TEST_MONGODB"] = before


def refused_for_now(people):
    return sum(p.statuses[503] for p in people)


def ok_while(stage, fault, until):
    """What was acknowledged while the server could not be asked."""
    fault()
    before = stage.history.counts["ok"]
    until()
    return stage.history.counts["ok"] - before


def database_killed():
    """F13: kill -9 under load, and a new start: nothing acknowledged is lost, and nobody has to help."""
    with database() as server, Stage(SEED) as stage:
        with stage.load(4, think_s=0.01) as people:
            for _ in range(2):
                stage.progress(people, 5)
                begun = refused_for_now(people)
                late = ok_while(stage, server.kill, lambda: wait_for("a refusal", lambda: refused_for_now(people) > begun + 4, 60))
                assert late <= len(people), f"{late} acknowledged by a database that is not there"  # replies that were on their way
                assert requests.get(stage.rack.url + "/livez", timeout=30).status_code == 200
                server.start()
                stage.progress(people, 5)
        stage.rack.wait_whole()
        print(f"     {refused_for_now(people)} refused meanwhile; {stage.check()}")


def database_frozen():
    """F3, F13: it stands still for longer than any budget: 503 soon, no worker is thought dead, and then on as before."""
    with database() as server, Stage(SEED + 1) as stage:
        with stage.load(4, think_s=0.01) as people:
            stage.progress(people, 5)
            begun, frozen = refused_for_now(people), time.monotonic()
            server.freeze()
            try:
                wait_for("a refusal", lambda: refused_for_now(people) > begun + 4, 60)
                sessions = {w["instance"]: w["epoch"] for w in bus1.mmi(stage.rack.bases[0], "workers")["workers"]}
                time.sleep(max(0, FROZEN_S - (time.monotonic() - frozen)))
                after = {w["instance"]: w["epoch"] for w in bus1.mmi(stage.rack.bases[0], "workers")["workers"]}
                assert after == sessions, "a worker was thought dead"
            finally:
                server.thaw()
            stage.progress(people, 5)
        assert not [e for e in stage.rack["broker-0"].log("worker.lost")], "a false death"
        print(f"     {refused_for_now(people)} refused meanwhile; {stage.check()}")


def disk_full():
    """F13: no room is left under load: refused with 503, nothing acknowledged is lost, and with room again it goes on."""
    try:
        with database(disk_mib=DISK_MIB) as server, Stage(SEED + 3) as stage:
            disk_fills(server, stage)
    except install.Unavailable as why:
        print(f"     not tried: {why}")


def disk_fills(server, stage):
    with stage.load(4, think_s=0.01) as people:
        stage.progress(people, 5)
        begun = refused_for_now(people)
        server.disk_resize(server.disk_used_mib() + 1)
        wait_for("a refusal", lambda: refused_for_now(people) > begun + 4, 120)
        left = server.disk_left()
        assert left < 1 << 20, f"{left} bytes are left, and it refuses"
        assert requests.get(stage.rack.url + "/livez", timeout=30).status_code == 200
        server.disk_resize(DISK_MIB)
        if not server.takes_writes():  # PostgreSQL and WiredTiger end when their journal cannot grow
            server.kill()
            server.start()
        stage.progress(people, 5)
    failed = sum(p.statuses[500] for p in people)
    assert not failed, f"{failed} were told of an error of ours"
    stage.rack.wait_whole()
    print(f"     {refused_for_now(people)} refused meanwhile; {stage.check()}")


def worker_killed():
    """F1, with the same checks as on SQLite."""
    with database():
        print("    ", run_round(f01_worker_killed, f01_worker_killed.SEED))


def worker_frozen():
    """F2: one of two processes stands still with an order half placed; the other one places it; then both go on."""
    with database(), Stage(SEED + 2, heartbeat_ms=300) as stage:
        rack = stage.rack
        first, product_svc = rack["order-svc"], rack["product-svc"]
        holds = lambda: rack.rows("product.db", "SELECT count(*) FROM holds")[0][0]
        product_svc.freeze()  # so that order-svc has looked, asked for the pieces, and waits
        people = stage.once(1)
        wait_for("the reserve to be under way", lambda: rack.in_flight("product") >= 1, 20, 0.005)
        first.freeze()
        rack.make("order-svc", "order-svc-2", ["--bus", rack.bus_of("order-svc"), "--store", rack.mongo]).start()
        product_svc.thaw()
        wait_for("the pieces to be held", lambda: holds() >= 1, 20, 0.02)
        wait_for("the request to be sent again", lambda: stage.redelivered() >= 1, 20, 0.02)
        stage.finish(people)
        first.thaw()
        assert stage.history.counts["ok"] == 1, stage.history.counts
        rack.wait_whole()
        print("    ", stage.check())


def same_key():
    """F10, with the same checks as on SQLite."""
    with database():
        print("    ", run_round(f10_same_key, f10_same_key.SEED))


def password_is_nowhere():
    """Not in an argument, not in a log, not in an answer; and a wrong one is one clear line."""
    if NAME == "ferretdb":
        print("     not tried: its salts have 16 bytes, and the driver takes only those of 28 that MongoDB makes")
        return
    with database(user="zmart", password=PASSWORD) as server:
        with Shop(processes=True) as shop:
            token = shop.admin()
            shop.product(token)
            for entry in pathlib.Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    if os.getpgid(int(entry.name)) == os.getpgid(os.getpid()):
                        continue  # this test's own
                    line = (entry / "cmdline").read_bytes()
                    assert PASSWORD.encode() not in line or b"mongo" in line.split(b"\0")[0], line
            for path in shop.folder.rglob("*"):
                assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path
            wrong = shop.mongo.replace(PASSWORD, "wrong-one")
            assert wrong != shop.mongo
        line = refusal(wrong)
        assert "refuses the user or the password" in line and "wrong-one" not in line, line
        print("    ", line)


def main(tests):
    try:
        install.ready(NAME)
    except install.Unavailable as why:
        print(f"no tests on {NAME}: {why}")
        sys.exit(1 if NAME in install.REQUIRED else 77)
    run({f.__name__: f for f in tests})


if __name__ == "__main__":
    main((database_killed, database_frozen, disk_full, worker_killed, worker_frozen, same_key, password_is_nowhere))
