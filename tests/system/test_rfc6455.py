#!/usr/bin/python3
"""RFC 6455 over raw sockets, against the gateway's own loop as an echo server: the cases of Autobahn's sections 1 to 7, 9 and 10, and
handshakes. Any conformance client can be pointed at the same program: build/tests/tools/ws_echo PORT."""
import os
import pathlib
import random
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from shop import BUILD, SLOW

SIZE = 1024 * 1024
PATIENCE = 10 * SLOW
TEXT, BINARY, CLOSE, PING, PONG, FIN = 1, 2, 8, 9, 10, 0x80
SERVER = {}
MASK = b"\x37\xfa\x21\x3d"


def masked(payload, mask=MASK):
    if not payload:
        return b""
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")


def frame(opcode, payload=b"", fin=True, rsv=0, mask=True, length=None):
    head = bytes([(FIN if fin else 0) | rsv << 4 | opcode])
    size = len(payload) if length is None else length
    bit = 0x80 if mask else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", size)
    return head + (MASK + masked(payload) if mask else payload)


def closing(code, reason=b""):
    return frame(CLOSE, struct.pack(">H", code) + reason)


class Client:
    def __init__(self, head=None):
        self.socket = socket.create_connection(("127.0.0.1", SERVER["port"]), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.bytes = b""
        if head is not False:
            self.socket.sendall(head or good_head())
            self.status = self.head()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def head(self):
        while b"\r\n\r\n" not in self.bytes:
            more = self.socket.recv(65536)
            assert more, f"no answer to the handshake: {self.bytes!r}"
            self.bytes += more
        self.fields, self.bytes = self.bytes.split(b"\r\n\r\n", 1)
        return int(self.fields.split()[1])

    def send(self, data, piece=None):
        try:
            for at in range(0, len(data), piece or max(len(data), 1)):
                self.socket.sendall(data[at:at + (piece or len(data))])
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may hang up in the middle of what it refuses

    def take(self, size):
        while len(self.bytes) < size:
            more = self.socket.recv(1 << 20)
            if not more:
                raise EOFError(f"the connection ended with {self.bytes!r}")
            self.bytes += more
        taken, self.bytes = self.bytes[:size], self.bytes[size:]
        return taken

    def frame(self):
        first, second = self.take(2)
        assert not second & 0x80, "a server's frame is masked"
        size = second & 127
        if size == 126:
            size, = struct.unpack(">H", self.take(2))
            assert size > 125, "length not minimal"
        elif size == 127:
            size, = struct.unpack(">Q", self.take(8))
            assert size > 65535, "length not minimal"
        assert not first & 0x70, "RSV bits"
        return first & 15, bool(first & FIN), self.take(size)

    def message(self):
        """The next data message; what lies between its frames is a failure."""
        opcode, fin, payload = self.frame()
        while not fin:
            more, fin, rest = self.frame()
            assert more == 0, more
            payload += rest
        return opcode, payload

    def ended(self, code):
        """A close frame with one of these codes, then the end of the connection, and nothing else."""
        codes = code if isinstance(code, tuple) else (code,)
        opcode, fin, payload = self.frame()
        assert opcode == CLOSE and fin, (opcode, payload[:100])
        found = struct.unpack(">H", payload[:2])[0] if payload else 1005
        assert found in codes, f"closed with {found} instead of {codes}: {payload[2:]!r}"
        payload[2:].decode("utf-8")
        self.end()

    def end(self):
        self.socket.settimeout(PATIENCE)
        try:
            rest = self.socket.recv(65536)
        except ConnectionResetError:
            rest = b""
        assert rest == b"" and self.bytes == b"", f"{self.bytes + rest!r} after the close"

    def closes(self, code=1000):
        self.send(closing(code))
        self.ended(code)


def good_head(more="", target="/ws", key="dGhlIHNhbXBsZSBub25jZQ==", version="13", line=None):
    return ((line or f"GET {target} HTTP/1.1") + "\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: {version}\r\n{more}\r\n").encode("latin-1")


CASES = {}


def case(name):
    def keep(function):
        assert name not in CASES
        CASES[name] = function
        return function
    return keep


def echoes(name, opcode, payload, piece=None, frames=None):
    @case(name)
    def _():
        with Client() as client:
            client.send(frames if frames is not None else frame(opcode, payload), piece)
            got = client.message()
            assert got == (opcode, payload), (got[0], len(got[1]), len(payload))
            client.closes()


def fails(name, data, code, piece=None, before=()):
    """The frames of before are answered with those payloads, then the connection is failed with the code."""
    @case(name)
    def _():
        with Client() as client:
            client.send(data, piece)
            for opcode, payload in before:
                assert client.message() == (opcode, payload)
            client.ended(code)


def split(opcode, payload, size):
    parts = [payload[i:i + size] for i in range(0, len(payload), size)] or [b""]
    return b"".join(frame(opcode if i == 0 else 0, p, fin=i == len(parts) - 1) for i, p in enumerate(parts))


# ---- 1: framing ----
for number, size in enumerate((0, 125, 126, 127, 128, 65535, 65536), 1):
    echoes(f"1.1.{number} text of {size}", TEXT, b"*" * size)
    echoes(f"1.2.{number} binary of {size}", BINARY, b"\xfe" * size)
echoes("1.1.8 text of 65536 in pieces of 997", TEXT, b"*" * 65536, 997)
echoes("1.2.8 binary of 65536 in pieces of 997", BINARY, b"\xfe" * 65536, 997)


# ---- 2: pings and pongs ----
def ping(name, payload, piece=None):
    @case(name)
    def _():
        with Client() as client:
            client.send(frame(PING, payload), piece)
            assert client.frame() == (PONG, True, payload)
            client.closes()


ping("2.1 ping without payload", b"")
ping("2.2 ping with text", b"Hello, world!")
ping("2.3 ping with binary", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")
ping("2.4 ping of 125", b"\xfe" * 125)
fails("2.5 ping of 126", frame(PING, b"\xfe" * 126), 1002)
ping("2.6 ping of 125, a byte at a time", b"\xfe" * 125, 1)
for number, payload in ((7, b""), (8, b"unasked for")):
    @case(f"2.{number} a pong nobody asked for")
    def _(payload=payload):
        with Client() as client:
            client.send(frame(PONG, payload))
            client.closes()


@case("2.9 unasked pong, then a ping")
def _():
    with Client() as client:
        client.send(frame(PONG, b"unasked") + frame(PING, b"ping"))
        assert client.frame() == (PONG, True, b"ping")
        client.closes()


for number, piece in ((10, None), (11, 1)):
    @case(f"2.{number} ten pings")
    def _(piece=piece):
        with Client() as client:
            client.send(b"".join(frame(PING, b"payload-%d" % i) for i in range(10)), piece)
            for i in range(10):
                assert client.frame() == (PONG, True, b"payload-%d" % i)
            client.closes()

# ---- 3: reserved bits ----
HELLO = b"Hello, world!"
for number, rsv in enumerate(range(1, 8), 1):
    fails(f"3.{number} RSV {rsv}", frame(TEXT, HELLO) + frame(TEXT, HELLO, rsv=rsv), 1002, before=[(TEXT, HELLO)])
    fails(f"3.{number} RSV {rsv}, a byte at a time", frame(BINARY, HELLO, rsv=rsv) + frame(PING), 1002, 1)
    fails(f"3.{number} RSV {rsv} on a ping", frame(PING, HELLO, rsv=rsv), 1002)
    fails(f"3.{number} RSV {rsv} on a close", frame(CLOSE, rsv=rsv), 1002)

# ---- 4: reserved opcodes ----
for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    kind = 1 if opcode < 8 else 2
    fails(f"4.{kind} opcode {opcode}", frame(opcode), 1002)
    fails(f"4.{kind} opcode {opcode} with payload", frame(opcode, b"reserved"), 1002)
    fails(f"4.{kind} opcode {opcode} after a message", frame(TEXT, HELLO) + frame(opcode, b"x") + frame(PING), 1002, before=[(TEXT, HELLO)])
    fails(f"4.{kind} opcode {opcode} a byte at a time", frame(opcode, b"reserved") + frame(PING), 1002, 1)

# ---- 5: fragments ----
fails("5.1 a ping in two fragments", frame(PING, b"frag", fin=False) + frame(0, b"ment"), 1002)
fails("5.2 a pong in two fragments", frame(PONG, b"frag", fin=False) + frame(0, b"ment"), 1002)
TWO = frame(TEXT, b"fragment1", fin=False) + frame(0, b"fragment2")
for number, piece in ((3, None), (4, 1)):
    echoes(f"5.{number} text in two fragments, pieces {piece}", TEXT, b"fragment1fragment2", piece, TWO)
for number, piece in ((6, None), (7, 1)):
    @case(f"5.{number} a ping between fragments, pieces {piece}")
    def _(piece=piece):
        with Client() as client:
            client.send(frame(TEXT, b"fragment1", fin=False) + frame(PING, b"between") + frame(0, b"fragment2"), piece)
            assert client.frame() == (PONG, True, b"between")
            assert client.message() == (TEXT, b"fragment1fragment2")
            client.closes()
for number, fin in ((9, True), (10, True), (11, False), (12, True)):
    fails(f"5.{number} a continuation of nothing", frame(0, b"non-continuation", fin=fin) + frame(TEXT, HELLO), 1002, 1 if number in (11, 10) else None)
fails("5.13 a continuation after a whole message", frame(TEXT, HELLO) + frame(0, b"more"), 1002, before=[(TEXT, HELLO)])
fails("5.14 a continuation without end", frame(0, b"more", fin=False) * 2, 1002)
fails("5.15 after a fragmented message", TWO + frame(0, b"f3", fin=False) + frame(TEXT, b"f4"), 1002, before=[(TEXT, b"fragment1fragment2")])
for number in (16, 17):
    fails(f"5.{number} continuations of nothing, and a text each", (frame(0, b"f1", fin=number == 17) + frame(TEXT, b"f2", fin=False) + frame(0, b"f3")) * 2, 1002)
fails("5.18 a text within a text", frame(TEXT, b"fragment1", fin=False) + frame(TEXT, b"fragment2"), 1002)
for number, piece in ((19, None), (20, 1)):
    @case(f"5.{number} five fragments and pings, pieces {piece}")
    def _(piece=piece):
        with Client() as client:
            client.send(frame(TEXT, b"fragment1", fin=False) + frame(0, b"fragment2", fin=False) + frame(PING, b"pong1"), piece)
            assert client.frame() == (PONG, True, b"pong1")
            time.sleep(0.05)
            client.send(frame(0, b"fragment3", fin=False) + frame(0, b"fragment4", fin=False) + frame(PING, b"pong2") + frame(0, b"fragment5"), piece)
            assert client.frame() == (PONG, True, b"pong2")
            assert client.message() == (TEXT, b"fragment1fragment2fragment3fragment4fragment5")
            client.closes()
echoes("5.21 empty fragments", TEXT, b"", frames=frame(TEXT, fin=False) + frame(0, fin=False) + frame(0))
echoes("5.22 fragments, one of them empty", BINARY, b"xy", frames=frame(BINARY, b"x", fin=False) + frame(0, fin=False) + frame(0, b"y"))

# ---- 6: UTF-8 ----
GREEK = "κόσμε".encode()
MIXED = "Hello-µ@ßöäüàá-UTF-8!!".encode()
echoes("6.1.1 an empty text", TEXT, b"")
echoes("6.1.2 three empty fragments", TEXT, b"", frames=split(TEXT, b"", 1))
echoes("6.1.3 one fragment with text between empty ones", TEXT, HELLO, frames=frame(TEXT, fin=False) + frame(0, HELLO, fin=False) + frame(0))
echoes("6.2.1 valid text", TEXT, MIXED)
echoes("6.2.2 in two fragments", TEXT, MIXED, frames=split(TEXT, MIXED, 14))
echoes("6.2.3 a byte a fragment", TEXT, MIXED, frames=split(TEXT, MIXED, 1))
echoes("6.2.4 greek, a byte a fragment", TEXT, GREEK, frames=split(TEXT, GREEK, 1))
echoes("6.2.5 a byte at a time on the wire", TEXT, MIXED, 1)
SURROGATE = GREEK + b"\xed\xa0\x80" + b"edited"
fails("6.3.1 invalid text", frame(TEXT, SURROGATE), 1007)
fails("6.3.2 invalid text, a byte a fragment", split(TEXT, SURROGATE, 1), 1007)


def at_once(name, *pieces):
    """The text becomes invalid with the last piece: the end comes although the message never does."""
    @case(name)
    def _():
        with Client() as client:
            for data in pieces:
                client.send(data)
                time.sleep(0.02)
            client.ended(1007)


TOO_HIGH = GREEK + b"\xf4\x90\x80\x80"
at_once("6.4.1 invalid in the second fragment", frame(TEXT, GREEK, fin=False), frame(0, b"\xf4\x90\x80\x80", fin=False))
at_once("6.4.2 invalid in the middle of a sequence", frame(TEXT, GREEK + b"\xf4", fin=False), frame(0, b"\x90", fin=False))
WHOLE = frame(TEXT, TOO_HIGH + b"edited")
at_once("6.4.3 invalid in the middle of a frame", WHOLE[:len(WHOLE) - 6])
at_once("6.4.4 invalid with one byte of a frame", WHOLE[:6 + len(GREEK) + 1], WHOLE[6 + len(GREEK) + 1:6 + len(GREEK) + 2])

GOOD = {
    "6.5 some": [GREEK], "6.6 cut right": ["κ", "κό", "κόσ", "κόσμ"],
    "6.7 first of each length": ["\0", "\x80", "ࠀ", "\U00010000"],
    "6.9 last of each length": ["\x7f", "\u07ff", "\uffff", "\U0010ffff"],
    "6.11 borders": ["\ud7ff", "\ue000", "\ufffd", "\U0010ffff"],
    "6.22 non-characters": [chr(plane << 16 | low) for plane in range(17) for low in (0xfffe, 0xffff)],
    "6.23 the replacement": ["\ufffd"],
}
for name, texts in GOOD.items():
    for number, text in enumerate(texts, 1):
        data = text if isinstance(text, bytes) else text.encode()
        echoes(f"{name}.{number}", TEXT, data)
        echoes(f"{name}.{number}, a byte a fragment", TEXT, data, frames=split(TEXT, data, 1))
BAD = {
    "6.6 cut wrong": [GREEK[:n] for n in range(1, len(GREEK)) if not GREEK[:n].decode("utf-8", "ignore").encode() == GREEK[:n]],
    "6.8 first of five and six bytes": [b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"],
    "6.10 last of four, five and six bytes": [b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"],
    "6.11 beyond the end": [b"\xf4\x90\x80\x80"],
    "6.12 continuations": [b"\x80", b"\xbf", b"\x80\xbf", b"\x80\xbf\x80", b"\x80\xbf\x80\xbf", b"\x80\xbf\x80\xbf\x80", b"\x80\xbf\x80\xbf\x80\xbf",
                           bytes(range(0x80, 0xc0))],
    "6.13 lonely starts": [bytes(b for first in range(low, high) for b in (first, 0x20))
                           for low, high in ((0xc0, 0xe0), (0xe0, 0xf0), (0xf0, 0xf8), (0xf8, 0xfc), (0xfc, 0xfe))],
    "6.14 the last byte missing": [b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80", b"\xdf", b"\xef\xbf",
                                   b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf"],
    "6.15 all of these": [b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf\xfb\xbf\xbf\xbf\xfd\xbf\xbf\xbf\xbf"],
    "6.16 impossible bytes": [b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"],
    "6.17 overlong slashes": [b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf"],
    "6.18 longest overlong": [b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf"],
    "6.19 overlong zeroes": [b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80"],
    "6.20 single surrogates": [b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf", b"\xed\xb0\x80", b"\xed\xbe\x80", b"\xed\xbf\xbf"],
    "6.21 pairs of surrogates": [b"\xed\xa0\x80\xed\xb0\x80", b"\xed\xa0\x80\xed\xbf\xbf", b"\xed\xad\xbf\xed\xb0\x80", b"\xed\xad\xbf\xed\xbf\xbf",
                                 b"\xed\xae\x80\xed\xb0\x80", b"\xed\xae\x80\xed\xbf\xbf", b"\xed\xaf\xbf\xed\xb0\x80", b"\xed\xaf\xbf\xed\xbf\xbf"],
}
for name, texts in BAD.items():
    for number, data in enumerate(texts, 1):
        fails(f"{name}.{number}", frame(TEXT, data), 1007)
        fails(f"{name}.{number}, a byte a fragment", split(TEXT, data, 1), 1007)

# ---- 7: closing ----
@case("7.1.1 a message, then a close")
def _():
    with Client() as client:
        client.send(frame(TEXT, HELLO))
        assert client.message() == (TEXT, HELLO)
        client.closes()


@case("7.1.2 two closes")
def _():
    with Client() as client:
        client.send(closing(1000) + closing(1001))
        client.ended(1000)


for number, more in ((3, frame(PING, b"late")), (4, frame(TEXT, b"late")), (5, frame(0, b"fragment2"))):
    @case(f"7.1.{number} something after the close")
    def _(number=number, more=more):
        with Client() as client:
            client.send((frame(TEXT, b"fragment1", fin=False) if number == 5 else b"") + closing(1000) + more)
            client.ended(1000)


@case("7.1.6 a long message, then a close and a ping")
def _():
    with Client() as client:
        client.send(frame(TEXT, b"BAsd7&jh23" * 26000) + frame(TEXT, HELLO) + closing(1000) + frame(PING))
        assert client.message()[1] == b"BAsd7&jh23" * 26000
        assert client.message() == (TEXT, HELLO)
        client.ended(1000)


@case("7.3.1 a close without payload")
def _():
    with Client() as client:
        client.send(frame(CLOSE))
        client.ended(1005)


fails("7.3.2 a close of one byte", frame(CLOSE, b"a"), 1002)
for number, reason in ((3, b""), (4, b"Hello World!"), (5, b"*" * 123)):
    @case(f"7.3.{number} a close with a reason of {len(reason)}")
    def _(reason=reason):
        with Client() as client:
            client.send(closing(1000, reason))
            client.ended(1000)
fails("7.3.6 a close of 126", closing(1000, b"*" * 124), 1002)
fails("7.5.1 a reason that is not UTF-8", closing(1000, SURROGATE), 1007)
for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
    @case(f"7.7 close code {code}")
    def _(code=code):
        with Client() as client:
            client.closes(code)
for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999):
    fails(f"7.9 close code {code}", closing(code), 1002)
for code in (5000, 65535):
    fails(f"7.13 close code {code}", closing(code), 1002)

# ---- 9: sizes within the limits, and beyond ----
for number, size in enumerate((64 << 10, 256 << 10, SIZE), 1):
    data = b"\x00\xff\xfe*" * (size // 4)
    echoes(f"9.1.{number} text of {size}", TEXT, b"*" * size)
    echoes(f"9.2.{number} binary of {size}", BINARY, data)
for number, size in enumerate((64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, SIZE), 1):
    echoes(f"9.3.{number} text in fragments of {size}", TEXT, b"*" * SIZE, frames=split(TEXT, b"*" * SIZE, size))
    echoes(f"9.4.{number} binary in fragments of {size}", BINARY, b"\xfe" * SIZE, frames=split(BINARY, b"\xfe" * SIZE, size))
for number, piece in enumerate((64, 128, 256, 512, 1024, 2048), 1):
    echoes(f"9.5.{number} text in pieces of {piece}", TEXT, b"*" * (256 << 10), piece)
    echoes(f"9.6.{number} binary in pieces of {piece}", BINARY, b"\xfe" * (256 << 10), piece)
for number, size in enumerate((0, 16, 64, 256, 1024, 4096), 1):
    for kind, opcode in ((7, TEXT), (8, BINARY)):
        @case(f"9.{kind}.{number} 300 messages of {size}")
        def _(size=size, opcode=opcode):
            with Client() as client:
                for _ in range(300):
                    client.send(frame(opcode, b"*" * size))
                    assert client.message() == (opcode, b"*" * size)
                client.closes()
fails("9.9.1 a byte more than allowed", frame(BINARY, b"x", length=SIZE + 1), 1009)
fails("9.9.2 the same in fragments", frame(BINARY, b"x" * SIZE, fin=False) + frame(0, b"y"), 1009)
fails("9.9.3 two gigabytes announced", frame(BINARY, b"x", length=1 << 31), 1009)
fails("9.9.4 a length with its highest bit", bytes([FIN | BINARY, 0xff]) + b"\x80" + b"\0" * 7 + MASK, (1002, 1009))
fails("9.9.5 a length that is not minimal (16 bits)", bytes([FIN | TEXT, 0xfe]) + struct.pack(">H", 5) + MASK + masked(b"hello"), 1002)
fails("9.9.6 a length that is not minimal (64 bits)", bytes([FIN | TEXT, 0xff]) + struct.pack(">Q", 5) + MASK + masked(b"hello"), 1002)
fails("9.9.7 not masked", frame(TEXT, HELLO, mask=False), 1002)
fails("9.9.8 a ping that is not masked", frame(PING, HELLO, mask=False), 1002)

# ---- 10: automatic fragmentation ----
echoes("10.1.1 65536 in fragments of 1300", TEXT, b"*" * 65536, frames=split(TEXT, b"*" * 65536, 1300))


# ---- anything ----
@case("11.1 a thousand random frames end in order or in a close")
def _():
    rolled = random.Random(6455)
    for turn in range(1000):
        with Client() as client:
            data = bytes(rolled.randrange(256) for _ in range(rolled.randrange(1, 60)))
            client.send(frame(rolled.randrange(16), data, rolled.random() < 0.7, rolled.choice((0, 0, 0, 1, 4))) + data)
            client.socket.shutdown(socket.SHUT_WR)
            try:
                while True:
                    client.frame()
            except (EOFError, ConnectionResetError):
                pass
    with Client() as client:
        client.send(frame(TEXT, HELLO))
        assert client.message() == (TEXT, HELLO)


# ---- handshakes ----
def handshake(name, head, status, *fields):
    @case(name)
    def _():
        with Client(head) as client:
            assert client.status == status, client.fields
            for field in fields:
                assert field in client.fields, client.fields


handshake("12.1 the sample of RFC 6455", good_head(), 101, b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
handshake("12.2 spellings and lists", b"GET /ws?x=1 HTTP/1.1\r\nhost:shop\r\nUPGRADE: WebSocket\r\nconnection: keep-alive,\tupgrade\r\n"
          b"sec-websocket-key:  dGhlIHNhbXBsZSBub25jZQ==  \r\nsec-websocket-version: 13\r\n\r\n", 101)
handshake("12.2 as many fields as a head takes", good_head("".join(f"x{i}: y\r\n" for i in range(59))), 101)
handshake("12.3 offers are passed over", good_head("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"), 101)
for number, (head, status) in enumerate((
        (good_head(line="POST /ws HTTP/1.1"), 405), (good_head(target="/other"), 404), (good_head(line="GET /ws HTTP/1.0"), 505),
        (good_head(line="GET /ws HTTP/2.0"), 505), (good_head(line="GET /ws"), 400), (good_head(line="GET  /ws HTTP/1.1"), 400),
        (good_head(line="GET /ws HTTP/1.1 "), 400), (good_head(target="http://shop/ws"), 400), (good_head(target="/w\xe9s"), 400),
        (good_head(key="dGhlIHNhbXBsZSBub25jZQ="), 400), (good_head(key="dGhlIHNhbXBsZSBub25jZQ***=="), 400), (good_head(key=""), 400),
        (good_head(version="8"), 426), (good_head().replace(b"Upgrade: websocket\r\n", b""), 426),
        (good_head().replace(b"Connection: Upgrade\r\n", b"Connection: close\r\n"), 426), (good_head().replace(b"Host: shop\r\n", b""), 400),
        (good_head("Host: other\r\n"), 400), (good_head("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400),
        (good_head("Content-Length: 0\r\n"), 400), (good_head("Transfer-Encoding: chunked\r\n"), 400), (good_head("folded: a\r\n b\r\n"), 400),
        (good_head("no colon\r\n"), 400), (good_head("space : x\r\n"), 400), (good_head(": x\r\n"), 400), (good_head("x: a\nb\r\n"), 400),
        (good_head("x: a\0b\r\n"), 400), (good_head("x: \x7f\r\n"), 400), (good_head().replace(b"\r\nHost", b"\nHost"), 400),
        (good_head("".join(f"x{i}: y\r\n" for i in range(60))), 431), (good_head("x: " + "y" * 16384 + "\r\n"), 431),
        (good_head(target="/ws?" + "y" * 8192), 414), (b"\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400)), 1):
    handshake(f"12.4.{number} {status}", head, status, b"application/problem+json")


@case("12.4 heads at their limits, and one beyond")
def heads_at_their_limits():
    WS_HEAD_FIELDS_MAX, WS_TARGET_MAX, WS_HEAD_MAX = 64, 8 * 1024, 16 * 1024
    own = good_head().count(b"\r\n") - 2
    for over in (0, 1):
        size = WS_HEAD_MAX - len(good_head("x: \r\n")) + over
        for head, status in ((good_head("".join(f"x{i}: y\r\n" for i in range(WS_HEAD_FIELDS_MAX - own + over))), 431),
                             (good_head(target="/ws?" + "y" * (WS_TARGET_MAX - 4 + over)), 414), (good_head("x: " + "y" * size + "\r\n"), 431)):
            with Client(head) as client:
                assert client.status == (status if over else 101), (len(head), over, client.fields)


@case("12.5 the head a byte at a time")
def _():
    with Client(False) as client:
        client.send(good_head(), 1)
        assert client.head() == 101
        client.closes()


@case("12.6 frames in the same packet")
def _():
    with Client(good_head() + frame(TEXT, HELLO) + frame(PING, b"x")) as client:
        assert client.status == 101
        assert client.message() == (TEXT, HELLO)
        assert client.frame() == (PONG, True, b"x")
        client.closes()


@case("12.7 half a frame in the same packet")
def _():
    whole = frame(TEXT, HELLO)
    with Client(good_head() + whole[:9]) as client:
        assert client.status == 101
        client.send(whole[9:])
        assert client.message() == (TEXT, HELLO)
        client.closes()


@case("12.8 who hangs up in a head takes nothing along")
def _():
    for _ in range(50):
        with Client(False) as client:
            client.send(good_head()[:40])
    with Client() as client:
        client.closes()


def main():
    chosen = [name for name in CASES if not sys.argv[1:] or any(name.startswith(word) for word in sys.argv[1:])]
    server = subprocess.Popen([str(BUILD / "tests" / "tools" / "ws_echo"), os.environ.get("WS_ECHO_PORT", "0"), str(SIZE)],
                              stdout=subprocess.PIPE, text=True)
    failed = []
    try:
        SERVER["port"] = int(server.stdout.readline().split()[-1])
        for name in chosen:
            try:
                CASES[name]()
            except Exception as error:  # a case may fail in any way
                failed.append(name)
                print(f"FAIL {name}: {type(error).__name__} {str(error)[:300]}", flush=True)
    finally:
        server.terminate()
        status = server.wait(30)
    print(f"{len(chosen)} cases, {len(failed)} failed; the server ended with {status}")
    sys.exit(1 if failed or status != 0 or not chosen else 0)


main()
