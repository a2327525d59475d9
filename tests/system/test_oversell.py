"""The oversell proof. One product, stock 300; 64 clients order 1 to 3 pieces until refused, some cancel, all with
Idempotency-Keys and retries, while product-svc, order-svc, event-svc and broker are killed with -9 in turn.
In the end the books must balance: nothing oversold, nothing lost, nothing doubled, nothing left hanging."""
import collections
import concurrent.futures
import os
import random
import signal
import threading
import time
import uuid

import requests

from shop import SLOW, Shop, run, wait_for

STOCK, CLIENTS = 300, 64
SEED = int(os.environ.get("ZMART_TEST_SEED", "1"))
PATIENCE_S = 50  # of the sweeper: the least it takes, ten budgets


class Client(threading.Thread):
    """Orders until refused twice; every request is repeated with its key until it has an answer."""

    def __init__(self, shop, number, product, history):
        super().__init__(daemon=True)
        self.shop, self.product, self.history = shop, product, history
        self.random = random.Random(SEED * 1000 + number)
        self.session = requests.Session()
        self.account = shop.register(f"client{number}@example.com")
        self.failure = None

    def run(self):
        try:
            self.shopping()
        except Exception as error:  # told by the test's thread
            self.failure = error

    def shopping(self):
        refusals = 0
        while refusals < 2:
            time.sleep(self.random.random() / 3)  # people think between orders
            quantity = self.random.randint(1, 3)
            reply = self.until_answered("POST", "/api/orders", {"items": [{"product_id": self.product, "quantity": quantity}]})
            if reply.status_code == 409:
                assert reply.json()["code"] == "out_of_stock", reply.text
                refusals += quantity == 1
                continue
            assert reply.status_code == 201, reply.text
            order = reply.json()
            assert sum(line["quantity"] for line in order["lines"]) == quantity, order
            self.history.append(("placed", order["id"], quantity))
            if self.random.random() < 0.2:
                reply = self.until_answered("PUT", f"/api/orders/{order['id']}/status", {"status": "cancelled"})
                assert reply.status_code == 200, reply.text
                self.history.append(("cancelled", order["id"], quantity))

    def until_answered(self, method, path, body):
        key = str(uuid.uuid4()) if method == "POST" else None
        end = time.monotonic() + 120 * SLOW
        while time.monotonic() < end:
            try:
                reply = self.shop.call(method, path, self.account["token"], body, key=key, session=self.session)
            except requests.RequestException:
                continue
            if reply.status_code not in (429, 502, 503, 504):
                return reply
            time.sleep(0.05 + self.random.random() / 10)
        raise AssertionError(f"no answer to {method} {path} for {120 * SLOW:.0f} s")


def killer(shop, stopped, kills):
    """Kills one process after the other. Each is frozen first, so that requests pile up in it and die with it."""
    names = ("product-svc", "order-svc", "event-svc", "broker")
    chosen = random.Random(SEED)
    turn = 0
    while not stopped.wait(0.1 + chosen.random() * 0.4):
        name = names[turn % len(names)]
        pids = shop.children(name)
        if not pids:
            continue  # still being started again
        os.kill(pids[0], signal.SIGSTOP)
        stopped.wait(0.1)
        os.kill(pids[0], signal.SIGKILL)
        kills[name] += 1
        turn += 1


def watch_stock(shop, product, stopped, seen):
    session = requests.Session()
    while not stopped.wait(0.02):
        try:
            reply = shop.call("GET", f"/api/products/{product}", session=session)
        except requests.RequestException:
            continue
        if reply.status_code == 200:
            seen.append(reply.json()["stock"])


def watch_resent(shop, stopped, resent):
    """What gateway and services sent again outlives them only here: a process that is killed forgets its counters."""
    while not stopped.wait(0.1):
        try:
            for name in ("zmart_bus_resent_total", "zmart_broker_redelivered_total"):
                resent[name] = max(resent[name], metric(shop, name))
        except (requests.RequestException, ValueError):
            continue


def live_pieces(shop):
    pieces, orders, cursor = 0, [], ""
    admin = shop.admin_token
    while True:
        reply = shop.call("GET", f"/api/orders?limit=100{cursor}", admin)
        assert reply.status_code == 200, reply.text
        page = reply.json()
        for order in page["data"]:
            orders.append(order)
            if order["status"] != "cancelled":
                pieces += sum(line["quantity"] for line in order["lines"])
        if not page["has_more"]:
            return pieces, orders
        cursor = f"&cursor={page['next_cursor']}"


def metric(shop, name, label=""):
    text = shop.call("GET", "/metrics").text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith(name + "{") and label in line or line.startswith(name + " "))


def books_balance(shop, product, history, seen):
    stock = lambda: shop.call("GET", f"/api/products/{product}").json()["stock"]
    wait_for("the sweeper to settle what was left", lambda: live_pieces(shop)[0] + stock() == STOCK, 2 * PATIENCE_S + 10, 0.5)
    wait_for("every hold to be settled",
             lambda: shop.rows("product.db", "SELECT count(*) FROM holds WHERE state = 0") == [(0,)], 2 * PATIENCE_S + 10, 0.5)
    pieces, orders = live_pieces(shop)
    assert min(seen) >= 0 and pieces + stock() == STOCK, (pieces, stock())
    by_id = {order["id"]: order for order in orders}
    assert len(by_id) == len(orders), "an order twice"
    placed = {id for what, id, _ in history if what == "placed"}
    cancelled = {id for what, id, _ in history if what == "cancelled"}
    assert placed <= set(by_id), f"acknowledged and gone: {placed - set(by_id)}"
    assert set(by_id) <= placed, f"nobody heard of {set(by_id) - placed}"  # every client went on until answered
    assert {i for i, o in by_id.items() if o["status"] == "cancelled"} == cancelled
    assert len([1 for what, _, _ in history if what == "placed"]) == len(placed), "one order answered two requests"
    # one event per change, without a gap
    changes = collections.Counter({("order.placed", i): 1 for i in placed})
    changes.update({("order.cancelled", i): 1 for i in cancelled})
    log = lambda: shop.rows("event.db", "SELECT seq, type, subject FROM entry ORDER BY seq")
    wait_for("every event", lambda: sum(t.startswith("order.") for _, t, _ in log()) >= sum(changes.values()), 15, 0.5)
    rows = log()
    assert [r[0] for r in rows] == list(range(1, len(rows) + 1)), "the log has a gap"
    assert collections.Counter((t, s) for _, t, s in rows if t.startswith("order.")) == changes
    return len(placed), len(cancelled)


def nothing_is_oversold():
    with Shop("--hold-patience-ms", str(PATIENCE_S * 1000), processes=True, workers=4) as shop:
        shop.admin_token = shop.admin()
        product = shop.product(shop.admin_token, stock=STOCK)["id"]
        history, seen, kills, resent = [], [], collections.Counter(), collections.Counter()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            clients = list(pool.map(lambda n: Client(shop, n, product, history), range(CLIENTS)))
        stopped = threading.Event()
        helpers = [threading.Thread(target=killer, args=(shop, stopped, kills)),
                   threading.Thread(target=watch_stock, args=(shop, product, stopped, seen)),
                   threading.Thread(target=watch_resent, args=(shop, stopped, resent))]
        for thread in helpers + clients:
            thread.start()
        for client in clients:
            client.join(300 * SLOW)
            assert not client.is_alive(), "a client did not come to an end"
        stopped.set()
        for thread in helpers:
            thread.join()
        failures = [c.failure for c in clients if c.failure]
        assert not failures, failures[0]
        wait_for("all processes to be back", lambda: shop.call("GET", "/readyz").status_code == 200, 15)
        placed, cancelled = books_balance(shop, product, history, seen)
        assert all(kills[name] for name in ("product-svc", "order-svc", "event-svc", "broker")), kills
        assert sum(resent.values()) > 0, "no request was sent again: the kills hit nothing"
        print(f"     {placed} orders, {cancelled} cancelled, killed {dict(kills)}, lowest stock seen {min(seen)}, {dict(resent)}")


run({f.__name__: f for f in (nothing_is_oversold,)})
