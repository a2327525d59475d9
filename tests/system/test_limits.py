#!/usr/bin/python3
"""Every limit of the gateway, made small by its flag and reached, where no program of tests/gateway reaches it by itself (token-cache:
test_token_cache; silence-ms: test_auth; long-polls: test_stream; ws-user-sockets, ws-messages, ws-message-size: test_sockets)."""
import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from shop import SLOW, Shop, problem, run, wait_for
from sockets import Refused, Socket

PATIENCE = 20 * SLOW
NOT_FOR_NOTHING = b"GET /livez HTTP/1.1\r\nHost: shop\r\n\r\n"


def connected(shop):
    return contextlib.closing(socket.create_connection(("127.0.0.1", shop.port), PATIENCE))


def ended(connection):
    """True when the other side has closed, False when something came."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def answered(connection):
    connection.sendall(NOT_FOR_NOTHING)
    return connection.recv(4096).startswith(b"HTTP/1.1 200")


def metric(shop, name):
    lines = shop.call("GET", "/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if re.match(name + r"[ {]", line))


def workers_and_the_queue_before_them():
    """Idle connections hold all workers: who comes waits, in the queue and behind it, and is served when one is free."""
    with Shop("--workers", "4", "--connection-queue", "2", "--keep-alive-ms", "2000") as shop, contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(shop)) for _ in range(4)]
        assert all(answered(one) for one in held)
        waiting = [stack.enter_context(connected(shop)) for _ in range(12)]
        for one in waiting:
            one.sendall(NOT_FOR_NOTHING.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        waiting[0].settimeout(0.3)
        try:
            waiting[0].recv(1)
            raise AssertionError("a fifth connection was served beside four")
        except TimeoutError:
            waiting[0].settimeout(PATIENCE)
        for one in waiting:  # after keep-alive-ms
            assert one.recv(4096).startswith(b"HTTP/1.1 200")


def a_quarter_of_the_workers_polls():
    with Shop("--workers", "8") as shop, contextlib.ExitStack() as stack:
        admin = shop.admin()
        head = b"GET /api/events?after=999999&wait=30 HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer " + admin.encode() + b"\r\n\r\n"
        for _ in range(2):
            stack.enter_context(connected(shop)).sendall(head)
        end = time.monotonic() + PATIENCE
        while metric(shop, "zmart_long_polls") < 2:
            assert time.monotonic() < end
        assert shop.call("GET", "/api/events?after=999999&wait=30", admin).json()["data"] == []
        assert metric(shop, "zmart_long_polls_refused_total") == 1


def connections_of_one_address():
    with Shop("--client-connections", "5") as shop, contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(shop)) for _ in range(5)]
        assert all(answered(one) for one in held)
        with connected(shop) as sixth:
            assert ended(sixth)
        held[0].close()
        end = time.monotonic() + PATIENCE
        while True:
            with connected(shop) as again, contextlib.suppress(OSError):
                if answered(again):
                    break
            assert time.monotonic() < end


def idle_and_slow_connections_end():
    with Shop("--keep-alive-ms", "300", "--arrival-ms", "600") as shop:
        with connected(shop) as idle:
            assert answered(idle)
            assert ended(idle)
        with connected(shop) as slow:
            slow.sendall(NOT_FOR_NOTHING[:20])
            told = b""
            while more := slow.recv(4096):
                told += more
            assert told == b"" or told.startswith(b"HTTP/1.1 4"), told


def bodies():
    with Shop("--body-size", "2000") as shop:
        admin = shop.admin()
        assert shop.call("POST", "/api/products", admin, {"name": "x", "price": 1, "stock": 1, "description": "y" * 1800}).status_code == 201
        problem(shop.call("POST", "/api/products", admin, {"name": "x", "price": 1, "description": "y" * 2000}), 413, "body_too_large")


def bad_tokens_and_rates():
    with Shop("--bad-tokens", "3") as shop:
        admin = shop.admin()
        assert shop.call("GET", "/api/orders", admin).status_code == 200
        found = [shop.call("GET", "/api/orders", f"nonsense{turn}").status_code for turn in range(5)]
        assert found[:3] == [401] * 3 and found[4] == 429, found
        assert shop.call("GET", "/api/orders", admin).status_code == 200  # a good one that is known goes on
    with Shop("--rate-limit", "6") as shop:
        admin = shop.admin()
        replies = [shop.call("GET", "/api/orders", admin) for _ in range(8)]
        assert replies[0].status_code == 200 and replies[-1].status_code == 429, [r.status_code for r in replies]
        problem(replies[-1], 429, "rate_limited")
        assert int(replies[-1].headers["Retry-After"]) > 0 and "RateLimit" in replies[0].headers


def draining():
    with Shop("--drain-ms", "1500") as shop:
        process, admin = shop.process, shop.admin()
        with connected(shop) as open_one:
            assert answered(open_one)
            process.terminate()
            end = time.monotonic() + PATIENCE
            while shop.call("GET", "/readyz").status_code != 503:
                assert time.monotonic() < end
            head = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "A" * 22 + "=="}
            problem(shop.call("GET", "/ws", admin, headers=head), 503, "service_unavailable")
        shop.process = process
        assert process.wait(30) == 0
        shop.process = None


def the_only_broker_leaves_and_its_orders_are_placed():
    """It waits for what is under way, and that for what it asks of other services."""
    with Shop(processes=True) as shop, concurrent.futures.ThreadPoolExecutor(8) as pool:
        admin = shop.admin()
        product, leave = shop.product(admin, stock=1000000)["id"], threading.Event()

        def buy(_):
            statuses = []
            while not leave.is_set():
                statuses.append(shop.order(admin, (product, 1)).status_code)
            return statuses

        buyers = pool.map(buy, range(8))
        try:
            for _ in range(3):
                old = shop.children("broker")[0]
                os.kill(old, signal.SIGTERM)
                wait_for("another broker", lambda: shop.children("broker") not in ([], [old]))
                wait_for("orders again", lambda: shop.order(admin, (product, 1)).status_code == 201)
        finally:
            leave.set()
        statuses = collections.Counter(status for one in buyers for status in one)
        assert statuses[201] > 0 and set(statuses) <= {201, 503}, statuses  # none whose end is not known


def heads_that_are_read():
    """Idempotency-Key and If-Match, and too many parameters."""
    with Shop() as shop:
        admin = shop.admin()
        body = {"name": "x", "price": 1, "stock": 1}
        assert shop.call("POST", "/api/products", admin, body, headers={"Idempotency-Key": "k" * 255}).status_code == 201
        refused = problem(shop.call("POST", "/api/products", admin, body, headers={"Idempotency-Key": "k" * 256}), 400, "invalid_parameter")
        assert [item["pointer"] for item in refused["errors"]] == ["/Idempotency-Key"]
        product = shop.product(admin)["id"]
        problem(shop.call("PUT", f"/api/products/{product}", admin, body, headers={"If-Match": '"' + "v" * 198 + '"'}), 412)
        refused = problem(shop.call("PUT", f"/api/products/{product}", admin, body, headers={"If-Match": '"' + "v" * 199 + '"'}), 400)
        assert [item["pointer"] for item in refused["errors"]] == ["/If-Match"]
        assert shop.call("GET", "/api/products?limit=20" + "&" * 63, admin).status_code == 200
        refused = problem(shop.call("GET", "/api/products?limit=20" + "&x=1" * 64, admin), 400, "invalid_parameter")
        assert [item["code"] for item in refused["errors"]] == ["unknown_parameter"] * 63 + ["too_many"], refused


def what_is_old_or_too_many_is_forgotten():
    """Rows of known ages lie in the stores when the shop starts: at its first round it keeps what is younger than its settings say."""
    with Shop("--webhook-keep-days", "2", "--order-void-hours", "49", "--letter-days", "2", "--letter-count", "3", "--mail-files", "2") as shop:
        shop.stop()
        data, now = shop.folder / "data", time.time()
        hours_ago = lambda hours: int((now - hours * 3600) * 1000)

        def put(file, sql, rows):
            with contextlib.closing(sqlite3.connect(data / file)) as db:
                db.executemany(sql, rows)
                db.commit()

        put("webhook.db", "INSERT INTO delivery VALUES(?, 'whk_x', 'evt_x', 'order.placed', 'delivered', 1, NULL, x'90', ?, 1, '{}', NULL)",
            [(f"dlv_{hours}", hours_ago(hours)) for hours in (47, 49)])
        put("order.db", "INSERT INTO orders(id, kind, created_at) VALUES(?, 'void', ?)",
            [(f"ord_{hours}", hours_ago(hours)) for hours in (48.9, 49.1)])
        put("event.db", "INSERT INTO letter(request_id, death, died, route) VALUES(?, 1, ?, 'order.create')",
            [(f"{hours:032d}", hours_ago(hours)) for hours in (44, 45, 46, 47, 49)])
        (data / "mail").mkdir(exist_ok=True)
        for hours in (1, 2, 3):
            path = data / "mail" / f"evt_{hours}.eml"
            path.write_text("old\n")
            os.utime(path, (now - hours * 3600, now - hours * 3600))
        shop.start()
        for file, sql, kept in (("webhook.db", "SELECT id FROM delivery", {"dlv_47"}),
                                ("order.db", "SELECT id FROM orders WHERE kind = 'void'", {"ord_48.9"}),
                                ("event.db", "SELECT request_id FROM letter", {f"{hours:032d}" for hours in (44, 45, 46)})):
            wait_for(f"{file}: {kept}", lambda: {row[0] for row in shop.rows(file, sql)} == kept, 90, 0.2)
        wait_for("two mails", lambda: {path.name for path in (data / "mail").glob("*.eml")} == {"evt_1.eml", "evt_2.eml"}, 90, 0.2)


class Raw:
    """A WebSocket that reads when it is told to."""

    def __init__(self, shop, token, query="", buffer=None):
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", shop.port))
        self.socket.sendall(f"GET /ws{query} HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        self.file = self.socket.makefile("rb")
        assert b" 101 " in self.file.readline()
        while self.file.readline() != b"\r\n":
            pass

    def frame(self):
        """(opcode, payload), or None at the end."""
        head = self.file.read(2)
        if len(head) < 2:
            return None
        size = head[1] & 127
        if size > 125:
            size, = struct.unpack(">H" if size == 126 else ">Q", self.file.read(2 if size == 126 else 8))
        return head[0] & 15, self.file.read(size)

    def close(self):
        self.file.close()
        self.socket.close()


def sockets_in_all():
    with Shop("--ws-sockets", "3") as shop, contextlib.ExitStack() as stack:
        admin = shop.admin()
        for _ in range(3):
            stack.enter_context(contextlib.closing(Raw(shop, admin)))
        try:
            Socket(shop.url.replace("http", "ws") + "/ws", {"Authorization": f"Bearer {admin}"})
            raise AssertionError("a fourth opened")
        except Refused as refused:
            assert refused.status == 503, refused
        problem(shop.call("GET", "/api/events/stream", admin), 503, "service_unavailable")


def pings_and_who_does_not_answer():
    with Shop("--ws-ping-s", "1") as shop, contextlib.closing(Raw(shop, shop.admin(), "?types=order.cancelled")) as mute:
        frames = []
        while (frame := mute.frame()) is not None:
            frames.append(frame[0])
        assert frames == [9, 9], frames


def lagging(flag, value):
    """A client that stops reading is closed with 4008 and the last seq it was given; from there it misses nothing."""
    with Shop(flag, value) as shop:
        admin = shop.admin()
        product = shop.product(admin)["id"]
        with contextlib.closing(Raw(shop, admin, "?types=product.updated", buffer=2048)) as slow:
            count = 0
            while metric(shop, "zmart_ws_dropped_total") == 0:
                for _ in range(50):
                    count += 1
                    reply = shop.call("PUT", f"/api/products/{product}", admin, {"description": f"{count}", "price": 10 + count % 7})
                    assert reply.status_code == 200, reply.text
                assert count < 5000
            seen = []
            while (frame := slow.frame()) is not None:
                if frame[0] == 1:
                    seen.append(json.loads(frame[1])["seq"])
                elif frame[0] == 8:
                    code, reason = struct.unpack(">H", frame[1][:2])[0], frame[1][2:].decode()
            assert (code, reason) == (4008, f"last seq {seen[-1]}"), (code, reason, seen[-1])
        rest = []
        with contextlib.closing(Raw(shop, admin, f"?types=product.updated&after={seen[-1]}")) as again:
            while len(seen) + len(rest) < count:
                opcode, payload = again.frame()
                if opcode == 1:
                    rest.append(json.loads(payload)["seq"])
        log = [row[0] for row in shop.rows("event.db", "SELECT seq FROM entry WHERE type = 'product.updated' ORDER BY seq")]
        assert seen + rest == log, (len(seen), len(rest), len(log))


def the_queue_of_a_client():
    lagging("--ws-queue", "3")


def the_bytes_of_that_queue():
    lagging("--ws-queue-size", "1024")


run({f.__name__: f for f in (workers_and_the_queue_before_them, a_quarter_of_the_workers_polls, connections_of_one_address,
                             idle_and_slow_connections_end, bodies, the_only_broker_leaves_and_its_orders_are_placed, heads_that_are_read, what_is_old_or_too_many_is_forgotten, bad_tokens_and_rates, draining, sockets_in_all,
                             pings_and_who_does_not_answer, the_queue_of_a_client, the_bytes_of_that_queue)})
