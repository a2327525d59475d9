"""F3. order-svc's handlers are blocked by its database for longer than any budget, and many heartbeats.

Holds: its heartbeats go on and nobody thinks it dead; what reads is answered; what writes ends with 504 and a request id."""
import contextlib
import sqlite3

import bus1
from scenario import Stage, wait_for

SEED = 103


def session(rack):
    return next(w for w in bus1.mmi(rack.bases[0], "workers")["workers"] if w["instance"] == "order-svc")


def run(seed):
    with Stage(seed, heartbeat_ms=300, flags={"order-svc": ["--store-busy-ms", "30000"]}) as stage:
        rack = stage.rack
        reader = stage.buyers(1)[0]
        reader.order()
        before = session(rack)["epoch"]
        with contextlib.closing(sqlite3.connect(rack.folder / "data" / "order.db", isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            people = stage.once(4, patient=False)
            wait_for("the requests to be with order-svc", lambda: rack.in_flight("order") >= 1, 20, 0.01)
            reads = 0
            while any(person.is_alive() for person in people):
                reply = rack.call("GET", f"/api/orders/{reader.orders[0]}", reader.account["token"])
                assert reply.status_code == 200, reply.text
                assert session(rack)["epoch"] == before, "it was thought dead"
                reads += 1
            lock.execute("ROLLBACK")
        stage.finish(people)
        statuses = [s for p in people for s in p.statuses]
        assert statuses == [504] * 4, statuses
        told = [e for e in stage.history.read() if e["type"] == "info"]
        assert all('"request_id"' in e["text"] and "outcome_unknown" in e["text"] for e in told), told
        assert not [e for e in rack["broker-0"].log("worker.lost")], "a false death"
        with stage.load(2):
            pass
        return f"{reads} reads meanwhile; {stage.check()}"
