"""F8. A client that asks and never reads, and a worker that answers once in a while.

Holds: the one is dropped, the other's queue is bounded and refuses with 429 and a time to come back; the shop sells on as if
they were not there: 99 of 100 answers of others take at most twice as long as in the same run without them."""
import collections
import threading
import time

import bus1
import zmq
from rack import running
from scenario import Stage, lasts, nothing_failed, wait_for

SEED = 108
QUEUE, CREDIT, ASKED = 20, 2, 120
FLAGS = {"broker": ["--socket-messages", "50", "--backlog-messages", "100", "--queue-requests", str(QUEUE)]}


def reads_nothing(stage):
    base = stage.rack.bases[0]
    before = stage.counter("zmart_broker_slow_peers_total")
    slow = lambda: stage.counter("zmart_broker_slow_peers_total") - before
    with bus1.Client(base, instance="reads-nothing", high_water=1) as client:
        client.socket.set(zmq.SNDTIMEO, 100)
        while not slow():
            for _ in range(100):
                try:
                    client.send_request("mmi.metrics", budget_ms=60000)
                except zmq.Again:
                    break
    ends = lambda: [l for l in stage.rack["broker-0"].log() if l.get("instance") == "reads-nothing" and l["event"] in ("client.gone", "client.lost")]
    wait_for("its session to end", lambda: len(ends()) >= 1, 20)
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


class Other(threading.Thread):
    """Asks the broker and a worker of its own, at a steady pace, and takes the time."""

    PAUSE_S = 0.003

    def __init__(self, base):
        super().__init__(name="other", daemon=True)
        self.base, self.ending, self.times_s = base, threading.Event(), []

    def run(self):
        with bus1.Worker(self.base, [("brisk", 50)], lambda head, body: (200, {})), bus1.Client(self.base, instance="other") as client:
            wait_for("the brisk worker", lambda: client.ask("mmi.service", {"name": "brisk"}).status == 200, 20)
            while not self.ending.is_set():
                begin = time.monotonic()
                assert client.ask("brisk.do", budget_ms=10000).status == 200
                self.times_s.append(time.monotonic() - begin)
                time.sleep(self.PAUSE_S)


def p99_s(times_s):
    return sorted(times_s)[len(times_s) * 99 // 100]


def measured(other, count, peers=()):
    """The p99 of so many answers, more while the peers are at work."""
    first = len(other.times_s)
    found = [peer() for peer in peers]
    wait_for("answers to others", lambda: len(other.times_s) >= first + count, 120, 0.02)
    return p99_s(other.times_s[first:]), found


def others_do_not_notice(stage):
    """Calm before and after: what the machine does besides is in both."""
    base, count, told = stage.rack.bases[0], lasts(400, 4000), []
    steps = [reads_nothing, answers_rarely]
    stage.random.shuffle(steps)
    for _ in range(4):
        with running(other := Other(base)):
            wait_for("the first answers", lambda: len(other.times_s) >= 50, 30, 0.02)
            before, _ = measured(other, count)
            slow, found = measured(other, count, [lambda step=step: f"{step.__name__}: {step(stage)}" for step in steps])
            after, _ = measured(other, count)
        told.append(f"p99 of others {slow * 1000:.1f} ms with them, {before * 1000:.1f} and {after * 1000:.1f} ms without")
        if slow <= 2 * max(before, after):
            return f"{', '.join(found)}; {told[-1]} (try {len(told)})"
    raise AssertionError(told)


def run(seed):
    with Stage(seed, flags=FLAGS) as stage:
        found = others_do_not_notice(stage)
        with stage.load(4) as people:
            reads_nothing(stage)
            answers_rarely(stage)
            stage.progress(people)
        nothing_failed(people)
        return f"{found}; {stage.check()}"
