"""The event log over HTTP: pages, long polls, Server-Sent Events and WebSockets that go on where they were."""
import contextlib
import http.client
import json
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests
import zmq

from bus1 import plane_address
from proxy import Proxy, free_base
from shop import BUILD, SLOW, Shop, problem, run, wait_for
from sockets import Refused, Socket
PATIENCE = 20


class Stream(threading.Thread):
    """A reader of Server-Sent Events that collects (id, type, object) until it is closed or the server ends."""

    def __init__(self, shop, token, last=None, query=""):
        super().__init__(daemon=True)
        head = {"Authorization": f"Bearer {token}"}
        if last is not None:
            head["Last-Event-ID"] = str(last)
        self.connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=60)
        self.connection.request("GET", "/api/events/stream" + query, headers=head)
        self.socket = self.connection.sock  # the reply takes it from the connection
        self.reply = self.connection.getresponse()
        self.events, self.comments, self.ended = [], [], False
        if self.reply.status == 200:
            self.start()

    def run(self):
        fields = {}
        try:
            for line in iter(self.reply.readline, b""):
                line = line.decode().rstrip("\n")
                if line.startswith(":"):
                    self.comments.append(line[1:])
                elif line:
                    name, value = line.split(": ", 1)
                    fields[name] = value
                elif fields:
                    event = json.loads(fields["data"])
                    self.events.append((int(fields["id"]), event["type"], event))
                    fields = {}
        except (OSError, ValueError):
            pass  # closed by this side
        self.ended = True

    def seqs(self):
        return [event[0] for event in list(self.events)]

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        if self.ident:
            self.join(10)
        self.reply.close()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def closed(stream):
    stream.close()
    return stream.reply.status


def events(shop, token, query="", status=200):
    reply = shop.call("GET", "/api/events" + query, token)
    assert reply.status_code == status, reply.text
    return reply.json()


def place(shop, token, product, quantity=1):
    reply = shop.order(token, (product["id"], quantity))
    assert reply.status_code == 201, reply.text
    return reply.json()


def move(shop, token, order, status):
    reply = shop.call("PUT", f"/api/orders/{order['id']}/status", token, {"status": status})
    assert reply.status_code == 200, reply.text
    return reply.json()


def log_of(shop, where="1"):
    return shop.rows("event.db", f"SELECT seq, type, id, user_id FROM entry WHERE type LIKE 'order.%' AND {where} ORDER BY seq")


def in_the_log(shop, count):
    wait_for("the log", lambda: len(log_of(shop)) >= count)


def opened(shop):
    admin = shop.admin()
    ada, bob = shop.register("ada@example.com", "Ada"), shop.register("bob@example.com", "Bob")
    return admin, ada, bob, shop.product(admin, stock=1000000)


def pages_are_the_log():
    with Shop() as shop:
        admin, ada, bob, product = opened(shop)
        first = events(shop, admin, "?types=order.*")
        assert first == {"data": [], "has_more": False, "head": first["head"]}, first
        order = place(shop, ada["token"], product)
        move(shop, admin, order, "confirmed")
        place(shop, bob["token"], product)
        shop.call("POST", "/api/auth/logout", shop.register()["token"])  # session.ended: in the log, for nobody here
        last = move(shop, admin, order, "shipped")
        in_the_log(shop, 4)
        wait_for("the session's end", lambda: shop.rows("event.db", "SELECT 1 FROM entry WHERE type = 'session.ended'"))
        page = events(shop, admin, "?types=order.*")
        assert [(e["seq"], e["type"], e["id"]) for e in page["data"]] == [row[:3] for row in log_of(shop)], page
        assert set(page["data"][0]) == {"id", "type", "seq", "time", "subject", "data"}, page["data"][0]
        assert page["data"][0]["data"] == order and page["data"][0]["subject"] == order["id"], page["data"][0]
        assert page["data"][-1]["data"] == last, page["data"][-1]
        assert page["head"] >= page["data"][-1]["seq"] and page["has_more"] is False
        own = events(shop, ada["token"])
        assert [e["seq"] for e in own["data"]] == [row[0] for row in log_of(shop) if row[3] == ada["user"]["id"]], own
        assert own["head"] >= page["head"]
        assert {e["data"]["user_id"] for e in events(shop, bob["token"])["data"]} == {bob["user"]["id"]}
        one = events(shop, ada["token"], "?limit=1")
        assert one["has_more"] is True and len(one["data"]) == 1
        rest = events(shop, ada["token"], f"?limit=2&after={one['data'][0]['seq']}")
        assert one["data"] + rest["data"] == own["data"] and rest["has_more"] is False
        assert events(shop, ada["token"], f"?after={own['head']}")["data"] == []
        beyond = events(shop, ada["token"], "?after=999999999")
        assert beyond["data"] == [] and beyond["has_more"] is False and beyond["head"] >= own["head"], beyond
        assert [e["type"] for e in events(shop, admin, "?types=order.placed")["data"]] == ["order.placed"] * 2
        assert [e["type"] for e in events(shop, admin, "?types=order.c*,order.s*")["data"]] == ["order.confirmed", "order.shipped"]
        for types in ("session.*", "nothing.*", "order.placed,order.x*"):
            refused = problem(shop.call("GET", f"/api/events?types={types}", admin), 400, "invalid_parameter", "/types")
            assert "order." in refused["errors"][0]["message"], refused  # it names those that there are
        assert {e["type"].split(".")[0] for e in events(shop, admin, "?types=*")["data"]} == {"order", "product", "user"}
        for query, pointer in (("?after=-1", "/after"), ("?after=x", "/after"), ("?after=1&after=2", "/after"), ("?limit=0", "/limit"),
                               ("?limit=101", "/limit"), ("?wait=31", "/wait"), ("?wait=1.5", "/wait"), ("?types=", "/types"),
                               ("?types=a,,b", "/types"), ("?types=Order.*", "/types"), ("?types=*.placed", "/types"),
                               ("?types=session.ended", "/types"), ("?since=1", "/since")):
            problem(shop.call("GET", "/api/events" + query, admin), 400, "invalid_parameter", pointer)
            if not query.startswith(("?limit", "/wait")):
                problem(shop.call("GET", "/api/events/stream" + query, admin), 400, "invalid_parameter", pointer)
        problem(shop.call("GET", "/api/events/stream", admin, headers={"Last-Event-ID": "x"}), 400, "invalid_parameter", "/Last-Event-ID")
        head = shop.call("HEAD", "/api/events/stream", admin)
        assert head.status_code == 200 and head.headers["Content-Type"] == "text/event-stream", head.headers
        assert "Content-Length" not in head.headers, head.headers  # nobody knows how long it would be
        for path in ("/api/events", "/api/events/stream"):
            problem(shop.call("GET", path), 401, "unauthenticated")
            problem(shop.call("GET", path, "nonsense"), 401, "unauthenticated")
            problem(shop.call("POST", path, admin, {}), 405)
        described = shop.call("GET", "/openapi.json").json()["paths"]
        assert {p["name"] for p in described["/api/events"]["get"]["parameters"]} == {"after", "types", "limit", "wait"}
        assert "Last-Event-ID" in {p["name"] for p in described["/api/events/stream"]["get"]["parameters"]}


def long_polls_wake_at_once():
    with Shop("--long-polls", "3") as shop, ThreadPoolExecutor(8) as pool:
        admin, ada, bob, product = opened(shop)

        def poll(token, query):
            query += "" if "types" in query else "&types=order.*"  # products and accounts have events, too
            begin = time.monotonic()
            return events(shop, token, query), time.monotonic() - begin
        head = events(shop, admin)["head"]
        waiting = [pool.submit(poll, token, f"?after={head}&types=order.*&wait=30") for token in (ada["token"], bob["token"], admin)]
        # Each holds a place: the next is answered at once.
        metric = lambda: shop.call("GET", "/metrics").text
        wait_for("three that wait", lambda: any(l.startswith("zmart_long_polls{") and l.endswith(" 3") for l in metric().splitlines()))
        page, spent = poll(admin, f"?after={head}&wait=30")
        assert page["data"] == [] and spent < 10, spent
        order = place(shop, ada["token"], product)
        for done in (waiting[0], waiting[2]):
            page, spent = done.result(PATIENCE)
            assert [e["data"]["id"] for e in page["data"]] == [order["id"]], page
        assert not waiting[1].done()  # Bob's goes on
        other = place(shop, bob["token"], product)
        page, _ = waiting[1].result(PATIENCE)
        assert [e["data"]["id"] for e in page["data"]] == [other["id"]], page
        page, spent = poll(ada["token"], f"?after={events(shop, admin)['head']}&wait=1")
        assert page["data"] == [] and 0.9 < spent < 10, spent
        # what is not asked for wakes nobody; what is, does
        head = events(shop, admin)["head"]
        waiting = pool.submit(poll, ada["token"], f"?after={head}&wait=30&types=order.cancelled")
        move(shop, admin, order, "confirmed")
        move(shop, ada["token"], order, "cancelled")
        page, _ = waiting.result(PATIENCE)
        assert [e["type"] for e in page["data"]] == ["order.cancelled"], page
        # a session that ends, and a shop that stops, let go of those that wait
        waiting = pool.submit(shop.call, "GET", "/api/events?after=99999999&wait=30", bob["token"])
        wait_for("one that waits", lambda: any(l.startswith("zmart_long_polls{") and l.endswith(" 1") for l in metric().splitlines()))
        assert shop.call("POST", "/api/auth/logout", bob["token"]).status_code == 204
        problem(waiting.result(PATIENCE), 401, "unauthenticated")
        waiting = pool.submit(shop.call, "GET", "/api/events?after=99999999&wait=30", ada["token"])
        wait_for("one that waits", lambda: any(l.startswith("zmart_long_polls{") and l.endswith(" 1") for l in metric().splitlines()))
        shop.stop()
        assert waiting.result(PATIENCE).json()["data"] == []


def streams_go_on_where_they_were():
    with Shop() as shop:
        admin, ada, bob, product = opened(shop)
        order = place(shop, ada["token"], product)
        place(shop, bob["token"], product)
        in_the_log(shop, 2)
        with Stream(shop, admin, 0, "?types=order.*") as everything, Stream(shop, ada["token"]) as live, Stream(shop, ada["token"], query="?after=0") as own:
            assert everything.reply.headers["Content-Type"] == "text/event-stream", everything.reply.headers
            assert everything.reply.headers["Cache-Control"] == "no-store"
            move(shop, admin, order, "confirmed")
            wait_for("three", lambda: len(everything.events) == 3)
            assert everything.seqs() == [row[0] for row in log_of(shop)]
            assert [e[1] for e in everything.events] == ["order.placed", "order.placed", "order.confirmed"]
            assert [e[2] for e in everything.events] == events(shop, admin, "?types=order.*")["data"]
            wait_for("one", lambda: live.events)
            assert [e[1] for e in live.events] == ["order.confirmed"], live.events
            wait_for("two", lambda: len(own.events) == 2)
            assert [e[2] for e in own.events] == events(shop, ada["token"])["data"]
            with Stream(shop, admin, everything.seqs()[1], "?types=order.s*,order.confirmed&after=0") as later:
                move(shop, admin, order, "shipped")
                wait_for("two", lambda: len(later.events) == 2)
                assert [e[1] for e in later.events] == ["order.confirmed", "order.shipped"], later.events
            # the session's end is the stream's end
            shop.call("POST", "/api/auth/logout", ada["token"])
            wait_for("the end", lambda: live.ended and own.ended, 6)
            assert not everything.ended
            shop.stop()
            wait_for("the end", lambda: everything.ended)
            assert "restarting" in everything.comments, everything.comments


def streams_have_limits():
    with Shop("--ws-user-sockets", "2", "--workers", "8") as shop:
        admin, ada, _, product = opened(shop)
        token = ada["token"]
        with Stream(shop, token), Stream(shop, token, 0):
            problem(shop.call("GET", "/api/events/stream", token), 429, "rate_limited")
        wait_for("a place", lambda: closed(Stream(shop, token)) == 200)
        # more streams than workers: none of them keeps one
        streams = [Stream(shop, shop.register()["token"], 0) for _ in range(20)]
        assert all(s.reply.status == 200 for s in streams)
        place(shop, token, product)
        for stream in streams:
            assert not stream.events
            stream.close()


def positions_get_lost():
    with Shop("--retention-days", "1") as shop:
        admin, ada, _, product = opened(shop)
        for _ in range(3):
            place(shop, ada["token"], product)
        in_the_log(shop, 3)
        # as if two days had passed: the first two are older than a day when the shop looks next
        shop.stop()
        with contextlib.closing(sqlite3.connect(shop.folder / "data" / "event.db")) as db:
            db.execute("UPDATE entry SET time = time - 2*24*3600*1000")
            db.commit()
        shop.start()
        kept = lambda: [row[0] for row in shop.rows("event.db", "SELECT seq FROM entry ORDER BY seq")]
        wait_for("the purge", lambda: kept()[0] > 1, 90, 0.5)
        left = kept()[0]
        for token in (admin, ada["token"]):
            lost = problem(shop.call("GET", "/api/events?after=0", token), 410, "position_lost")
            assert lost["head"] >= left, lost
            problem(shop.call("GET", "/api/events/stream", token, headers={"Last-Event-ID": "0"}), 410, "position_lost")
            assert events(shop, token, f"?after={left - 1}")["head"] >= left
        assert events(shop, admin, f"?after={left - 1}")["data"][0]["seq"] == left
        try:
            Socket(shop.url.replace("http", "ws") + "/ws?after=0", {"Authorization": f"Bearer {admin}"})
            raise AssertionError("it opened")
        except Refused as refused:
            assert refused.status == 410, refused


def sockets_go_on_where_they_were():
    with Shop() as shop:
        admin, ada, bob, product = opened(shop)
        orders = [place(shop, ada["token"], product) for _ in range(150)]
        place(shop, bob["token"], product)
        in_the_log(shop, 151)

        def opened_at(after, token, more=""):
            return Socket(shop.url.replace("http", "ws") + f"/ws?after={after}{more}",
                          {"Authorization": f"Bearer {token}"})
        with opened_at(0, ada["token"]) as open_socket:
            got = [json.loads(open_socket.recv(PATIENCE)) for _ in orders]
            assert [m["order"]["id"] for m in got] == [o["id"] for o in orders]
            assert set(got[0]) == {"id", "type", "seq", "time", "order"}, got[0]
            move(shop, admin, orders[7], "confirmed")
            assert json.loads(open_socket.recv(PATIENCE))["order"]["status"] == "confirmed"
        with opened_at(got[-1]["seq"], ada["token"]) as open_socket:
            assert json.loads(open_socket.recv(PATIENCE))["type"] == "order.confirmed"
        with opened_at(0, admin, f"&orders={orders[7]['id']}") as open_socket:
            assert [json.loads(open_socket.recv(PATIENCE))["type"] for _ in range(2)] == ["order.placed", "order.confirmed"]


def a_hundred_reconnects_under_load():
    """Whoever comes back with the last id it has seen ends with the log: nothing twice, nothing missing, in order."""
    with Shop(processes=True) as shop:
        admin, ada, bob, product = opened(shop)
        done = threading.Event()

        def buy(token):
            count = 0
            with requests.Session() as session:
                while not done.is_set():
                    assert shop.order(token, (product["id"], 1), session=session).status_code == 201
                    count += 1
            return count
        rolled = random.Random(7)
        with ThreadPoolExecutor(4) as pool:
            buyers = [pool.submit(buy, token) for token in (ada["token"], ada["token"], bob["token"])]
            seen = {admin: [], ada["token"]: []}
            try:
                for turn in range(100):
                    for token, got in seen.items():
                        with Stream(shop, token, got[-1] if got else 0, "?types=*") as stream:
                            assert stream.reply.status == 200, stream.reply.read()
                            want = rolled.randrange(0, 30)
                            end = time.monotonic() + 5
                            while len(stream.events) < want and time.monotonic() < end:
                                time.sleep(0.002)
                        got.extend(stream.seqs())
            finally:
                done.set()
            placed = sum(b.result(PATIENCE) for b in buyers)
        in_the_log(shop, placed)
        for token, got in seen.items():
            # what administrators see has the stock's events among it, told once in a while
            whose = "type NOT LIKE 'session.%'" if token == admin else f"type LIKE 'order.%' AND user_id = '{ada['user']['id']}'"
            log = lambda: [row[0] for row in shop.rows("event.db", f"SELECT seq FROM entry WHERE {whose} ORDER BY seq")]
            with Stream(shop, token, got[-1], "?types=*") as stream:
                with contextlib.suppress(AssertionError):
                    wait_for("the rest", lambda: got + stream.seqs() == log(), 20)
                total, whole = got + stream.seqs(), log()
            assert total == whole, (len(got), len(total), len(whole), sorted(set(whole) - set(total)), sorted(set(total) - set(whole)),
                                    [(i, s) for i, s in enumerate(total) if s in total[:i]])
        print(f"  {placed} orders, {len(seen[admin])} events over 100 streams")


def tail(shop, *flags, data=True):
    where = ["--data", str(shop.folder / "data")] if data else ["--data", str(shop.folder / "nothing")]
    events_at = [] if "--events" in flags else ["--events", shop.events]
    child = subprocess.Popen([str(BUILD / "cli" / "zmart"), "tail", *events_at, *where, *flags],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = threading.Timer(60 * SLOW, child.kill)  # so that nobody reads for ever
    deadline.daemon = True
    deadline.start()
    return child


class Leak(threading.Thread):
    """Hands the shop's events on, but loses more than half of them: now of one type, now of another."""

    def __init__(self, shop):
        super().__init__(daemon=True)
        self.source = zmq.Context.instance().socket(zmq.SUB)
        self.source.setsockopt(zmq.SUBSCRIBE, b"")
        self.source.connect(shop.events)
        self.sink = zmq.Context.instance().socket(zmq.PUB)
        self.address = f"tcp://127.0.0.1:{self.sink.bind_to_random_port('tcp://127.0.0.1')}"
        self.ending, self.count = False, 0
        self.start()

    def run(self):
        rolled = random.Random(4)
        while not self.ending:
            if self.source.poll(50):
                frames = self.source.recv_multipart()
                lost = frames[0].startswith(b"order.") and rolled.random() < 0.6
                self.count += lost
                if not lost:
                    self.sink.send_multipart(frames)
        self.source.close(0)
        self.sink.close(0)


def each_type_whole(shop, got):
    """A loss shows by type: each type comes in the log's order, and what was lost may come behind what is newer of another."""
    assert sorted(e["seq"] for e in got) == [row[0] for row in log_of(shop)], got
    for type in {e["type"] for e in got}:
        seqs = [e["seq"] for e in got if e["type"] == type]
        assert seqs == sorted(seqs), (type, seqs)


def the_tail_repairs_gaps():
    with Shop() as shop:
        admin, ada, _, product = opened(shop)
        leak = Leak(shop)
        whole = tail(shop, "order", "--json", "--events", leak.address, "--after", "0", "--count", "100")
        place(shop, ada["token"], product)
        first = json.loads(whole.stdout.readline())  # it listens
        blind = tail(shop, "order", "--json", "--events", leak.address, data=False)
        for _ in range(49):
            move(shop, admin, place(shop, ada["token"], product), "confirmed")
        place(shop, ada["token"], product)
        in_the_log(shop, 100)
        got = [first] + [json.loads(line) for line in whole.stdout.read().splitlines()]
        assert whole.wait(60) == 0, whole.stderr.read()
        each_type_whole(shop, got)
        assert leak.count >= 30, leak.count
        wait_for("what was missed is told", lambda: "missed events between seq" in blind.stderr.readline())
        blind.terminate()
        blind.wait(30)
        leak.ending = True
        leak.join(10)


def the_tail_shows_the_log_and_goes_on():
    for processes in (False, True):
        with Shop(processes=processes) as shop:
            admin, ada, _, product = opened(shop)
            orders = [place(shop, ada["token"], product) for _ in range(300)]
            in_the_log(shop, 300)
            all_of_it = tail(shop, "order", "--json", "--after", "0", "--count", "303")
            some = tail(shop, "order.confirmed", "order.ship", "--after", "0", "--count", "1")
            first = json.loads(all_of_it.stdout.readline())
            assert first["seq"] == log_of(shop)[0][0] and first["data"]["order_id"] == orders[0]["id"], first
            for order in orders[:3]:
                move(shop, admin, order, "confirmed")
            lines = all_of_it.stdout.read().splitlines()
            all_of_it.wait(60)
            seqs = [first["seq"]] + [json.loads(line)["seq"] for line in lines]
            assert seqs == [row[0] for row in log_of(shop)], seqs
            assert all_of_it.returncode == 0
            text = some.communicate(timeout=60)[0]
            assert "order.confirmed" in text and orders[0]["id"] in text and orders[0]["number"] in text, text
            words = tail(shop, "--after", "0", "--count", "4")
            text = words.communicate(timeout=60)[0]
            assert "user.created" in text and "customer" in text and product["sku"] in text, text
    with Shop() as shop:
        late = tail(shop, "--after", "0", data=False)
        assert "no shop runs" in late.communicate(timeout=30)[1] and late.returncode == 1
        late = tail(shop, "_head")
        assert "topics" in late.communicate(timeout=30)[1] and late.returncode == 2


def tail_lines(child, count):
    """The next lines of a tail --json."""
    return [json.loads(child.stdout.readline()) for _ in range(count)]


def listened_from_now_on(shop, ada, product, child):
    """Places orders until the tail shows one, and reads those behind it: what came before it listened it need not show."""
    placed = []

    def shown():
        placed.append(place(shop, ada["token"], product)["id"])
        return select.select([child.stdout], [], [], 0.2)[0]
    wait_for("the tail to listen", shown, 30)
    first = tail_lines(child, 1)[0]["subject"]
    behind = placed[placed.index(first) + 1:]
    assert [e["subject"] for e in tail_lines(child, len(behind))] == behind


def told(child, words):
    """Waits until the tail says so on stderr."""
    for line in iter(child.stderr.readline, ""):
        if words in line:
            return line
    raise AssertionError(f"it ended without saying {words}")


def ended(child):
    child.terminate()
    child.wait(30)


def the_tail_outlives_event_svc():
    """Killed under it again and again, then stopped for longer than a question to it lasts."""
    with Shop(processes=True) as shop:
        _, ada, _, product = opened(shop)
        whole = tail(shop, "order.placed", "order.confirmed", "order.cancelled", "--json", "--after", "0")
        place(shop, ada["token"], product)
        got = tail_lines(whole, 1)
        for turn in range(4):
            for _ in range(5):
                place(shop, ada["token"], product)
            victim = shop.children("event-svc")[0]
            os.kill(victim, signal.SIGKILL)
            for _ in range(5):
                place(shop, ada["token"], product)
            wait_for("another event-svc", lambda: shop.children("event-svc") not in ([], [victim]))
            got += tail_lines(whole, 10)
        in_the_log(shop, 41)
        assert [e["seq"] for e in got] == [row[0] for row in log_of(shop)], got
        ended(whole)


def the_tail_follows_another_epoch():
    with Shop() as shop:
        admin, ada, _, product = opened(shop)
        child = tail(shop, "order", "--json", "--after", "0")
        for _ in range(3):
            place(shop, ada["token"], product)
        assert [e["seq"] for e in tail_lines(child, 3)] == [row[0] for row in log_of(shop)]
        shop.stop()
        with contextlib.closing(sqlite3.connect(shop.folder / "data" / "event.db")) as db:  # what a restore does
            db.execute("UPDATE stream SET epoch = epoch + 1")
            db.execute("UPDATE entry SET seq = seq + 1000000 WHERE seq >= (SELECT max(seq) FROM entry WHERE type = 'order.placed')")
            db.commit()
        shop.start()
        place(shop, ada["token"], product)
        assert "restored" in told(child, "its epoch is")
        in_the_log(shop, 4)
        assert [e["seq"] for e in tail_lines(child, 2)] == [row[0] for row in log_of(shop)][-2:]
        # begun anew: positions that were shown before come again
        shop.stop()
        for path in (shop.folder / "data").glob("event.db*"):
            path.unlink()
        shop.start()
        place(shop, ada["token"], product)
        assert "begun anew" in told(child, "its epoch is")
        in_the_log(shop, 1)
        assert [e["seq"] for e in tail_lines(child, 1)] == [row[0] for row in log_of(shop)]
        ended(child)


def the_tail_follows_a_restore():
    """A backup, an order that is not in it, and the backup again: zmart restore begins another epoch."""
    zmart = lambda *args: subprocess.run([str(BUILD / "cli" / "zmart"), *map(str, args)], check=True, timeout=120, stdout=subprocess.DEVNULL)
    with Shop() as shop:
        _, ada, _, product = opened(shop)
        child = tail(shop, "order", "--json", "--after", "0")
        for _ in range(3):
            place(shop, ada["token"], product)
        in_the_log(shop, 3)
        zmart("backup", shop.folder / "backup", "--data", shop.folder / "data")
        place(shop, ada["token"], product)
        in_the_log(shop, 4)
        seen = [e["seq"] for e in tail_lines(child, 4)]
        assert seen == [row[0] for row in log_of(shop)]
        shop.stop()
        shutil.rmtree(shop.folder / "data")
        zmart("restore", shop.folder / "backup", "--data", shop.folder / "data")
        shop.start()
        last = place(shop, ada["token"], product)
        assert "restored" in told(child, "its epoch is")
        event = tail_lines(child, 1)[0]
        assert event["subject"] == last["id"] and event["seq"] > seen[-1] + 1000, event
        ended(child)


def the_tail_tells_what_is_gone():
    """Missed, and dropped from the log before it asks."""
    with Shop("--retention-days", "1") as shop:
        _, ada, _, product = opened(shop)
        place(shop, ada["token"], product)
        in_the_log(shop, 1)
        late = tail(shop, "order", "--json", "--after", "0")
        assert tail_lines(late, 1)[0]["seq"] == log_of(shop)[0][0]
        shop.stop()
        with contextlib.closing(sqlite3.connect(shop.folder / "data" / "event.db")) as db:
            columns = "tseq, id, type, subject, source, time, user_id, traceparent, data, private_data"
            db.execute(f"INSERT INTO entry(seq, {columns}) SELECT seq + 1000, tseq + 5, id || 'x', type, subject, source, time, user_id, "
                       "traceparent, data, private_data FROM entry WHERE type = 'order.placed'")
            db.execute("DELETE FROM entry WHERE seq < 1000")
            db.execute("UPDATE topic SET tseq = tseq + 5 WHERE type = 'order.placed'")
            db.execute("UPDATE stream SET published = 2000")
            db.commit()
        shop.start()
        assert "missed events between seq" in told(late, "the log begins at")
        last = place(shop, ada["token"], product)
        assert tail_lines(late, 1)[0]["subject"] == last["id"]
        late.terminate()
        late.wait(30)


def the_tail_leaves_a_dead_line():
    """The host of the broker loses its power: no end of the connection is ever heard."""
    with Shop() as shop:
        _, ada, _, product = opened(shop)
        base = free_base()
        target = f"tcp://127.0.0.1:{shop.events_port + 1000}"
        offset = int(plane_address(target, "events").rsplit(":", 1)[1]) - shop.events_port
        with Proxy(base, f"tcp://127.0.0.1:{shop.events_port + 1000 - offset}", planes=("events",)) as proxy:
            child = tail(shop, "order", "--json", "--events", plane_address(base, "events"))
            listened_from_now_on(shop, ada, product, child)
            proxy.power_off()
            assert proxy.counts["powered_off"] == 1
            orders = [place(shop, ada["token"], product) for _ in range(5)]
            assert [e["subject"] for e in tail_lines(child, 5)] == [o["id"] for o in orders]
            wait_for("another connection", lambda: proxy.counts["connections"] == 2, 60)
            ended(child)


def the_tail_opens_with_a_key():
    with tempfile.TemporaryDirectory(prefix="zmart-keys-") as folder:
        keys = pathlib.Path(folder) / "keys"
        for name, role in (("listener", "subscriber"), ("operator", "operator")):
            subprocess.run([str(BUILD / "cli" / "zmart"), "keys", "new", name, "--role", role, "--keys", str(keys)], check=True,
                           stdout=subprocess.DEVNULL)
        with Shop("--keys", str(keys), processes=True) as shop:
            _, ada, _, product = opened(shop)
            place(shop, ada["token"], product)
            in_the_log(shop, 1)
            for name in ("listener", "operator"):  # the bus is ipc: only the tap asks for the key
                child = tail(shop, "order", "--json", "--after", "0", "--keys", str(keys), "--key", name)
                assert [e["seq"] for e in tail_lines(child, 1)] == [row[0] for row in log_of(shop)]
                ended(child)
            deaf = tail(shop, "order")
            assert "asks for keys" in deaf.communicate(timeout=60)[1] and deaf.returncode == 1


if __name__ == "__main__":
    run({f.__name__: f for f in (pages_are_the_log, long_polls_wake_at_once, streams_go_on_where_they_were, streams_have_limits,
                                positions_get_lost, the_tail_shows_the_log_and_goes_on, the_tail_repairs_gaps,
                                the_tail_outlives_event_svc, the_tail_follows_another_epoch, the_tail_follows_a_restore, the_tail_tells_what_is_gone,
                                the_tail_leaves_a_dead_line, the_tail_opens_with_a_key,
                                sockets_go_on_where_they_were, a_hundred_reconnects_under_load)})
