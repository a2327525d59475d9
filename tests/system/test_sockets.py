#!/usr/bin/python3
"""WebSockets and streams: events of every type, each shown to those who may see them, and subscriptions that change while they are open."""
import contextlib
import json
import pathlib
import resource
import select
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from shop import BUILD, SLOW, Shop, free_port, problem, run, wait_for
from sockets import Closed, Refused, Socket

PATIENCE = 10 * SLOW


def opened(shop, token, query=""):
    return Socket(shop.url.replace("http", "ws") + "/ws" + query, {"Authorization": f"Bearer {token}"})


def refused(shop, token, query, status):
    try:
        opened(shop, token, query)
    except Refused as error:
        assert error.status == status, error
        return
    raise AssertionError("the socket opened")


def heard(socket):
    return json.loads(socket.recv(PATIENCE))


def told(socket, **command):
    socket.send(json.dumps(command))
    return heard(socket)


def in_the_log(shop, admin, types, count):
    """Waits until the log has so many events of these types, which come after the call that caused them was answered. The log's head: what
    begins behind it shows none of them, although they may be published later."""
    end = time.monotonic() + PATIENCE
    while True:
        page = shop.call("GET", f"/api/events?types={types}", admin).json()
        if len(page["data"]) >= count:
            return page["head"]
        assert time.monotonic() < end, f"fewer than {count} events of {types}"
        time.sleep(0.02)


def administrators_see_every_type():
    with Shop() as shop:
        admin = shop.admin()
        ada = shop.register("ada@example.com", "Ada")
        head = in_the_log(shop, admin, "user.created", 2)
        with opened(shop, admin, f"?types=user.*,order.placed&after={head}") as of_admin, opened(shop, admin) as of_orders:
            bob = shop.register("bob@example.com", "Bob")
            event = heard(of_admin)
            assert event["type"] == "user.created" and event["subject"] == bob["user"]["id"], event
            assert set(event) == {"id", "type", "seq", "time", "subject", "data"}, event
            assert "bob@example.com" not in json.dumps(event) and "Bob" not in json.dumps(event["data"]), event
            product = shop.product(admin)
            order = shop.order(ada["token"], (product["id"], 1)).json()
            while (message := heard(of_admin))["type"] != "order.placed":
                pass
            assert message["order"] == order and "data" not in message, message
            assert heard(of_orders)["type"] == "order.placed"  # and no user's event before it
        page = shop.call("GET", "/api/events", admin).json()
        found = {e["type"]: e for e in page["data"]}
        assert {"user.created", "order.placed"} <= set(found), list(found)
        assert found["user.created"]["data"] and found["order.placed"]["data"]["id"] == order["id"]
        assert found["user.created"]["data"] == event["data"]
        assert all(e["data"] is not None for e in page["data"]), page
        of_users = shop.call("GET", "/api/events?types=user.*", admin).json()["data"]
        assert {e["type"] for e in of_users} == {"user.created"}, of_users
        stream = shop.call("GET", "/api/events/stream?types=user.*", admin, headers={"Last-Event-ID": "0"}, stream=True)
        lines = stream.iter_lines()
        line = next(line for line in lines if line.startswith(b"data: "))
        assert json.loads(line[6:]) == of_users[0]
        stream.close()


def customers_see_their_own_orders_alone():
    with Shop() as shop:
        admin, ada, bob = shop.admin(), shop.register(), shop.register()
        product = shop.product(admin)
        order = shop.order(ada["token"], (product["id"], 1)).json()
        for path in ("/api/events", "/api/events/stream"):
            problem(shop.call("GET", path + "?types=user.created", bob["token"]), 403, "forbidden", "/types")
            problem(shop.call("GET", path + "?types=user.*", bob["token"]), 403, "forbidden", "/types")
            problem(shop.call("GET", path + "?types=order.lost", bob["token"]), 400, "invalid_parameter", "/types")
        refused(shop, bob["token"], "?types=order.placed,user.created", 403)
        ticket = shop.call("POST", "/api/ws-ticket", bob["token"]).json()["ticket"]
        refused(shop, None, f"?types=foo.*&ticket={ticket}", 400)
        with opened(shop, None, f"?ticket={ticket}"):  # a typing error has not spent it
            pass
        refused(shop, bob["token"], f"?orders={order['id']}", 404)
        shown = shop.call("GET", "/api/events?types=*&wait=10", ada["token"]).json()["data"]
        assert [(e["type"], e["data"]) for e in shown] == [("order.placed", order)], shown
        assert shop.call("GET", "/api/events", bob["token"]).json()["data"] == []


def subscriptions_change_while_open():
    with Shop() as shop:
        admin, ada, bob = shop.admin(), shop.register()["token"], shop.register()["token"]
        product = shop.product(admin, stock=100)
        first, second = (shop.order(ada, (product["id"], 1)).json() for _ in range(2))
        others = shop.order(bob, (product["id"], 1)).json()
        in_the_log(shop, admin, "order.placed", 3)
        head = in_the_log(shop, admin, "user.created", 3)

        def move(order, status):
            assert shop.call("PUT", f"/api/orders/{order['id']}/status", admin, {"status": status}).status_code == 200
        with opened(shop, ada, f"?orders={first['id']}&after={head}") as socket:
            assert told(socket, subscribe={"orders": [second["id"]]}) == {
                "subscribed": {"types": [], "orders": [first["id"], second["id"]]}}
            answer = told(socket, subscribe={"orders": [others["id"]]})
            assert answer["error"]["code"] == "not_found" and others["id"] in answer["error"]["detail"], answer
            answer = told(socket, subscribe={"types": ["order.shipped", "user.*"]})
            assert answer["error"]["code"] == "forbidden", answer
            assert answer["error"]["errors"][0]["pointer"] == "/subscribe/types/1", answer
            answer = told(socket, unsubscribe={"orders": [first["id"]]})
            assert answer == {"subscribed": {"types": [], "orders": [second["id"]]}}, answer
            move(first, "confirmed")
            move(second, "confirmed")
            move(others, "confirmed")
            message = heard(socket)
            assert message["type"] == "order.confirmed" and message["order"]["id"] == second["id"], message
            assert told(socket, subscribe={"types": ["order.sh*"]})["subscribed"]["types"] == ["order.shipped"]
            move(others, "shipped")
            move(first, "shipped")
            assert heard(socket)["order"]["id"] == first["id"]
        with opened(shop, admin, "?types=order.cancelled") as socket:
            assert "user.created" in told(socket, subscribe={"types": ["user.*"]})["subscribed"]["types"]
            carl = shop.register()
            assert heard(socket)["subject"] == carl["user"]["id"]


def talking_too_much_ends_it():
    with Shop("--ws-messages", "5", "--ws-message-size", "1000") as shop:
        admin = shop.admin()

        def code_of(*messages):
            with opened(shop, admin) as socket:
                try:
                    for message in messages:
                        socket.send(message)
                    while True:
                        socket.recv(PATIENCE)
                except Closed as closed:
                    return closed.code
        assert code_of(*["{}"] * 6) == 1008
        assert code_of("x" * 1001) == 1009


def a_port_of_its_own_takes_sockets_too():
    port = free_port()
    with Shop("--ws-listen", f"127.0.0.1:{port}", "--ws-loops", "3", "--ws-user-sockets", "3") as shop:
        admin, ada, product = shop.admin(), shop.register(), None
        product = shop.product(admin)

        def at(token, query=""):
            return Socket(f"ws://127.0.0.1:{port}/ws{query}", {"Authorization": f"Bearer {token}"} if token else None)
        ticket = shop.call("POST", "/api/ws-ticket", ada["token"]).json()["ticket"]
        with at(ada["token"]) as one, at(None, f"?ticket={ticket}") as two, opened(shop, ada["token"]) as three, at(admin, "?types=order.*") as of_admin:
            order = shop.order(ada["token"], (product["id"], 1)).json()
            got = [heard(socket) for socket in (one, two, three, of_admin)]
            assert got[0]["order"] == order and got == [got[0]] * 4, got
            for token, query, status in ((None, "", 401), (None, f"?ticket={ticket}", 401), ("nonsense", "", 401),
                                         (ada["token"], "?types=user.*", 403), (ada["token"], "", 429), (admin, "?nonsense=1", 400)):
                try:
                    at(token, query)
                    raise AssertionError(f"{query} opened")
                except Refused as error:
                    assert error.status == status, (query, error)
            with at(admin, "?after=0&types=order.*") as again:
                assert heard(again) == got[0]
            assert shop.call("POST", "/api/auth/logout", ada["token"]).status_code == 204
            for socket in (one, two, three):
                try:
                    socket.recv(PATIENCE)
                except Closed as closed:
                    assert closed.code == 4001, closed.code


def so_many_handshakes_arrive_at_a_time():
    """Who comes when WS_HANDSHAKES_MAX have not sent their heads waits until one of those has had its time."""
    WS_HANDSHAKES_MAX = 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port = free_port()
    with Shop("--ws-listen", f"127.0.0.1:{port}") as shop, contextlib.ExitStack() as stack:
        admin = shop.admin()
        open_one = lambda: stack.enter_context(socket.create_connection(("127.0.0.1", port), 60 * SLOW))
        idle = [open_one() for _ in range(WS_HANDSHAKES_MAX)]
        late = open_one()
        late.sendall(f"GET /ws HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {admin}\r\n\r\n".encode())
        assert late.recv(4096).startswith(b"HTTP/1.1 101")
        gone = select.select(idle[:500], [], [], 0)[0]  # the first ones; select knows no numbers over 1023
        assert gone and all(ended(one) for one in gone), len(gone)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def ended(connection):
    try:
        return connection.recv(4096) == b"" or connection.recv(4096) == b""  # perhaps after a 408
    except ConnectionResetError:
        return True


def too_few_files_are_told():
    """The limit is raised to what the system allows; when that is too little, one line says so and what to do."""
    for soft, hard, told_so in ((1000, 3000, True), (1000, 15000, False)):
        with tempfile.TemporaryDirectory() as folder:
            process = subprocess.Popen([str(BUILD / "gateway" / "gateway"), "--port", str(free_port()), "--bus", f"ipc://{folder}/bus"],
                                       stderr=subprocess.PIPE, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)))
            time.sleep(1)
            process.terminate()
            lines = [json.loads(line) for line in process.communicate(timeout=60)[1].splitlines() if line.startswith(b"{")]
            found = [line for line in lines if line["event"] == "files.limited"]
            assert len(found) == told_so, lines
            assert not told_so or (found[0]["limit"] == hard and found[0]["needed"] > hard and "ulimit" in found[0]["message"]), found


def behind_a_proxy_clients_are_told_by_their_own_address():
    port = free_port()
    for trusted, wanted in (("127.0.0.1,192.0.2.9", "198.51.100.7"), ("10.0.0.0/8", "127.0.0.1")):
        with Shop("--trusted-proxies", trusted, "--ws-listen", f"127.0.0.1:{port}") as shop:
            admin = shop.admin()
            head = {"Authorization": f"Bearer {admin}", "X-Forwarded-For": "203.0.113.1, 198.51.100.7, 192.0.2.9"}
            for at in (shop.port, port):
                with Socket(f"ws://127.0.0.1:{at}/ws", head) as socket:
                    told(socket, subscribe={"types": ["user.*"]})
            shop.call("GET", "/api/events/stream", headers=head, stream=True).close()
            shop.call("GET", "/ws", headers={**head, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                                             "Sec-WebSocket-Key": "x"})  # refused after the guard let it pass
            log = shop.folder / "data" / "zmart.log"
            lines = lambda: [json.loads(line) for line in log.read_text().splitlines()]
            ended = lambda: [l for l in lines() if l["event"] in ("ws.closed", "stream.closed")]
            wait_for("three ends in the log", lambda: len(ended()) == 3)
            assert [l["client"] for l in ended()] == [wanted] * 3, ended()
            refusal = lambda: [l for l in lines() if l.get("route") == "other" and l.get("status") == 400]
            assert [l["client"] for l in wait_for("the refusal in the log", refusal)] == [wanted], refusal()


run({f.__name__: f for f in (administrators_see_every_type, customers_see_their_own_orders_alone, subscriptions_change_while_open,
                             talking_too_much_ends_it, a_port_of_its_own_takes_sockets_too, so_many_handshakes_arrive_at_a_time,
                             behind_a_proxy_clients_are_told_by_their_own_address, too_few_files_are_told)})
