"""F15. A subscriber stands still until the broker's queue for it runs over, and another one begins anew a hundred times under load.

Holds: the slow one sees within two seconds that something is missing, and the log gives it the very bytes; a quick one beside it
gets everything as it happens; the restarting one ends with exactly the log's bytes."""
import os
import threading
import time

from listener import Event, Listener, Raw
from rack import running
from scenario import Stage, wait_for
from shop import SLOW

SEED = 115
QUEUE = 100  # messages that the broker keeps for a subscriber, far fewer than are sent
BATCH, BATCHES, FILLER_SIZE, RESTARTS = 48, 60, 3000, 100
TOPICS = ("order.", "product.", "user.")
TYPES = ("order.placed", "product.stock_changed", "user.updated")


def append(client, name):
    """A batch of events as services hand them over."""
    filler = os.urandom(FILLER_SIZE // 2).hex()
    events = [{"id": f"evt_{name}_{n}", "type": TYPES[n % 3], "subject": f"sub_{n}", "source": "test", "time": 1, "data": {"filler": filler}}
              for n in range(BATCH)]
    answer = client.ask("event.append", {"events": events}, meta={"caller": "test"}, priority=3)
    assert answer.status == 200, answer


class Load(threading.Thread):
    """Appends a batch every now and then."""

    def __init__(self, base):
        super().__init__(name="load", daemon=True)
        self.base, self.ending, self.count = base, threading.Event(), 0

    def run(self):
        with Raw(self.base) as client:
            while not self.ending.wait(0.02):
                append(client, f"load{self.count}")
                self.count += 1


def log_of(rack):
    of_topics = " OR ".join(f"type LIKE '{t}%'" for t in TOPICS)
    return [Event(*row) for row in rack.rows("event.db", f"SELECT seq, tseq, id, type, data FROM entry WHERE {of_topics} ORDER BY seq")]


class Durable:
    """Stores each event once. The hole of a type shows at its next event, so the log is asked behind the position up to which nothing
    was missing, and each type has its own."""

    def __init__(self, client):
        self.client, self.stored, self.repairs = client, {}, 0
        self.tseqs, self.whole = {}, 0

    def store(self, event):
        if event.tseq > self.tseqs.get(event.type, 0):
            self.stored[event.seq] = event
            self.tseqs[event.type] = event.tseq

    def repair(self):
        self.repairs += 1
        for event in self.client.replay(self.whole, [t + "*" for t in TOPICS]):
            self.store(event)
            self.whole = event.seq

    def take(self, event):
        if event.tseq > self.tseqs.get(event.type, 0) + 1:
            self.repair()
        self.store(event)

    def events(self):
        return [self.stored[seq] for seq in sorted(self.stored)]


def restarts(stage, address, client):
    durable, live = Durable(client), 0
    for turn in range(RESTARTS):
        listener = Listener(address, TOPICS)
        with running(listener):
            if turn % 10 == 0:
                durable.repair()
            wait_for("something new", lambda: len(listener.events) > turn % 5)
        for event in listener.events:
            durable.take(event)
        live += len(listener.events)
    return durable, live


def run(seed):
    with Stage(seed, flags={"broker": ["--socket-messages", str(QUEUE)]}) as stage:
        rack, base = stage.rack, stage.rack.bases[0]
        address = f"ipc://{rack.run_folder}/tap0"
        slow, quick, load = Listener(address, TOPICS, high_water=10), Listener(address, TOPICS), Load(base)
        with Raw(base) as client, running(slow, quick):
            slow.hears()
            quick.hears()
            append(client, "first")
            wait_for("the first batch", lambda: len(slow.events) >= BATCH and len(quick.events) >= BATCH)
            slow.pause()
            for turn in range(BATCHES):
                append(client, turn)
                wait_for("the quick one", lambda: len(quick.events) >= (turn + 2) * BATCH)
            assert not quick.gaps, "the slow one cost the quick one something"
            seen = len(slow.gaps)
            slow.go_on()
            begin = time.monotonic()
            wait_for("the gap to be seen", lambda: len(slow.gaps) > seen, 30, 0.01)
            took_s = slow.gaps[seen] - begin
            assert took_s < 2 * SLOW, f"the gap was seen after {took_s:.1f} s"
            lost = (BATCHES + 1) * BATCH - len(slow.events)
            assert lost > BATCH, "hardly anything was lost"
            durable = Durable(client)
            for event in slow.events[:BATCH]:
                durable.take(event)
            durable.repair()
            assert durable.events() == log_of(rack) == [*client.replay(0, [t + "*" for t in TOPICS])], "the log says something else"
            assert set(quick.events) <= set(durable.events())
            with running(load):
                other, live = restarts(stage, address, client)
            other.repair()
            assert other.events() == log_of(rack), "the restarting one has not the log's bytes"
            assert live >= RESTARTS and load.count >= 10, (live, load.count)
        return (f"{lost} lost, seen after {took_s:.2f} s; {RESTARTS} restarts with {live} events live and {other.repairs} repairs, "
                f"{len(other.stored)} events the same")
