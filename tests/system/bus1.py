"""BUS/1 in Python, as proto/README.md has it: a client that asks, a worker that serves, and frames that are wrong."""
import dataclasses
import os
import struct
import threading
import time

import msgpack
import zmq

from shop import SLOW

HELLO, WELCOME, REQUEST, PARTIAL, REPLY, NACK, CREDIT, PING, PONG, DRAIN, BYE, CANCEL = range(1, 13)
REDELIVERED, REPEATABLE, NO_REPLY, LAST, SERVICE, SECRET = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
CLIENTS, WORKERS, PUBLISH, EVENTS = "clients", "workers", "publish", "events"
PLANES = (CLIENTS, WORKERS, PUBLISH, EVENTS)
LAYOUT = struct.Struct(">4sBBBB16sQqIHHII8x")
assert LAYOUT.size == 64


def plane_address(base, plane):
    """Where a broker's socket is: ipc://DIR/NAME, or the plane's port of tcp://HOST:PORT."""
    if base.startswith("ipc://"):
        return f"{base}/{plane}"
    host, port = base[len("tcp://"):].rsplit(":", 1)
    return f"tcp://{host}:{int(port) + PLANES.index(plane)}"


def boot_us():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


@dataclasses.dataclass
class Head:
    type: int
    flags: int = 0
    priority: int = 1
    attempt: int = 1
    request_id: bytes = bytes(16)
    corr: int = 0
    t_send_us: int = 0
    budget_ms: int = 0
    status: int = 0
    credit: int = 0
    epoch: int = 0
    queue_us: int = 0

    def pack(self, magic=b"BUS1"):
        return LAYOUT.pack(magic, self.type, self.flags, self.priority, self.attempt, self.request_id, self.corr,
                           self.t_send_us or boot_us(), self.budget_ms, self.status, self.credit, self.epoch, self.queue_us)

    @staticmethod
    def read(frame):
        magic, *fields = LAYOUT.unpack(frame)
        assert magic == b"BUS1", magic
        return Head(*fields)


@dataclasses.dataclass
class Answer:
    head: Head
    body: dict

    @property
    def status(self):
        return self.head.status


def unpacked(frame):
    return msgpack.unpackb(frame, strict_map_key=False) if frame else {}


class Peer:
    """One session with one broker, alive as long as somebody is in receive. A socket belongs to the thread that made the peer."""

    def __init__(self, base, role, plane, services=(), heartbeat_ms=1000, instance=None, high_water=10000):
        self.context = zmq.Context()
        self.context.linger = 0
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.set(zmq.RCVHWM, high_water)
        self.socket.set(zmq.IMMEDIATE, 1)
        self.role, self.services = role, [{"name": n, "credit": c} for n, c in services]
        self.instance = instance or f"test-{role}-{os.getpid()}-{id(self) & 0xffff:x}"
        self.heartbeat_ms, self.epoch, self.draining = heartbeat_ms, 0, False
        self.said = self.heard = 0.0
        self.socket.connect(plane_address(base, plane))
        self.greet()

    def close(self):
        self.context.destroy(linger=200)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, head, *parts):
        self.said = time.monotonic()
        self.socket.send_multipart([head.pack(), *parts])

    def receive(self, seconds):
        """Head and parts of the next frame, or None. Keeps the session alive while it waits."""
        end = time.monotonic() + seconds
        while True:
            if self.epoch and time.monotonic() - self.said > self.heartbeat_ms / 1000:
                self.send(Head(PING, epoch=self.epoch))
            left = min(end - time.monotonic(), self.heartbeat_ms / 2000)
            if self.socket.poll(max(left, 0) * 1000):
                head, *parts = self.socket.recv_multipart()
                self.heard = time.monotonic()
                return Head.read(head), parts
            if time.monotonic() >= end:
                return None

    def greet(self, seconds=20):
        hello = {"role": self.role, "instance": self.instance, "version": "test", "services": self.services,
                 "hb_ms": self.heartbeat_ms}
        corr = int.from_bytes(os.urandom(7), "big") | 1
        if not self.socket.poll(seconds * SLOW * 1000, zmq.POLLOUT):
            raise AssertionError(f"{self.instance}: no connection")
        self.send(Head(HELLO, corr=corr), msgpack.packb(hello))
        got = self.receive(seconds * SLOW)
        while got and got[0].type not in (WELCOME, NACK):
            got = self.receive(seconds * SLOW)
        assert got and got[0].type == WELCOME, f"{self.instance}: {got and unpacked(got[1][-1])}"
        self.epoch = got[0].epoch
        self.heartbeat_ms = unpacked(got[1][0])["hb_ms"]  # the smaller of both wishes


class Client(Peer):
    """Asks a broker. For one thread."""

    def __init__(self, base, role="operator", **more):
        super().__init__(base, role, CLIENTS, **more)
        self.next_corr = 1
        self.early = {}

    def send_request(self, route, body=None, request_id=None, budget_ms=5000, flags=REPEATABLE, priority=1, raw=None, meta=None):
        corr = self.next_corr
        self.next_corr += 1
        head = Head(REQUEST, flags, priority, 1, request_id or os.urandom(16), corr, 0, budget_ms, epoch=self.epoch)
        self.send(head, route.encode(), msgpack.packb(meta or {}), raw if raw is not None else msgpack.packb(body or {}))
        return corr

    def wait(self, corr=None, seconds=20):
        """The answer to this request (to any if corr is None)."""
        if corr is None and self.early:
            return self.early.pop(next(iter(self.early)))
        if corr in self.early:
            return self.early.pop(corr)
        end = time.monotonic() + seconds * SLOW
        while (left := end - time.monotonic()) > 0:
            got = self.receive(left)
            if not got:
                break
            head, parts = got
            if head.type == BYE and head.epoch == self.epoch:
                raise ConnectionError("the broker ended the session")
            if head.type in (REPLY, NACK):
                answer = Answer(head, unpacked(parts[-1]))
                if corr in (None, head.corr):
                    return answer
                self.early[head.corr] = answer
        raise AssertionError(f"no answer to {corr} in time")

    def ask(self, route, body=None, **more):
        return self.wait(self.send_request(route, body, **more))


def mmi(base, operation, body=None):
    """Asks a broker about itself, once."""
    with Client(base, heartbeat_ms=5000) as client:
        answer = client.ask(f"mmi.{operation}", body)
        assert answer.status in (0, 200), (operation, answer)
        return answer.body


def broker_metrics(base):
    """The broker's own series: {'name' or 'name{labels}': value}."""
    own = mmi(base, "metrics")["processes"][0]
    return {s["name"] + (f"{{{s['labels']}}}" if s["labels"] else ""): s["value"] for s in own["series"]}


def books(base):
    """A broker's counters without the question itself, which was accepted and is being answered."""
    queues = mmi(base, "queues")
    return {"accepted": queues["accepted"] - 1, **{k: queues[k] for k in ("replied", "nacked", "in_flight")},
            "queues": {q["service"]: q for q in queues["queues"]}}


class Worker(threading.Thread):
    """Serves in a thread of its own; answer(head, body) gives (status, body), or None for no answer."""

    def __init__(self, base, services, answer, capacity=None, heartbeat_ms=500):
        super().__init__(daemon=True)
        self.base, self.services, self.answer = base, services, answer
        self.work_s, self.heartbeat_ms = capacity, heartbeat_ms
        self.ending, self.ready = threading.Event(), threading.Event()
        self.seen = []

    def run(self):
        with Peer(self.base, "worker", WORKERS, self.services, self.heartbeat_ms) as peer:
            self.ready.set()
            due = []
            while not self.ending.is_set():
                got = peer.receive(0.01)
                if got and got[0].type == REQUEST:
                    self.seen.append(got[0])
                    due.append((time.monotonic() + (self.work_s or 0), *got))
                while due and due[0][0] <= time.monotonic():
                    self.reply(peer, *due.pop(0)[1:])
            peer.send(Head(BYE, epoch=peer.epoch))

    def reply(self, peer, head, parts):
        answer = self.answer(head, parts[-1])
        if answer is not None:
            status, body = answer
            peer.send(Head(REPLY, LAST, 0, head.attempt, head.request_id, head.corr, 0, 0, status, 1, peer.epoch),
                      b"\x80", msgpack.packb(body))

    def __enter__(self):
        self.start()
        assert self.ready.wait(20 * SLOW), "the worker found no broker"
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join(10)
