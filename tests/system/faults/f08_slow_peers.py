"""F8. A client that asks and never reads, and a worker that answers once in a while.

Holds: the one is dropped, the other's queue is bounded and refuses with 429 and a time to come back; the shop sells on as if
they were not there."""
import collections

import bus1
import zmq
from scenario import Stage, nothing_failed, wait_for

SEED = 108
QUEUE, CREDIT, ASKED = 20, 2, 120
FLAGS = {"broker": ["--socket-messages", "50", "--backlog-messages", "100", "--queue-requests", str(QUEUE)]}


def reads_nothing(stage):
    base = stage.rack.bases[0]
    slow = lambda: stage.counter("zmart_broker_slow_peers_total")
    with bus1.Client(base, instance="reads-nothing", high_water=1) as client:
        client.socket.set(zmq.SNDTIMEO, 100)
        while not slow():
            for _ in range(100):
                try:
                    client.send_request("mmi.metrics", budget_ms=60000)
                except zmq.Again:
                    break
    wait_for("its session to end", lambda: [l for l in stage.rack["broker-0"].log() if l.get("instance") == "reads-nothing"
             and l["event"] in ("client.gone", "client.lost")], 20)
    return slow()


def answers_rarely(stage):
    base = stage.rack.bases[0]
    with bus1.Worker(base, [("lazy", CREDIT)], lambda head, body: (200, {}), capacity=0.3), bus1.Client(base) as client:
        wait_for("the worker", lambda: "lazy" in stage.rack.served(base), 20)
        for _ in range(ASKED):
            client.send_request("lazy.do", budget_ms=30000)
        longest = 0
        answers = collections.Counter()
        refused = [client.wait() for _ in range(ASKED - QUEUE - CREDIT)]
        for answer in refused:
            answers[answer.status] += 1
            assert answer.status in (200, 429), answer
            assert answer.status == 200 or answer.body["retry_after_s"] >= 1, answer
        longest = bus1.books(base)["queues"]["lazy"]["length"]
        assert longest <= QUEUE, f"{longest} wait"
        for _ in range(QUEUE + CREDIT):
            answers[client.wait().status] += 1
    assert answers[429] >= ASKED // 2 and answers[200] >= QUEUE, answers
    return dict(answers)


def run(seed):
    with Stage(seed, flags=FLAGS) as stage:
        steps = [reads_nothing, answers_rarely]
        stage.random.shuffle(steps)
        with stage.load(4) as people:
            found = [f"{step.__name__}: {step(stage)}" for step in steps]
            stage.progress(people)
        nothing_failed(people)
        return f"{', '.join(found)}; {stage.check()}"
