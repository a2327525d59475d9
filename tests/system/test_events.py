"""What subscribers see: the PUB socket, WebSockets, and that the log has every event once and without gaps."""
import json
import socket
import threading
import time

import msgpack
import zmq

from shop import Shop, run, wait_for
from sockets import Closed, Refused, Socket

FORBIDDEN = ("Ada", "ada@example.com", "1 Way", "ring twice")
ADDRESS = {"name": "Ada", "line1": "1 Way", "city": "Rome", "postal_code": "00100", "country": "IT"}


class Tap(threading.Thread):
    """A subscriber to the PUB socket, as anybody would write one."""

    def __init__(self, endpoint, topics=("",)):
        super().__init__(daemon=True)
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        for topic in topics:
            self.socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        self.socket.connect(endpoint)
        self.messages, self.ending = [], False
        self.start()

    def run(self):
        while not self.ending:
            if self.socket.poll(50):
                frames = self.socket.recv_multipart()
                assert len(frames) == 3, frames
                self.messages.append((frames[0].decode(), msgpack.unpackb(frames[1]), msgpack.unpackb(frames[2]), frames))
        self.socket.close(0)

    def events(self):
        return [m for m in self.messages if not m[0].startswith("_")]

    def orders(self):
        return [m for m in self.events() if m[0].startswith("order.")]

    def heads(self):
        return [m for m in self.messages if m[0] == "_head."]


def placed(shop, token, product, quantity=1):
    reply = shop.call("POST", "/api/orders", token, {"items": [{"product_id": product["id"], "quantity": quantity}],
                      "shipping_address": ADDRESS, "note": "ring twice"})
    assert reply.status_code == 201, reply.text
    return reply.json()


def move(shop, token, order, status):
    reply = shop.call("PUT", f"/api/orders/{order['id']}/status", token, {"status": status})
    assert reply.status_code == 200, reply.text


def the_tap_sees_every_move():
    for processes in (False, True):
        with Shop(processes=processes) as shop:
            admin = shop.admin()
            product = shop.product(admin, stock=100)
            tap = Tap(shop.events)
            wait_for("a beacon", tap.heads)
            ada = shop.register("ada@example.com", "Ada")
            wait_for("her account", lambda: [m for m in tap.events() if m[1]["subject"] == ada["user"]["id"]])
            order = placed(shop, ada["token"], product)
            for status in ("confirmed", "shipped", "delivered"):
                move(shop, admin, order, status)
            move(shop, admin, order, "delivered")  # again: no event
            other = placed(shop, ada["token"], product, 2)
            move(shop, ada["token"], other, "cancelled")
            wait_for("six events", lambda: len(tap.orders()) >= 6)
            types = [(m[0], m[1]["subject"]) for m in tap.orders()]
            expected = [(f"order.{t}.", order["id"]) for t in ("placed", "confirmed", "shipped", "delivered")]
            assert types == expected + [("order.placed.", other["id"]), ("order.cancelled.", other["id"])], types
            seqs = [m[1]["seq"] for m in tap.orders()]
            assert seqs == sorted(set(seqs)), seqs
            for topic, meta, payload, frames in tap.events():
                for field in ("stream", "epoch", "seq", "id", "type", "time", "subject"):
                    assert field in meta, meta
                assert meta["type"] + "." == topic
                if topic.startswith("user."):
                    assert payload["user_id"] == meta["subject"] and set(payload) == {"user_id", "role", "version"}, payload
                elif topic.startswith("product."):
                    assert payload["product_id"] == meta["subject"] and payload["currency"] == "USD", payload
                else:
                    assert payload["order_id"] == meta["subject"] and payload["currency"] == "USD", payload
                assert not any(word.encode() in b"".join(frames) for word in FORBIDDEN), frames
            before = len(tap.heads())
            wait_for("beacons go on", lambda: len(tap.heads()) > before + 1)
            assert tap.heads()[-1][1]["seq"] >= seqs[-1], tap.heads()[-1]
            tap.ending = True
            tap.join()
            log = shop.rows("event.db", "SELECT seq, id, type FROM entry ORDER BY seq")
            assert [row[0] for row in log] == list(range(1, len(log) + 1)), log
            assert len({row[1] for row in log}) == len(log)


def socket_of(shop, token, query=""):
    return Socket(shop.url.replace("http", "ws") + "/ws" + query,
                  {"Authorization": f"Bearer {token}"} if token else None)


def refused(shop, query, token=None, status=401):
    try:
        socket_of(shop, token, query)
    except Refused as error:
        assert error.status == status, error
        return
    raise AssertionError("the socket opened")


def websockets_show_own_orders():
    with Shop() as shop:
        admin = shop.admin()
        product = shop.product(admin, stock=100)
        ada, bob = shop.register("ada@example.com", "Ada"), shop.register("bob@example.com", "Bob")
        ticket = shop.call("POST", "/api/ws-ticket", ada["token"]).json()["ticket"]
        with socket_of(shop, None, f"?ticket={ticket}") as of_ada, \
                socket_of(shop, bob["token"]) as of_bob, socket_of(shop, admin) as of_admin:
            refused(shop, f"?ticket={ticket}")  # once
            refused(shop, "?ticket=nonsense")
            refused(shop, "")
            refused(shop, "", token="nonsense")
            order = placed(shop, ada["token"], product)
            message = json.loads(of_ada.recv(10))
            assert message["type"] == "order.placed" and message["order"] == order, message
            assert set(message) == {"id", "type", "seq", "time", "order"}, message
            assert json.loads(of_admin.recv(10)) == message
            move(shop, admin, order, "confirmed")
            assert json.loads(of_ada.recv(10))["order"]["status"] == "confirmed"
            assert json.loads(of_admin.recv(10))["type"] == "order.confirmed"
            second = placed(shop, bob["token"], product)
            assert json.loads(of_bob.recv(10))["order"]["id"] == second["id"]  # nothing of Ada's before it
            with socket_of(shop, admin, f"?orders={order['id']}") as of_one:
                move(shop, admin, second, "confirmed")
                move(shop, admin, order, "shipped")
                assert json.loads(of_one.recv(10))["type"] == "order.shipped"
            # a session that ends closes its sockets
            assert shop.call("POST", "/api/auth/logout", bob["token"]).status_code == 204
            begin = time.monotonic()
            try:
                while True:
                    of_bob.recv(10)
            except Closed:
                assert time.monotonic() - begin < 6


def streams_tell_events_without_names():
    with Shop() as shop:
        admin = shop.admin()
        ada = shop.register("ada@example.com", "Ada")
        order = placed(shop, ada["token"], shop.product(admin, stock=100))
        reply = shop.call("GET", "/api/events/stream", ada["token"], headers={"Last-Event-ID": "0"}, stream=True)
        assert reply.status_code == 200 and reply.headers["Content-Type"].startswith("text/event-stream"), reply.headers
        with reply:  # in blocks: what is read in blocks gets the event whole, and does not wait for the next one
            lines = [line.decode() for _, line in zip(range(2), filter(None, reply.iter_lines()))]
        # a browser's onmessage gets events that have no name
        assert [line.split(":")[0] for line in lines] == ["id", "data"], lines
        event = json.loads(lines[1].removeprefix("data: "))
        assert lines[0] == f"id: {event['seq']}" and event["type"] == "order.placed" and event["data"] == order, event
        assert set(event) == {"id", "type", "seq", "time", "subject", "data"}, event
        # and HTTP/1.0, which has no chunks, gets the same lines
        with socket.create_connection(("127.0.0.1", shop.port), timeout=30) as old:
            old.sendall(f"GET /api/events/stream HTTP/1.0\r\nAuthorization: Bearer {ada['token']}\r\nLast-Event-ID: 0\r\n\r\n".encode())
            got = old.makefile("rb")
            head = b"".join(iter(got.readline, b"\r\n")).lower()
            assert b"transfer-encoding" not in head and b"text/event-stream" in head, head
            assert [got.readline().decode().rstrip("\n") for _ in lines] == lines


run({f.__name__: f for f in (the_tap_sees_every_move, websockets_show_own_orders, streams_tell_events_without_names)})
