"""F2. order-svc is stopped for ten seconds in the middle of placing an order, long enough to be found dead, and goes on.

Holds: the request is sent again, the client gets one reply, and the late write and the second try make one order."""
import contextlib
import sqlite3
import time

import bus1
from scenario import Stage, wait_for

SEED, FROZEN_S = 102, 10


def run(seed):
    with Stage(seed, heartbeat_ms=300) as stage:
        rack = stage.rack
        order_svc, product_svc = rack["order-svc"], rack["product-svc"]
        sessions = len(order_svc.log("broker.joined"))
        holds = lambda: rack.rows("product.db", "SELECT count(*) FROM holds")[0][0]
        with contextlib.closing(sqlite3.connect(rack.folder / "data" / "order.db", isolation_level=None)) as lock:
            product_svc.freeze()  # so that order-svc has looked, asked for the pieces, and waits
            people = stage.once(1)
            wait_for("the reserve to be under way", lambda: rack.in_flight("product") >= 1, 20, 0.005)
            lock.execute("BEGIN IMMEDIATE")
            product_svc.thaw()
            wait_for("the pieces to be held", lambda: holds() >= 1, 20, 0.005)
            wait_for("order-svc to have the answer", lambda: rack.in_flight("product") == 0, 20, 0.005)
            order_svc.freeze()
            lock.execute("ROLLBACK")
        frozen = time.monotonic()
        wait_for("the request to be sent again", lambda: stage.redelivered() >= 1, 20, 0.02)
        assert people[0].is_alive(), "the client has an answer from nobody"
        time.sleep(max(0, FROZEN_S - (time.monotonic() - frozen)))
        assert order_svc.state() == "T"
        order_svc.thaw()
        stage.finish(people)
        assert stage.history.counts["ok"] == 1, stage.history.counts
        wait_for("order-svc to have a new session", lambda: len(order_svc.log("broker.joined")) > sessions, 20)
        late = bus1.broker_metrics(rack.bases[0])
        return (f"{late['zmart_broker_redelivered_total']} sent again, {late['zmart_broker_late_replies_total']} late; "
                f"{stage.check()}")
