"""Listens to the outside's events in a thread, and asks the log over the bus; both keep the bytes as they came."""
import dataclasses
import threading
import time

import msgpack
import zmq

import bus1
from shop import wait_for


@dataclasses.dataclass(frozen=True)
class Event:
    seq: int
    tseq: int
    id: str
    type: str
    data: bytes


def fields_of(packed):
    """name: the bytes of its value, of one map"""
    unpacker = msgpack.Unpacker()
    unpacker.feed(packed)
    found = {}
    for _ in range(unpacker.read_map_header()):
        name, begin = unpacker.unpack(), unpacker.tell()
        unpacker.skip()
        found[name] = packed[begin:unpacker.tell()]
    return found


class Raw(bus1.Client):
    """A client whose answers stay packed."""

    def page(self, after, types=(), limit=256):
        body = {"after": after, "limit": limit, **({"types": list(types)} if types else {})}
        corr = self.send_request("event.replay", body, meta={"caller": "test"})
        while True:
            got = self.receive(20)
            assert got, "no answer"
            head, parts = got
            if head.type in (bus1.REPLY, bus1.NACK) and head.corr == corr:
                assert head.status == 200, (head, parts)
                return self.entries(parts[-1])

    @staticmethod
    def entries(packed):
        fields = fields_of(packed)
        unpacker, rows = msgpack.Unpacker(), []
        unpacker.feed(fields["data"])
        for _ in range(unpacker.read_array_header()):
            begin = unpacker.tell()
            unpacker.skip()
            row = fields_of(fields["data"][begin:unpacker.tell()])
            value = {name: msgpack.unpackb(row[name]) for name in ("seq", "tseq", "id", "type")}
            rows.append(Event(**value, data=row.get("data", b"")))
        return rows, msgpack.unpackb(fields["has_more"])

    def replay(self, after, types=()):
        more = True
        while more:
            rows, more = self.page(after, types)
            yield from rows
            after = rows[-1].seq if rows else after


class Listener(threading.Thread):
    """Collects events; pause() makes it as slow as can be. gaps: when it saw that something of a topic is missing."""

    def __init__(self, address, topics=("order.",), high_water=100000):
        super().__init__(name="listener", daemon=True)
        self.address, self.topics, self.high_water = address, topics, high_water
        self.ending, self.reading, self.standing = threading.Event(), threading.Event(), threading.Event()
        self.reading.set()
        self.events, self.heads, self.gaps, self.seen = [], 0, [], {}

    def run(self):
        socket = zmq.Context.instance().socket(zmq.SUB)
        socket.setsockopt(zmq.RCVHWM, self.high_water)
        for topic in (*self.topics, "_head."):
            socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        socket.connect(self.address)
        while not self.ending.is_set():
            if not self.reading.is_set():
                self.standing.set()
                self.reading.wait(0.1)
            elif socket.poll(50):
                self.take(*socket.recv_multipart())
        socket.close(0)

    def take(self, topic, meta, payload):
        meta, payload_of = msgpack.unpackb(meta), msgpack.unpackb
        if topic == b"_head.":
            self.heads += 1
            for told in payload_of(payload)["topics"]:
                if told["topic"].startswith(self.topics):
                    self.at(told["topic"], told["tseq"], 0)
            return
        self.at(topic.decode(), meta["tseq"], 1)
        self.events.append(Event(meta["seq"], meta["tseq"], meta["id"], meta["type"], payload))

    def at(self, topic, tseq, step):
        known = self.seen.setdefault(topic, tseq)
        if tseq > known + step:
            self.gaps.append(time.monotonic())
        self.seen[topic] = max(known, tseq)

    def pause(self):
        self.standing.clear()
        self.reading.clear()
        wait_for("the listener to stand still", self.standing.is_set)

    def go_on(self):
        self.reading.set()

    def hears(self):
        wait_for("a beacon", lambda: self.heads >= 1, 20)
