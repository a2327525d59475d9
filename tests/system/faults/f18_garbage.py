"""F18. Bytes that are no ZMTP, frames that are no BUS/1, lengths that are lies, sessions that are made up: on every socket
of the broker, over TCP, and from a broker that talks nonsense to gateways and workers.

Holds: counted, dropped or told BYE, and nobody else is touched: the same processes, the same sessions, the same shop."""
import contextlib
import socket
import struct
import threading

import bus1
import msgpack
import zmq
from proxy import endpoint, free_base
from rack import running
from scenario import Stage, nothing_failed, wait_for

SEED = 118
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
READY = b"\x04\x26\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
ROUNDS = 60


class RawPeer:
    """A TCP connection that may or may not speak ZMTP. Gone: the other side has closed it."""

    def __init__(self, address, *, greet):
        family, where = endpoint(address)
        self.socket = socket.socket(family)
        self.socket.settimeout(20)
        self.socket.connect(where)
        if greet:
            self.say(GREETING + READY)

    def say(self, data):
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def wait_gone(self):
        with contextlib.suppress(ConnectionError):
            while self.socket.recv(65536):
                pass
        self.socket.close()


def not_zmtp(stage, address):
    """Peers that say random bytes, half a greeting, and lengths beyond what is allowed: each has to be dropped."""
    dice = stage.random
    lies = [struct.pack(">BQ", flag, size) for flag in (2, 3) for size in (1 << 40, (1 << 63) - 1, (1 << 64) - 1, 5 << 20)]
    peers = []
    for n in range(12):
        if n % 3 == 0:
            peer = RawPeer(address, greet=False)
            peer.say(dice.randbytes(dice.randrange(65, 4000)))
        elif n % 3 == 1:
            peer = RawPeer(address, greet=False)
            peer.say(GREETING[:dice.randrange(1, 64)])
            peer.socket.shutdown(socket.SHUT_WR)
        else:
            peer = RawPeer(address, greet=True)
            peer.say(dice.choice(lies) + b"x" * 100)
        peers.append(peer)
    return peers


def broken_frames(dice):
    """Messages without BUS/1 in them."""
    good = bus1.Head(bus1.REQUEST, request_id=dice.randbytes(16), corr=7, epoch=dice.getrandbits(32)).pack()
    kinds = [lambda: [dice.randbytes(dice.randrange(0, 200)) for _ in range(dice.randrange(1, 9))],
             lambda: [b"BUS2" + good[4:], b"order.create", b"\x80", b"\x80"],
             lambda: [good[:63], b"x"], lambda: [good + b"\0", b"x"], lambda: [b""],
             lambda: [good[:4] + bytes([dice.randrange(13, 256)]) + good[5:], b"x"],
             lambda: [bus1.Head(dice.choice((bus1.WELCOME, bus1.NACK, bus1.PONG)), epoch=1).pack(), b"x", b"y"],
             lambda: [good[:6] + b"\x09" + good[7:], b"order.create", b"\x80", b"\x80"]]
    return dice.choice(kinds)()


def not_bus1(stage, base, plane):
    before = stage.counter("zmart_broker_garbage_frames_total")
    with zmq.Context() as context, context.socket(zmq.DEALER) as sender:
        sender.linger = 5000
        sender.connect(bus1.plane_address(base, plane))
        for _ in range(ROUNDS):
            sender.send_multipart(broken_frames(stage.random))
        wait_for("all of it to be counted", lambda: stage.counter("zmart_broker_garbage_frames_total") >= before + ROUNDS, 20, 0.05)
    return ROUNDS


def bad_requests(stage, base):
    """Within a session: what cannot be routed is refused, each with one NACK."""
    statuses = set()
    with bus1.Client(base) as client:
        for route in ("order", "order.create.more#", "ORDER.create", "x" * 500, "", "order.create#" + "k" * 200, "no-such.thing",
                      "odrer.create", "mmi.nothing"):
            statuses.add(client.wait(client.send_request(route, raw=stage.random.randbytes(50), budget_ms=60000)).status)
        for body in (b"", b"\xdf\x0f\xff\xff\xff", b"\xc1", stage.random.randbytes(2000), b"\x91" * 5000, bytes(1 << 20)):
            answer = client.wait(client.send_request("order.create", raw=body))
            assert 400 <= answer.status < 500, answer
        answer = client.wait(client.send_request("order.create", raw=bytes((4 << 20) + 1)))
        assert answer.status == 413, answer
        assert client.ask("mmi.service", {"name": "order"}).status == 200, "the session is gone"
    assert statuses == {400, 404}, statuses


def forged_sessions(stage, base):
    """Frames with another's epoch are strays: answered with BYE, and the owner of the epoch notices nothing."""
    before = stage.counter("zmart_broker_stray_frames_total")
    victims = bus1.mmi(base, "workers")["workers"]
    told = 0
    for plane, kinds in ((bus1.WORKERS, (bus1.PING, bus1.BYE, bus1.DRAIN, bus1.CREDIT, bus1.REPLY)),
                         (bus1.CLIENTS, (bus1.PING, bus1.BYE, bus1.DRAIN, bus1.CANCEL, bus1.REQUEST))):
        with zmq.Context() as context, context.socket(zmq.DEALER) as forger:
            forger.linger = 0
            forger.connect(bus1.plane_address(base, plane))
            for victim in victims:
                for kind in kinds:
                    head = bus1.Head(kind, corr=1, epoch=victim["epoch"], request_id=stage.random.randbytes(16)).pack()
                    forger.send_multipart([head] + ([b"", b""] if kind == bus1.REPLY else
                                                    [b"order.create", b"\x80", b"\x80"] if kind == bus1.REQUEST else []))
                    if kind != bus1.BYE:
                        assert forger.poll(20000), "no answer to a stray"
                        assert bus1.Head.read(forger.recv_multipart()[0]).type == bus1.BYE
                    told += 1
    wait_for("strays to be counted", lambda: stage.counter("zmart_broker_stray_frames_total") >= before + told, 20, 0.05)
    return told


def forged_answers(stage, base):
    """A worker with a session of its own answers what others were given: late, and nobody hears of it."""
    before = stage.counter("zmart_broker_late_replies_total")
    with bus1.Peer(base, "worker", bus1.WORKERS, [("forger", 1)]) as peer:
        for _ in range(ROUNDS):
            peer.send(bus1.Head(bus1.REPLY, corr=stage.random.choice((1, 1 << 32, stage.random.getrandbits(64))), credit=1,
                                status=200, epoch=peer.epoch), b"\x80", b"\x80")
        wait_for("late answers to be counted",
                 lambda: stage.counter("zmart_broker_late_replies_total") >= before + ROUNDS, 20, 0.05)


def events_garbage(stage, base):
    """On the publish address what has not four frames is counted; long and many subscriptions do no harm."""
    before = stage.counter("zmart_broker_garbage_events_total")
    with zmq.Context() as context, context.socket(zmq.PUB) as publisher, context.socket(zmq.SUB) as subscriber:
        publisher.linger = subscriber.linger = 0
        publisher.connect(bus1.plane_address(base, bus1.PUBLISH))
        subscriber.connect(bus1.plane_address(base, bus1.EVENTS))
        for n in range(2000):
            subscriber.subscribe(stage.random.randbytes(n % 300))

        def counted():
            publisher.send_multipart([b"order.placed."] + [stage.random.randbytes(50)] * stage.random.choice((0, 1, 2, 5, 9)))
            return stage.counter("zmart_broker_garbage_events_total") > before
        wait_for("bad events to be counted", counted, 20, 0.01)


class MadBroker(threading.Thread):
    """Binds where a broker would, and answers everything with nonsense."""

    def __init__(self, base, dice):
        super().__init__(name="mad broker", daemon=True)
        self.base, self.dice, self.ending, self.answered = base, dice, threading.Event(), 0
        self.senders = set()

    def run(self):
        with zmq.Context() as context:
            sockets = [context.socket(zmq.ROUTER) for _ in range(2)]
            for s, plane in zip(sockets, (bus1.CLIENTS, bus1.WORKERS)):
                s.linger = 0
                s.bind(bus1.plane_address(self.base, plane))
            while not self.ending.is_set():
                for s in sockets:
                    if s.poll(20):
                        sender, *_ = s.recv_multipart()
                        self.senders.add((s, sender))
                        for _ in range(20):
                            s.send_multipart([sender, *self.nonsense()], zmq.NOBLOCK)
                            self.answered += 1
            for s in sockets:
                s.close()

    def nonsense(self):
        dice = self.dice
        head = bus1.Head(dice.randrange(1, 13), corr=dice.getrandbits(63), epoch=dice.getrandbits(32), budget_ms=dice.getrandbits(31),
                         status=dice.randrange(600)).pack()
        return dice.choice(([head], [head, b"\xdf\xff\xff\xff\xff"], [head, b"", dice.randbytes(30)], broken_frames(dice),
                            [head, msgpack.packb({"broker": "", "epoch": 0, "hb_ms": 1, "max_body": 0})],
                            [head, b"order.create", b"\x80", b"\x80", b"more", b"and more"]))


def broker_said(rack):
    return [(l["time"], l["event"], l["instance"]) for l in rack["broker-0"].log() if l["event"].startswith("worker.")]


def run(seed):
    mad_base = free_base()
    with Stage(seed, tcp=True, heartbeat_ms=400, extra_bus=[mad_base]) as stage:
        rack, base = stage.rack, stage.rack.bases[0]
        mad = MadBroker(mad_base, stage.random.__class__(seed))
        sessions = lambda: {w["instance"]: w["epoch"] for w in bus1.mmi(base, "workers")["workers"]}
        before, pids = sessions(), [p.pid for p in rack.processes_by_name.values()]
        with running(mad), stage.load(3) as people:
            peers = [peer for plane in bus1.PLANES for peer in not_zmtp(stage, bus1.plane_address(base, plane))]
            counts = {"not zmtp": len(peers),
                      "not bus/1": not_bus1(stage, base, bus1.CLIENTS) + not_bus1(stage, base, bus1.WORKERS),
                      "forged": forged_sessions(stage, base)}
            bad_requests(stage, base)
            forged_answers(stage, base)
            events_garbage(stage, base)
            wait_for("everybody to hear nonsense", lambda: len(mad.senders) >= 9 and mad.answered > 500, 30)
            for peer in peers:
                peer.wait_gone()
            stage.progress(people)
        nothing_failed(people)
        assert all(p.alive() for p in rack.processes_by_name.values()), "a process died"
        assert pids == [p.pid for p in rack.processes_by_name.values()]
        assert sessions().items() >= before.items(), f"somebody lost a session: {broker_said(rack)}"
        return f"{counts}, {mad.answered} from a mad broker; {stage.check()}"
