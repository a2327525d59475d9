"""F11b. Orders kill every worker, and then all brokers and the service that keeps dead letters are killed too (-9).

Holds: the letters are in the store, the same at each broker, and come back with it; once a good worker is there one is sent
again under its request id and makes exactly one order, which is also what its sender gets who asks again; one that is dropped
makes none."""
import json
import subprocess

import bus1
from faults.f11_poison import died, end, serve_poison
from scenario import Stage, wait_for
from shop import BUILD

SEED = 1111


def dlq(rack, *words, n=0, status=0):
    run = subprocess.run([BUILD / "cli" / "zmart", "bus", "dlq", *words, "--bus", rack.bases[n], "--json"], capture_output=True, text=True, timeout=60)
    assert run.returncode == status, (words, run.stdout, run.stderr)
    return json.loads(run.stdout)["brokers"][0]["dead_letters"] if status == 0 else run.stderr


def listed(rack, n):
    return {l["request_id"]: l for l in dlq(rack, "list", n=n)["letters"]}


def order(stage, account, key):
    """One that nobody survives; its request id."""
    product = next(iter(stage.stock))
    lines = [{"product_id": product, "quantity": 2}]
    stage.history.add("invoke", "order", key, lines=lines)
    reply = stage.rack.call("POST", "/api/orders", account["token"], key=key, body={"items": lines, "note": key})
    assert reply.status_code == 502 and reply.json()["code"] == "outcome_unknown", reply.text
    stage.history.add("info", "order", key, status=502)
    return reply.json()["request_id"], lambda: stage.rack.call("POST", "/api/orders", account["token"], key=key,
                                                               body={"items": lines, "note": key})


def poison_orders(stage, account):
    rack = stage.rack
    rack["order-svc"].stop()
    found = []
    for number in range(2):
        workers = [w for n in range(2) for w in serve_poison(rack, "order", 3, n)]
        found.append(order(stage, account, f"{stage.random.getrandbits(64):x}"))
        assert len(died(workers)) >= 3, "nobody died over it"
        end(workers)
    return found


def kill_all(rack):
    names = ["broker-0", "broker-1", "event-svc"]
    stage_pids = {name: rack[name].pid for name in names}
    for name in names:
        rack[name].kill()
    for name in names:
        rack[name].start(wait=name != "event-svc")
    rack["event-svc"].wait_ready()
    assert all(rack[name].pid != pid for name, pid in stage_pids.items())


def run(seed):
    with Stage(seed, brokers=2, heartbeat_ms=300) as stage:
        rack, account = stage.rack, stage.rack.register()
        (first, again), (second, _) = poison_orders(stage, account)
        stored = lambda n: {id for id, l in listed(rack, n).items() if l.get("stored")}
        wait_for("both letters in the store", lambda: stored(0) == stored(1) == {first, second}, 20, 0.1)
        rows = rack.rows("event.db", "SELECT request_id, route, attempts FROM letter WHERE gone = 0 ORDER BY died")
        assert rows == [(first, "order.create", 3), (second, "order.create", 3)], rows
        kill_all(rack)
        rack["order-svc"].start()
        rack.wait_whole()
        letters = listed(rack, 1)
        assert set(letters) == {first, second} and letters[first]["attempts"] == 3 and not letters[first]["secret"], letters
        count = lambda: rack.rows("order.db", "SELECT count(*) FROM orders WHERE kind = 'placed'")[0][0]
        assert count() == 0
        assert dlq(rack, "requeue", first, n=1)["count"] == 1
        wait_for("the order", lambda: count() == 1, 20)
        assert dlq(rack, "drop", second, n=0)["count"] == 0
        assert "no broker has" in dlq(rack, "drop", second, n=1, status=1)
        assert "no broker has" in dlq(rack, "requeue", second, n=1, status=1)
        reply = again()  # its sender has never heard what became of it
        assert reply.status_code == 201 and reply.headers.get("Idempotent-Replayed") == "true", (reply.status_code, reply.text)
        assert count() == 1 and not listed(rack, 0) and not listed(rack, 1)
        wait_for("the letter to be dropped for good", lambda: rack.rows("event.db", "SELECT count(*) FROM letter WHERE gone = 0") == [(0,)], 20)
        return f"2 letters lived through kill -9 of brokers and event-svc, 1 made 1 order, 1 was dropped; {stage.check()}"
