"""F16. The host behind the line of events loses its power: the connection stays open, nothing is ever heard on it again. First the
line between gateway and broker, then the one between event-svc and broker.

Holds: without a beacon the gateway opens a new line within seconds; a WebSocket's client has then seen every event, or was told to
come back and had it from the log. What the publisher sends into a dead line is not lost to the log."""
import contextlib
import json
import threading

import bus1
from rack import running
from scenario import Stage, nothing_failed, wait_for
from sockets import Closed, Refused, Socket

SEED = 116


class Reader(threading.Thread):
    """A browser's socket that comes back with after=seq whenever it is closed."""

    def __init__(self, rack, token):
        super().__init__(name="reader", daemon=True)
        self.url, self.token = rack.url.replace("http", "ws"), token
        self.ending, self.seqs, self.opened = threading.Event(), [], 0

    def run(self):
        while not self.ending.is_set():
            with contextlib.suppress(Closed, Refused, OSError):
                with Socket(f"{self.url}/ws?after={self.seqs[-1] if self.seqs else 0}", {"Authorization": f"Bearer {self.token}"}) as socket:
                    self.opened += 1
                    self.read(socket)
            self.ending.wait(0.2)

    def read(self, socket):
        while not self.ending.is_set():
            with contextlib.suppress(TimeoutError):
                self.seqs.append(json.loads(socket.recv(1))["seq"])


def log_of(rack):
    return [seq for (seq,) in rack.rows("event.db", "SELECT seq FROM entry WHERE type LIKE 'order.%' ORDER BY seq")]


def run(seed):
    with Stage(seed, heartbeat_ms=500, links={"gateway-0": [0], "event-svc": [0]}) as stage:
        rack = stage.rack
        stage.hear_beacons()
        reader = Reader(rack, stage.admin)
        with running(reader), stage.load(3) as people:
            wait_for("the reader to read", lambda: len(reader.seqs) > 5, 30)
            line = rack.proxies["gateway-0", 0]
            before = line.counts["connections"]
            line.power_off((bus1.EVENTS,))
            assert line.counts["powered_off"] == 1, line.counts
            wait_for("a new line", lambda: line.counts["connections"] > before, 20)
            stage.progress(people, 10)
            newest = log_of(rack)[-1]
            wait_for("the reader to have what happened meanwhile", lambda: reader.seqs[-1] >= newest, 30)
            wire = rack.proxies["event-svc", 0]
            published = wire.counts["connections"]
            wire.power_off((bus1.PUBLISH,))
            assert wire.counts["powered_off"] == 1, wire.counts
            stage.progress(people, 10)
            rack["event-svc"].kill()  # as its host is
            rack["event-svc"].start()
            wait_for("event-svc's new line", lambda: wire.counts["connections"] > published, 20)
            stage.progress(people, 10)
            nothing_failed(people)
        found = stage.check()
        again = Reader(rack, stage.admin)
        again.seqs = list(reader.seqs)
        with running(again):
            wait_for("the reader to have the log", lambda: again.seqs[-1:] == log_of(rack)[-1:], 30)
        assert again.seqs == log_of(rack), "it is not the log"
        return f"{len(again.seqs)} events over {reader.opened + again.opened} sockets; {found}"
