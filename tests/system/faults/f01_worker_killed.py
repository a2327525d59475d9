"""F1. order-svc is killed with -9 before it begins, after its commit and before its reply, and after its reply.

Holds: the broker sends the same request again; the reply comes from what the first try stored; one order each."""
import time

import bus1
from proxy import UP
from scenario import Stage, wait_for

SEED = 101
ORDERS = 8


def before_effect(stage, order_svc):
    """Frozen with the requests in its socket, and killed there."""
    order_svc.freeze()
    people = stage.once(ORDERS)
    wait_for("the requests to be with order-svc", lambda: stage.rack.in_flight("order") >= ORDERS or stage.redelivered(), 20, 0.01)
    order_svc.kill()
    order_svc.start()
    stage.finish(people)
    assert stage.redelivered() >= 1, "nothing was sent again"


def before_reply(stage, order_svc):
    """Its commit is in the store, its reply is lost on the way or never leaves, and it dies."""
    before = stage.redelivered()
    count = lambda: stage.rack.rows("order.db", "SELECT count(*) FROM orders WHERE kind = 'placed'")[0][0]
    there, proxy = count(), stage.rack.proxies["order-svc", 0]
    proxy.blackhole(UP, [bus1.WORKERS])
    people = stage.once(1)
    wait_for("the order in the store", lambda: count() > there, 20, 0.005)
    order_svc.kill()
    proxy.heal()
    order_svc.start()
    stage.finish(people)
    assert stage.redelivered() > before, "nothing was sent again"
    assert count() == there + 1


def after_reply(stage, order_svc):
    rack = stage.rack
    account, product = rack.register(), next(iter(stage.stock))
    key = f"{stage.random.getrandbits(64):x}"
    stage.history.add("invoke", "order", key, lines=[{"product_id": product, "quantity": 1}])
    ask = lambda: rack.call("POST", "/api/orders", account["token"], key=key,
                            body={"items": [{"product_id": product, "quantity": 1}], "note": key})
    first = ask()
    order_svc.kill()
    assert first.status_code == 201, first.text
    stage.history.add("ok", "order", key, order=first.json()["id"])
    order_svc.start()
    wait_for("the repeat", lambda: (again := ask()).status_code == 201 and again.json() == first.json() and
             again.headers.get("Idempotent-Replayed") == "true", 20)


def run(seed):
    with Stage(seed, links={"order-svc": [0]}) as stage:
        steps = [before_effect, before_reply, after_reply]
        stage.random.shuffle(steps)
        times = []
        for step in steps:
            begin = time.monotonic()
            step(stage, stage.rack["order-svc"])
            stage.rack.wait_whole()
            times.append(f"{step.__name__} {time.monotonic() - begin:.1f} s")
        return f"{stage.redelivered()} sent again, {', '.join(times)}; {stage.check()}"
