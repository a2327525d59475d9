"""F11. A request kills every worker that begins it.

Holds: after three workers it ends with 502 and a dead letter, which can be listed, sent again under the same request id, and
dropped; no fourth worker meets it, and nobody else notices. Over HTTP it is a 502 too."""
import os
import pathlib
import subprocess
import sys

import bus1
from rack import Rack
from scenario import Stage, nothing_failed, wait_for

SEED = 111
POISON = pathlib.Path(__file__).with_name("poison_worker.py")


def serve_poison(rack, service, count, n=0):
    base = rack.bases[n]
    workers = [subprocess.Popen(["setpriv", "--pdeathsig", "KILL", sys.executable, str(POISON), base, service]) for _ in range(count)]

    def joined():
        queue = bus1.books(base)["queues"].get(service)
        return queue and queue["workers"] == count
    wait_for("the workers", joined, 30, 0.05)
    return workers


def died(workers):
    return [w for w in workers if w.poll() is not None]


def end(workers):
    for worker in workers:
        if worker.poll() is None:
            worker.kill()
        worker.wait()


def letters(rack, **what):
    return {letter["request_id"]: letter for letter in bus1.mmi(rack.bases[0], "dlq", what)["letters"]}


def take_poison(rack, flags=bus1.REPEATABLE):
    """Gives the request id; three of four workers have died over it."""
    workers, request_id = serve_poison(rack, "poison", 4), os.urandom(16)
    with bus1.Client(rack.bases[0]) as client:
        answer = client.ask("poison.drink", {"what": "cup"}, request_id=request_id, budget_ms=20000, flags=flags)
    assert answer.status == 502 and answer.body["code"] == "outcome_unknown", answer
    assert answer.head.request_id == request_id and answer.head.attempt == 3, answer.head
    wait_for("three deaths", lambda: len(died(workers)) == 3, 10)
    assert {w.returncode for w in died(workers)} == {13}
    end(workers)
    return request_id


def requeue(rack, request_id):
    """A good worker gets it with the id that it always had."""
    base = rack.bases[0]
    with bus1.Worker(base, [("poison", 4)], lambda head, body: (200, {})) as good:
        wait_for("the good worker", lambda: "poison" in rack.served(base), 20)
        assert request_id.hex() not in letters(rack, action="requeue", request_id=request_id.hex())
        wait_for("the request to come", lambda: good.seen, 20, 0.01)
        head = good.seen[0]
        assert head.request_id == request_id and head.flags & bus1.REDELIVERED, head


def keeps_no_secret(rack):
    """Of a request with SECRET fields nothing is kept but what it was and why it ended, and it cannot be sent again."""
    secret = take_poison(rack, bus1.REPEATABLE | bus1.SECRET).hex()
    wait_for("the letter in the store", lambda: letters(rack)[secret].get("stored"), 20, 0.05)
    kept = rack.rows("event.db", f"SELECT route, reason, meta, body FROM letter WHERE request_id = '{secret}'")
    assert kept == [("poison.drink", "Every worker that had it died.", None, None)], kept
    assert letters(rack)[secret]["secret"] and not letters(rack)[secret]["bytes"]
    with bus1.Client(rack.bases[0]) as client:
        answer = client.ask("mmi.dlq", {"action": "requeue", "request_id": secret})
        assert answer.status == 409, answer
    assert not letters(rack, action="drop", request_id=secret)


def over_the_bus(rack):
    first = take_poison(rack)
    letter = letters(rack)[first.hex()]
    assert letter["attempts"] == 3 and letter["route"] == "poison.drink" and not letter["secret"], letter
    requeue(rack, first)
    second = take_poison(rack)
    assert list(letters(rack)) == [second.hex()]
    assert not letters(rack, action="drop", request_id=second.hex())
    keeps_no_secret(rack)


def over_http():
    """product-svc's place is taken by workers that die."""
    with Rack(heartbeat_ms=300, services=("event-svc", "user-svc", "order-svc")) as rack:
        rack.admin()
        workers = serve_poison(rack, "product", 3)
        reply = rack.call("GET", "/api/products/prd_whatever00000000000000000")
        if reply.status_code == 404:
            raise AssertionError("the id is refused before it reaches the bus")
        assert reply.status_code == 502 and reply.json()["code"] == "outcome_unknown", reply.text
        assert reply.json()["request_id"] in {l["request_id"] for l in bus1.mmi(rack.bases[0], "dlq")["letters"]}, reply.text
        assert len(died(workers)) == 3
        end(workers)


def run(seed):
    with Stage(seed, heartbeat_ms=300) as stage:
        with stage.load(3) as people:
            over_the_bus(stage.rack)
        nothing_failed(people)
        redelivered = stage.redelivered()
        assert redelivered >= 4, "nothing was sent again"
        found = f"{redelivered} sent again; {stage.check()}"
    over_http()
    return found
