"""A proxy that misbehaves on command, between anything and a broker; over TCP or unix sockets, without privileges.

    with Proxy("tcp://127.0.0.1:7000", broker.base) as proxy:   # four sockets, as a broker's address has
        proxy.hold("up")        # bytes towards the broker wait here, as in a network that is cut for a while
        proxy.heal()            # and arrive

up is towards the target, down comes from it, both is both; planes narrow a command to some of the four sockets.
What a command changes holds for present and new connections."""
import collections
import contextlib
import os
import pathlib
import random
import selectors
import socket
import struct
import threading
import time

from bus1 import PLANES, plane_address

UP, DOWN = "up", "down"
CHUNK, HELD_MAX = 65536, 1 << 20


def free_base():
    """Four free ports in a row, below those that the kernel gives out."""
    for _ in range(200):
        port = random.SystemRandom().randrange(15000, 31000, 4)
        with contextlib.ExitStack() as stack:
            try:
                for n in range(4):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port + n))
            except OSError:
                continue
            return f"tcp://127.0.0.1:{port}"
    raise AssertionError("no four free ports in a row")


def endpoint(address):
    if address.startswith("ipc://"):
        return socket.AF_UNIX, address[len("ipc://"):]
    host, port = address[len("tcp://"):].rsplit(":", 1)
    return socket.AF_INET, (host, int(port))


class Rule:
    """What happens to bytes of one direction."""

    def __init__(self):
        self.pass_on, self.swallow, self.delay_s, self.rate = True, False, 0.0, None


class Way:
    """Bytes on their way in one direction of one connection."""

    def __init__(self, source, target, rule):
        self.source, self.target, self.rule = source, target, rule
        self.chunks = collections.deque()  # (due, bytes)
        self.held, self.allowance, self.filled = 0, 0.0, time.monotonic()
        self.ended = False
        self.holed = False  # bytes of it are gone for ever

    def due(self, now):
        """When something can be sent; None: nothing, or not before a command."""
        if not self.chunks or not self.rule.pass_on:
            return None
        if self.rule.rate:
            self.allowance = min(self.allowance + (now - self.filled) * self.rule.rate, self.rule.rate / 5 + 1)
            self.filled = now
            if self.allowance < 1:
                return now + 0.02
        return self.chunks[0][0]


class Link:
    def __init__(self, plane, rules, client, target):
        self.plane, self.client, self.target = plane, client, target
        self.ways = {UP: Way(client, target, rules[UP]), DOWN: Way(target, client, rules[DOWN])}


class Proxy(threading.Thread):
    def __init__(self, base, target, planes=PLANES):
        super().__init__(daemon=True)
        self.base, self.target = base, target
        self.rules = {plane: {UP: Rule(), DOWN: Rule()} for plane in planes}
        self.links, self.listeners, self.mute = [], {}, []
        self.answering, self.refusing = True, False
        self.counts = collections.Counter()
        self.commands, self.lock = collections.deque(), threading.Lock()
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_read, False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.wake_read, selectors.EVENT_READ)
        if base.startswith("ipc://"):
            pathlib.Path(base[len("ipc://"):]).mkdir(mode=0o700, exist_ok=True)
        for plane in planes:
            family, address = endpoint(plane_address(base, plane))
            listener = socket.socket(family)
            if family == socket.AF_INET:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(512)
            listener.setblocking(False)
            self.listeners[listener] = (plane, *endpoint(plane_address(target, plane)))
            self.selector.register(listener, selectors.EVENT_READ)
        self.ending = False
        self.start()

    # ---- commands, from any thread; each returns when it is in force ----
    def do(self, command):
        done = threading.Event()
        with self.lock:
            self.commands.append((command, done))
        os.write(self.wake_write, b"x")
        assert done.wait(10), "the proxy does not answer"

    def set(self, name, value, direction, planes):
        directions = (UP, DOWN) if direction == "both" else (direction,)
        self.do(lambda: [setattr(self.rules[p][d], name, value) for p in planes or self.rules for d in directions])

    def hold(self, direction="both", planes=None):
        """Bytes wait and arrive after heal: a cut network under TCP's retransmission."""
        self.set("pass_on", False, direction, planes)

    def blackhole(self, direction="both", planes=None):
        """Bytes vanish; connections that lost some are reset at heal, since their streams have holes."""
        self.set("swallow", True, direction, planes)

    def delay(self, milliseconds, direction="both", planes=None):
        self.set("delay_s", milliseconds / 1000, direction, planes)

    def throttle(self, bytes_per_s, direction="both", planes=None):
        self.set("rate", bytes_per_s, direction, planes)

    def silence(self):
        """New connections are accepted, and nobody ever says anything on them."""
        self.do(lambda: setattr(self, "answering", False))

    def refuse(self):
        """New connections are reset at once."""
        self.do(lambda: setattr(self, "refusing", True))

    def reset(self):
        """Resets every connection on both sides."""
        self.do(lambda: [self.drop(link) for link in list(self.links)])

    def half_open(self):
        """Clients are reset; the target's side stays open and hears nothing more: a peer that lost its power."""
        self.do(lambda: [self.leave_half(link) for link in list(self.links)])

    def power_off(self, planes=None):
        """Present connections stay open on both sides, and nothing goes through them any more; new ones work: a host that lost its power."""
        self.do(lambda: [self.leave_silent(link) for link in list(self.links) if not planes or link.plane in planes])

    def heal(self):
        if not self.ending:
            self.do(self.heal_now)

    def stop(self):
        if not self.ending:
            self.do(lambda: setattr(self, "ending", True))
            self.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # ---- the thread ----
    def run(self):
        while not self.ending:
            for key, _ in self.selector.select(self.wait_s()):
                if key.fileobj == self.wake_read:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self.wake_read, 4096)
                elif key.fileobj in self.listeners:
                    self.accept(key.fileobj)
                elif key.data:
                    self.read(*key.data)
            self.obey()
            for link in list(self.links):
                for direction in (UP, DOWN):
                    if link in self.links:
                        self.write(link, direction)
        for link in list(self.links):
            self.drop(link)
        for s in (*self.listeners, *self.mute):
            s.close()

    def obey(self):
        with self.lock:
            commands, self.commands = self.commands, collections.deque()
        for command, done in commands:
            command()
            done.set()

    def wait_s(self):
        now = time.monotonic()
        due = [d for link in self.links for way in link.ways.values() if (d := way.due(now)) is not None]
        return max(0.002, min(due) - now) if due else 1.0

    def accept(self, listener):
        try:
            client, _ = listener.accept()
        except OSError:
            return
        self.counts["connections"] += 1
        if self.refusing:
            reset_close(client)
            return
        if not self.answering:
            self.mute.append(client)
            return
        plane, family, address = self.listeners[listener]
        target = socket.socket(family)
        try:
            target.connect(address)
        except OSError:
            target.close()
            reset_close(client)
            self.counts["refused"] += 1
            return
        link = Link(plane, self.rules[plane], client, target)
        self.links.append(link)
        for s, direction in ((client, UP), (target, DOWN)):
            s.setblocking(False)
            self.selector.register(s, selectors.EVENT_READ, (link, direction))

    def read(self, link, direction):
        way = link.ways[direction]
        if link not in self.links or (way.held >= HELD_MAX and not way.rule.swallow):
            time.sleep(0.001)  # full: the sender's own buffers fill meanwhile
            return
        try:
            data = way.source.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if way.rule.pass_on and not way.rule.swallow:
                self.drop(link, orderly=True)
            else:  # nobody hears of an end through a cut network
                self.counts["ends_hidden"] += 1
                way.holed = way.ended = True
                self.selector.unregister(way.source)
            return
        if way.rule.swallow:
            self.counts["swallowed"] += len(data)
            way.holed = True
        else:
            way.chunks.append((time.monotonic() + way.rule.delay_s, data))
            way.held += len(data)

    def write(self, link, direction):
        way, now = link.ways[direction], time.monotonic()
        while (due := way.due(now)) is not None and due <= now:
            stamp, data = way.chunks[0]
            part = data[:int(way.allowance)] if way.rule.rate else data
            try:
                sent = way.target.send(part)
            except BlockingIOError:
                way.chunks[0] = (now + 0.01, data)
                return
            except OSError:
                self.drop(link)
                return
            self.counts[direction] += sent
            way.held -= sent
            way.allowance -= sent if way.rule.rate else 0
            if sent == len(data):
                way.chunks.popleft()
            else:
                way.chunks[0] = (stamp, data[sent:])

    def forget(self, link):
        self.links.remove(link)
        for s in (link.client, link.target):
            with contextlib.suppress(KeyError, ValueError):
                self.selector.unregister(s)

    def drop(self, link, orderly=False):
        self.forget(link)
        if not orderly:
            self.counts["resets"] += 1
        for direction, s in ((DOWN, link.client), (UP, link.target)):
            if orderly:
                with contextlib.suppress(OSError):
                    s.setblocking(True)
                    s.settimeout(1)
                    s.sendall(b"".join(data for _, data in link.ways[direction].chunks))
                s.close()
            else:
                reset_close(s)

    def leave_half(self, link):
        self.forget(link)
        reset_close(link.client)
        self.mute.append(link.target)
        self.counts["half_open"] += 1

    def leave_silent(self, link):
        self.forget(link)
        self.mute += [link.client, link.target]
        self.counts["powered_off"] += 1

    def heal_now(self):
        for rule in (rule for rules in self.rules.values() for rule in rules.values()):
            rule.pass_on, rule.swallow, rule.delay_s, rule.rate = True, False, 0.0, None
        self.answering, self.refusing = True, False
        for link in list(self.links):
            if any(way.holed for way in link.ways.values()):
                self.drop(link)
        for s in self.mute:
            reset_close(s)
        self.mute.clear()


def reset_close(s):
    """RST instead of FIN, where the family knows it."""
    with contextlib.suppress(OSError):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
