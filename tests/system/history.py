"""Clients that write down what they asked and what they were told, and a checker that compares it with the stores.

A history is JSONL: {"type": "invoke"|"ok"|"fail"|"info", "op": "order"|"cancel", "key", ...}. The key is in the order's note,
so the store tells which request made it. ok: the shop said yes. fail: it said no, nothing was done. info: nobody knows."""
import collections
import contextlib
import json
import random
import sqlite3
import threading
import time
import uuid

import msgpack
import requests

import bus1
from shop import SLOW, wait_for

UNKNOWN = (500, 502, 504)
REFUSED_FOR_NOW = (429, 503)
HELD, CONFIRMED, RELEASED, COMMITTED = range(4)


class History:
    def __init__(self, path):
        self.path, self.lock = path, threading.Lock()
        self.file = open(path, "a", encoding="utf-8")
        self.counts = collections.Counter()

    def add(self, type, op, key, **more):
        line = json.dumps({"type": type, "op": op, "key": key, "at": round(time.monotonic(), 4), **more})
        with self.lock:
            self.counts[type] += 1
            self.file.write(line + "\n")
            self.file.flush()

    def read(self):
        return [json.loads(line) for line in open(self.path, encoding="utf-8")]


class Buyer(threading.Thread):
    """Orders, cancels some of it, until told to end. urls(): the gateways to try, best first.

    patient: repeats each request with its Idempotency-Key until it has an answer that says what happened.
    Else each is sent once, and 502, 504 or a broken connection is an info."""

    def __init__(self, rack, number, products, history, seed, urls=None, patient=True, think_s=0.02, limit=None):
        super().__init__(name=f"buyer {number}", daemon=True)
        self.rack, self.products, self.history = rack, products, history
        self.random = random.Random(seed * 1000 + number)
        self.urls = urls or (lambda: rack.urls)
        self.patient, self.think_s, self.limit = patient, think_s, limit
        self.ending = threading.Event()
        self.session = requests.Session()
        self.account = rack.register(f"buyer{number}-{uuid.uuid4().hex[:8]}@example.com")
        self.logins = 0
        self.failure, self.orders, self.statuses, self.slowest_s = None, [], collections.Counter(), 0.0
        self.broken = []

    def run(self):
        try:
            while not self.ending.is_set() and self.limit != 0:
                self.act()
                self.limit = None if self.limit is None else self.limit - 1
                self.ending.wait(self.think_s * 2 * self.random.random())
        except Exception as failure:  # told by the test's thread
            self.failure = failure

    def act(self):
        if self.orders and self.random.random() < 0.15:
            self.cancel(self.orders.pop(self.random.randrange(len(self.orders))))
        else:
            self.order()

    def order(self):
        key = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        lines = [{"product_id": p, "quantity": self.random.randint(1, 3)}
                 for p in self.random.sample(self.products, self.random.randint(1, min(2, len(self.products))))]
        self.history.add("invoke", "order", key, lines=lines)
        reply, tries = self.send("POST", "/api/orders", {"items": lines, "note": key}, key if self.patient else None)
        status = reply.status_code if reply is not None else 0
        if status == 201:
            self.history.add("ok", "order", key, order=reply.json()["id"], tries=tries)
            self.orders.append(reply.json()["id"])
        else:
            kind = "info" if reply is None or status in UNKNOWN else "fail"
            self.history.add(kind, "order", key, status=status, tries=tries, text=reply.text[:300] if reply is not None else "")

    def cancel(self, order):
        self.history.add("invoke", "cancel", order)
        reply, tries = self.send("PUT", f"/api/orders/{order}/status", {"status": "cancelled"}, None)
        status = reply.status_code if reply is not None else 0
        kind = "ok" if status == 200 else "info" if reply is None or status in UNKNOWN else "fail"
        self.history.add(kind, "cancel", order, status=status, tries=tries)

    def send(self, method, path, body, key):
        """The answer that counts (None: the connection broke, nobody knows) and how often it was asked."""
        end = time.monotonic() + 90 * SLOW
        tries, reply = 0, None
        while time.monotonic() < end:
            for url in self.urls():
                begin = time.monotonic()
                tries += 1
                try:
                    headers = {"Authorization": f"Bearer {self.account['token']}", **({"Idempotency-Key": key} if key else {})}
                    reply = self.session.request(method, url + path, json=body, headers=headers, timeout=30)
                except requests.RequestException as error:
                    reply = None
                    self.broken.append(repr(error))
                self.statuses[reply.status_code if reply is not None else "broken"] += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - begin)
                if reply is not None and reply.status_code == 401 and self.sign_in(url):
                    continue
                known = reply is not None and reply.status_code not in (*UNKNOWN, *REFUSED_FOR_NOW)
                if known or not self.patient:
                    return reply, tries
            self.ending.wait(0.02)  # when it is set this returns at once; what was begun is still brought to an end
            time.sleep(0.01)
        return reply, tries

    def sign_in(self, url):
        """A new token, where the old one's time is over; False when there is none."""
        body = {"email": self.account["user"]["email"], "password": "password"}
        with contextlib.suppress(requests.RequestException):
            reply = self.session.post(url + "/api/auth/login", json=body, timeout=30)
            if reply.status_code == 200:
                self.account = reply.json()
                self.logins += 1
                return True
        return False


def buyers(rack, count, products, history, seed, **more):
    return [Buyer(rack, n, products, history, seed, **more) for n in range(count)]


class Balancer(threading.Thread):
    """What stands in front of two gateways: sends to those whose /readyz says yes."""

    def __init__(self, rack):
        super().__init__(name="balancer", daemon=True)
        self.rack, self.ending = rack, threading.Event()
        self.good = list(rack.urls)

    def run(self):
        while not self.ending.wait(0.05):
            self.good = [url for n, url in enumerate(self.rack.urls) if self.rack.ready(n)]

    def urls(self):
        return [random.choice(self.good or self.rack.urls)]


class Checker:
    def __init__(self, rack, history, stock, price=1000):
        """stock: what each product had when the history began; price: in minor units, of all of them."""
        self.rack, self.history, self.stock, self.price = rack, history, stock, price
        self.faults = []

    def rows(self, file, sql):
        for _ in range(50):
            with contextlib.suppress(sqlite3.OperationalError):  # being opened by its service just now
                return self.rack.rows(file, sql)
            time.sleep(0.1)
        return self.rack.rows(file, sql)

    def expect(self, good, what):
        if not good:
            self.faults.append(what)

    def settle(self, seconds=40):
        """Waits until nothing is under way: outboxes handed over, holds told, brokers idle."""
        wait_for("outboxes to be handed over",
                 lambda: self.rows("order.db", "SELECT count(*) FROM outbox") == [(0,)], seconds, 0.1)
        wait_for("product-svc to be told of all orders",
                 lambda: self.rows("order.db", "SELECT count(*) FROM orders WHERE due IS NOT NULL") == [(0,)], seconds, 0.1)

    def check(self):
        self.settle()
        self.read_stores()
        self.check_orders()
        self.check_stock()
        self.check_money()
        self.check_events()
        brokers = self.check_brokers()
        counts = self.history.counts
        left = sum(1 for order, holds in self.holds.items() if order not in self.orders
                   for _, _, state in holds if state == HELD)
        found = (f"{counts['invoke']} asked: {counts['ok']} ok, {counts['fail']} refused, {counts['info']} unknown; "
                 f"{len(self.orders)} orders, {self.event_count} events, {left} holds left to the sweeper; brokers {brokers}")
        assert not self.faults, "\n  ".join([found, *self.faults[:20]])
        return found

    def read_stores(self):
        self.orders, self.by_note = {}, collections.defaultdict(list)
        for id, document in self.rows("order.db", "SELECT id, document FROM orders WHERE kind = 'placed'"):
            order = msgpack.unpackb(document)
            self.orders[id] = order
            self.by_note[order.get("note")].append(id)
        self.holds = collections.defaultdict(list)
        for order, product, quantity, state in self.rows("product.db", "SELECT order_id, product_id, quantity, state FROM holds"):
            self.holds[order].append((product, quantity, state))

    def check_orders(self):
        asked = {}
        for entry in self.history.read():
            key = entry["key"]
            if entry["type"] == "invoke":
                if entry["op"] == "order":
                    asked[key] = entry["lines"]
                continue
            if entry["op"] == "cancel":
                if entry["type"] == "ok":
                    self.expect(self.orders.get(key, {}).get("status") == "cancelled", f"cancelled, but is not: {key}")
                continue
            made = self.by_note.get(key, [])
            if entry["type"] == "ok":
                self.expect(made == [entry["order"]], f"ok with {entry['order']}, the store has {made}: {key}")
                if made:
                    lines = {l["product_id"]: l["quantity"] for l in self.orders[made[0]]["lines"]}
                    self.expect(lines == {l["product_id"]: l["quantity"] for l in asked[key]}, f"other lines than asked: {key}")
            elif entry["type"] == "fail":
                self.expect(not made, f"refused with {entry['status']}, but there is {made}: {entry}")
            else:
                self.expect(len(made) <= 1, f"unknown, and there are {made}")
        strangers = {n for n in self.by_note if n not in asked}
        self.expect(not strangers, f"orders that nobody asked for: {strangers}")

    def check_stock(self):
        taken = collections.Counter()
        for order, holds in self.holds.items():
            for product, quantity, state in holds:
                if state != RELEASED:
                    taken[product] += quantity
                self.expect(state in (HELD, RELEASED) or order in self.orders, f"pieces sold without an order: {order}")
        for product, stock in self.rows("product.db", "SELECT id, stock FROM products"):
            if product in self.stock:
                self.expect(stock >= 0 and stock + taken[product] == self.stock[product],
                            f"{product}: {stock} on stock + {taken[product]} held or sold, of {self.stock[product]}")
        for id, order in self.orders.items():
            held = {p: q for p, q, state in self.holds[id] if state != RELEASED}
            lines = {l["product_id"]: l["quantity"] for l in order["lines"]} if order["status"] != "cancelled" else {}
            self.expect(held == lines, f"{id} is {order['status']} with lines {lines} and has {held}")

    def check_money(self):
        for id, order in self.orders.items():
            for line in order["lines"]:
                self.expect(line["price"] == self.price and line["total"] == self.price * line["quantity"], f"{id}: {line}")
            self.expect(order["total"] == sum(l["total"] for l in order["lines"]), f"{id}: total {order['total']}")

    def check_events(self):
        log = self.rows("event.db", "SELECT seq, id, type, subject FROM entry ORDER BY seq")
        self.event_count = len(log)
        self.expect([r[0] for r in log] == list(range(1, len(log) + 1)), "the log has a gap")
        self.expect(len({r[1] for r in log}) == len(log), "an event id twice in the log")
        seen = collections.Counter((type, subject) for _, _, type, subject in log if type.startswith("order."))
        wanted = collections.Counter(("order.placed", id) for id in self.orders)
        wanted.update(("order.cancelled", id) for id, o in self.orders.items() if o["status"] == "cancelled")
        self.expect(seen == wanted, f"events without change {seen - wanted}, changes without event {wanted - seen}")

    def check_brokers(self):
        told = []
        for n, base in enumerate(self.rack.bases):
            if not self.rack[f"broker-{n}"].alive():
                continue
            books = wait_for(f"broker {n} to be idle", lambda: self.idle_books(base), 30, 0.05)
            self.expect(books["accepted"] == books["replied"] + books["nacked"] + books["in_flight"], f"broker {n}: {books}")
            told.append(f"{books['accepted']}={books['replied']}+{books['nacked']}")
        return " ".join(told)

    @staticmethod
    def idle_books(base):
        books = bus1.books(base)
        return books if books["in_flight"] == 0 else None


def stocked(rack, count=3, stock=100000):
    """An administrator's token and products that cost 10.00 each: token, {id: stock}."""
    token = rack.admin()
    return token, {rack.product(token, name=f"Thing {n}", price=10, stock=stock)["id"]: stock for n in range(count)}
