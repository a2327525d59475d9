"""Outgoing webhooks against real receivers: signatures, retries, what is refused, what survives a kill."""
import base64
import concurrent.futures
import contextlib
import datetime
import email.utils
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import jsonschema

from receiver import Receiver
from shop import BUILD, Shop, problem, run, wait_for

ADDRESS = {"name": "Ada", "line1": "1 Way", "city": "Rome", "postal_code": "00100", "country": "IT"}
LOOPBACK = ("--webhook-insecure-loopback", "--webhook-retry-permille", "1")


def signature(secret, got):
    head = f"{got['headers']['webhook-id']}.{got['headers']['webhook-timestamp']}.".encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(key, head + got["body"], hashlib.sha256).digest()).decode()


def signed(secret, got):
    return signature(secret, got) in got["headers"]["webhook-signature"].split(" ")


def verifier():
    """A node module of the people who wrote the specification; None where it cannot be had."""
    folder = BUILD / "tests" / "verifier"
    if not shutil.which("node") or not shutil.which("npm"):
        print("skipped: signatures by an independent library (node and npm are not here)", flush=True)
        return None
    if not (folder / "node_modules" / "standardwebhooks").exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--fetch-retries=0", "--prefix", str(folder), "standardwebhooks@1"],
                           capture_output=True, timeout=60, cwd=folder, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            print("skipped: signatures by an independent library (npm cannot get it)", flush=True)
            return None
    return folder


def verified(folder, secret, got):
    """What the library says of one request: True if it takes it."""
    program = """
        const { Webhook } = require("standardwebhooks");
        const { secret, headers, body } = JSON.parse(require("fs").readFileSync(0, "utf8"));
        new Webhook(secret).verify(body, headers);
    """
    headers = {name: got["headers"][name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    done = subprocess.run(["node", "-e", program], cwd=folder, text=True, capture_output=True, timeout=30,
                          input=json.dumps({"secret": secret, "headers": headers, "body": got["body"].decode()}))
    return done.returncode == 0


def hook(shop, admin, url, **fields):
    reply = shop.call("POST", "/api/webhooks", admin, {"url": url, **fields})
    assert reply.status_code == 201, reply.text
    return reply.json()


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def place(shop, token, product):
    reply = shop.call("POST", "/api/orders", token, {"items": [{"product_id": product["id"], "quantity": 1}],
                                                     "shipping_address": ADDRESS})
    assert reply.status_code == 201, reply.text
    return reply.json()


def deliveries(shop, admin, webhook, **params):
    reply = shop.call("GET", f"/api/webhooks/{webhook['id']}/deliveries", admin, params=params)
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


def delivery_when(shop, admin, webhook, what, test):
    return wait_for(what, lambda: next(filter(test, deliveries(shop, admin, webhook)), None), 20)


# ---- tests ----

def orders_are_posted_and_signed():
    library = verifier()
    for processes in (False, True):
        with Receiver() as receiver, Shop(*LOOPBACK, processes=processes) as shop:
            admin = shop.admin()
            product = shop.product(admin, stock=100)
            webhook = hook(shop, admin, receiver.url, types=["order.*"], description="stock")
            assert webhook["secret"].startswith("whsec_") and webhook["active"], webhook
            order = place(shop, admin, product)
            shop.call("PUT", f"/api/orders/{order['id']}/status", admin, {"status": "confirmed"})
            wait_for("two events", lambda: len(receiver.got) == 2)
            first = receiver.got[0]
            body = json.loads(first["body"])
            assert body["type"] == "order.placed" and body["data"] == order and set(body) == {"type", "timestamp", "data"}, body
            assert first["headers"]["Content-Type"] == "application/json", first["headers"]
            listed = shop.call("GET", "/api/events", admin, params={"types": "order.*"}).json()["data"]
            assert [got["headers"]["webhook-id"] for got in receiver.got] == [event["id"] for event in listed]
            assert abs(int(first["headers"]["webhook-timestamp"]) - time.time()) < 60
            for got in receiver.got:
                assert signed(webhook["secret"], got), got["headers"]
                if library:
                    assert verified(library, webhook["secret"], got)
                    assert not verified(library, webhook["secret"], {**got, "body": got["body"] + b" "})
            done = delivery_when(shop, admin, webhook, "the log of deliveries", lambda d: d["state"] == "delivered")
            assert done["attempts"][0]["status"] == 204 and done["tries"] == 1 and done["next_at"] is None, done


def a_burst_is_posted_in_the_logs_order():
    with Receiver() as receiver, Shop(*LOOPBACK, "--webhook-timeout-ms", "60000") as shop:
        admin = shop.admin()
        product = shop.product(admin, stock=1000)
        webhook = hook(shop, admin, receiver.url, types=["order.placed"])
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: place(shop, admin, product), range(200)))
        wait_for("all of them", lambda: len(receiver.got) >= 200, 30)
        log = []
        while page := shop.call("GET", "/api/events", admin,
                                params={"types": "order.placed", "after": log[-1]["seq"] if log else 0}).json()["data"]:
            log += page
        assert [got["headers"]["webhook-id"] for got in receiver.got] == [event["id"] for event in log]
        wait_for("their end", lambda: all(d["tries"] == 1 and d["state"] == "delivered"
                                          for d in deliveries(shop, admin, webhook, limit=100)))


def what_takes_too_long_is_tried_again():
    hold = threading.Event()
    with Receiver(lambda got: (hold.wait(60), (200, {}, b""))[1]) as slow, \
            Shop(*LOOPBACK, "--webhook-timeout-ms", "300") as shop:
        admin = shop.admin()
        webhook = hook(shop, admin, slow.url, types=["order.placed"])
        place(shop, admin, shop.product(admin))
        tried = delivery_when(shop, admin, webhook, "a second attempt", lambda d: d["tries"] >= 2)
        first = tried["attempts"][0]
        assert first["status"] is None and "timed out" in first["error"] and first["duration_ms"] >= 300, tried
        hold.set()
        delivery_when(shop, admin, webhook, "the good end", lambda d: d["state"] == "delivered")


def a_log_that_does_not_reach_back_is_told_of():
    with Receiver() as receiver:
        shop = Shop(*LOOPBACK)
        with shop:
            admin = shop.admin()
            product = shop.product(admin, stock=100)
            hook(shop, admin, receiver.url, types=["order.placed"])
            place(shop, admin, product)
            wait_for("the first", lambda: len(receiver.got) == 1)
            shop.stop()
            shop.flags += ["--webhook-svc", "0"]
            shop.start()
            for _ in range(3):
                place(shop, admin, product)
            wait_for("the log to have them", lambda: len(shop.call("GET", "/api/events", admin, params={"types": "order.placed"})
                                                         .json()["data"]) == 4)
            shop.stop()
            with contextlib.closing(sqlite3.connect(shop.folder / "data" / "event.db")) as db, db:
                db.execute("DELETE FROM entry WHERE seq < (SELECT MAX(seq) FROM entry)")  # as retention does
            shop.flags = list(LOOPBACK)
            shop.start()
            wait_for("the line", lambda: '"log.position_lost"' in (shop.folder / "data" / "zmart.log").read_text())
            last = place(shop, admin, product)
            wait_for("what comes after", lambda: last["id"] in [body["data"]["id"] for body in receiver.bodies()])
            # and a log that begins anew is read from its start: nothing that was posted is posted again
            shop.stop()
            for path in (shop.folder / "data").glob("event.db*"):
                if not path.name.endswith(".lock"):
                    path.unlink()
            before = len(receiver.got)
            shop.start()
            new = place(shop, admin, product)
            wait_for("the new log's first", lambda: new["id"] in [body["data"]["id"] for body in receiver.bodies()], 20)
            assert len(receiver.got) == before + 1


def secrets_are_shown_once_and_rotate_with_an_overlap():
    with Receiver() as receiver, Shop(*LOOPBACK, "--webhook-overlap-s", "3600") as shop:
        admin = shop.admin()
        product = shop.product(admin, stock=100)
        webhook = hook(shop, admin, receiver.url, types=["order.placed"])
        old = webhook["secret"]
        for path in ("", f"/{webhook['id']}"):
            assert old not in shop.call("GET", "/api/webhooks" + path, admin).text
        rotated = shop.call("POST", f"/api/webhooks/{webhook['id']}/rotate", admin, key="once")
        again = shop.call("POST", f"/api/webhooks/{webhook['id']}/rotate", admin, key="once")
        new = rotated.json()["secret"]
        assert rotated.status_code == again.status_code == 200 and new != old
        assert again.json()["secret"] == new and again.headers["Idempotent-Replayed"] == "true"
        place(shop, admin, product)
        got = wait_for("an event", lambda: receiver.got)[0]
        assert signed(new, got) and signed(old, got) and len(got["headers"]["webhook-signature"].split()) == 2
        log = (shop.folder / "data" / "zmart.log").read_text()
        assert old not in log and new not in log
    with Receiver() as receiver, Shop(*LOOPBACK, "--webhook-overlap-s", "0") as shop:
        admin = shop.admin()
        webhook = hook(shop, admin, receiver.url, types=["order.placed"])
        new = shop.call("POST", f"/api/webhooks/{webhook['id']}/rotate", admin).json()["secret"]
        shop.call("POST", f"/api/webhooks/{webhook['id']}/test", admin)
        got = wait_for("the test", lambda: receiver.got)[0]
        assert signed(new, got) and not signed(webhook["secret"], got)


def failures_are_tried_again_until_given_up():
    with Receiver() as receiver, Shop(*LOOPBACK, "--webhook-stop-after", "1", "--webhook-retry-permille", "0") as shop:
        admin = shop.admin()
        product = shop.product(admin, stock=100)
        webhook = hook(shop, admin, receiver.url, types=["order.placed"])
        receiver.answer = lambda got: (500, {}, b"no") if len(receiver.got) < 3 else (200, {}, b"yes")
        place(shop, admin, product)
        done = delivery_when(shop, admin, webhook, "the third attempt", lambda d: d["state"] == "delivered")
        assert [a["status"] for a in done["attempts"]] == [500, 500, 200], done
        assert len({got["headers"]["webhook-id"] for got in receiver.got}) == 1
        assert len({got["body"] for got in receiver.got}) == 1
        assert all(signed(webhook["secret"], got) for got in receiver.got)
        receiver.answer = lambda got: (503, {}, b"")
        place(shop, admin, product)
        lost = delivery_when(shop, admin, webhook, "the end of patience", lambda d: d["state"] == "failed")
        assert lost["tries"] == 10 and len(lost["attempts"]) == 10, lost
        shown = shop.call("GET", f"/api/webhooks/{webhook['id']}", admin).json()
        assert not shown["active"] and "given up" in shown["stopped"], shown
        problem(shop.call("POST", f"/api/webhooks/{webhook['id']}/deliveries/{lost['id']}/redeliver", admin), 409)
        # made active again, and asked for again
        receiver.answer = lambda got: (200, {}, b"")
        shown = shop.call("PUT", f"/api/webhooks/{webhook['id']}", admin, {"active": True}).json()
        assert shown["active"] and shown["stopped"] is None and shown["failures"] == 0, shown
        before = len(receiver.got)
        asked = [shop.call("POST", f"/api/webhooks/{webhook['id']}/deliveries/{lost['id']}/redeliver", admin, key="k")
                 for _ in range(2)]
        assert [reply.status_code for reply in asked] == [202, 202], asked[0].text
        done = delivery_when(shop, admin, webhook, "the redelivery", lambda d: d["id"] == lost["id"] and d["state"] == "delivered")
        assert done["tries"] == 1 and receiver.got[-1]["headers"]["webhook-id"] == lost["event_id"], done
        asked.append(shop.call("POST", f"/api/webhooks/{webhook['id']}/deliveries/{lost['id']}/redeliver", admin, key="k"))
        assert asked[0].json() == asked[1].json() == asked[2].json() and asked[0].json()["state"] == "pending", [a.text for a in asked]
        assert [a.headers.get("Idempotent-Replayed") for a in asked] == [None, "true", "true"]
        assert len(receiver.got) == before + 1  # the key was used twice


def retries_wait_as_long_as_they_should():
    with Receiver(lambda got: (500, {}, b"")) as receiver, Shop(*LOOPBACK, "--webhook-retry-permille", "200") as shop:
        admin = shop.admin()
        webhook = hook(shop, admin, receiver.url, types=["order.placed"])
        place(shop, admin, shop.product(admin))
        wait_for("a second attempt", lambda: len(receiver.got) == 2)
        assert receiver.got[1]["at"] - receiver.got[0]["at"] >= 1, "5 s, a fifth of it"
        waiting = delivery_when(shop, admin, webhook, "the third being due", lambda d: d["tries"] == 2)
        wait = moment(waiting["next_at"]) - moment(waiting["attempts"][1]["at"])
        assert 59 <= wait.total_seconds() <= 102, waiting  # 5 min, a fifth of it, and up to a fifth more


def a_receiver_that_asks_for_time_gets_it():
    quiet, answers = 2, iter([(429, {"Retry-After": "2"}, b"")])
    with Receiver(lambda got: next(answers, (200, {}, b""))) as receiver, Shop(*LOOPBACK) as shop:
        admin = shop.admin()
        product = shop.product(admin, stock=10)
        webhook = hook(shop, admin, receiver.url, types=["order.placed"])
        place(shop, admin, product)
        asked = wait_for("its wish", lambda: shop.call("GET", f"/api/webhooks/{webhook['id']}", admin).json()["quiet_until"])
        place(shop, admin, product)  # another event, which is held back as well
        wait_for("both orders", lambda: len(receiver.got) == 3)
        assert receiver.got[1]["at"] - receiver.got[0]["at"] >= quiet, [got["at"] for got in receiver.got]
        wait_for("their end", lambda: all(d["state"] == "delivered" for d in deliveries(shop, admin, webhook)))
        assert shop.call("GET", f"/api/webhooks/{webhook['id']}", admin).json()["quiet_until"] is None, asked
        # a date; an hour: the shop lets nobody ask for more than it is told to
        until = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(hours=1)
        receiver.answer = lambda got: (503, {"Retry-After": email.utils.format_datetime(until, usegmt=True)}, b"")
        place(shop, admin, product)
        asked = wait_for("its wish", lambda: shop.call("GET", f"/api/webhooks/{webhook['id']}", admin).json()["quiet_until"])
        assert abs(moment(asked) - until).total_seconds() <= 5, asked
        waiting = delivery_when(shop, admin, webhook, "the next attempt", lambda d: d["state"] == "pending" and d["tries"] == 1)
        assert moment(waiting["next_at"]) - until >= datetime.timedelta(seconds=-5), waiting
        # an administrator who makes it active again does not wait for that
        receiver.answer = lambda got: (503, {"Retry-After": "not a time"}, b"")
        shown = shop.call("PUT", f"/api/webhooks/{webhook['id']}", admin, {"active": True}).json()
        assert shown["quiet_until"] is None, shown
        shop.call("POST", f"/api/webhooks/{webhook['id']}/test", admin)
        delivery_when(shop, admin, webhook, "a test's end", lambda d: d["type"] == "webhook.test" and d["state"] == "failed")
        assert shop.call("GET", f"/api/webhooks/{webhook['id']}", admin).json()["quiet_until"] is None
    for most in (0, 60):
        with Receiver(lambda got: (503, {"Retry-After": "999999999999"}, b"")) as receiver, \
                Shop(*LOOPBACK, "--webhook-retry-after-s", str(most)) as shop:
            admin = shop.admin()
            webhook = hook(shop, admin, receiver.url, types=["order.placed"])
            place(shop, admin, shop.product(admin))
            tried = delivery_when(shop, admin, webhook, "an attempt", lambda d: d["attempts"])
            asked = shop.call("GET", f"/api/webhooks/{webhook['id']}", admin).json()["quiet_until"]
            if most == 0:
                assert asked is None, asked
            else:
                began = moment(tried["attempts"][0]["at"])
                assert 60 <= (moment(asked) - began).total_seconds() <= 120, (asked, tried)


def gone_means_gone_and_redirections_are_refused():
    with Receiver() as elsewhere, Receiver(lambda got: (302, {"Location": elsewhere.url}, b"")) as moved, \
            Receiver(lambda got: (410, {}, b"")) as gone, \
            Shop(*LOOPBACK, "--webhook-answer-size", "1000") as shop:
        admin = shop.admin()
        product = shop.product(admin, stock=100)
        of_moved, of_gone = (hook(shop, admin, receiver.url, types=["order.placed"]) for receiver in (moved, gone))
        place(shop, admin, product)
        stopped = wait_for("its end", lambda: [w for w in shop.call("GET", "/api/webhooks", admin).json()["data"]
                                               if not w["active"]])
        assert [w["id"] for w in stopped] == [of_gone["id"]] and "410" in stopped[0]["stopped"], stopped
        tried = delivery_when(shop, admin, of_moved, "an attempt", lambda d: d["attempts"])
        assert tried["attempts"][0]["status"] == 302 and "edirect" in tried["attempts"][0]["error"], tried
        place(shop, admin, product)
        wait_for("the second order", lambda: len({g["headers"]["webhook-id"] for g in moved.got}) == 2)
        assert len(gone.got) == 1 and not elsewhere.got
        # an answer that does not end is not read to its end
        moved.answer = lambda got: (200, {}, b"x" * 5000)
        asked = shop.call("POST", f"/api/webhooks/{of_moved['id']}/test", admin, key="once")
        test = delivery_when(shop, admin, of_moved, "the test", lambda d: d["type"] == "webhook.test" and d["attempts"])
        assert test["state"] == "failed" and "too long" in test["attempts"][0]["error"], test
        again = shop.call("POST", f"/api/webhooks/{of_moved['id']}/test", admin, key="once")
        assert again.json() == asked.json() and again.headers["Idempotent-Replayed"] == "true", again.text


def what_a_refusal_asks_for_counts_however_long_it_is():
    with Receiver() as receiver, Shop(*LOOPBACK, "--webhook-answer-size", "1000") as shop:
        admin = shop.admin()
        webhook = hook(shop, admin, receiver.url, types=["order.placed"])
        for status, headers in ((503, {"Retry-After": "3600"}), (410, {})):
            receiver.answer = lambda got, status=status, headers=headers: (status, headers, b"x" * 5000)
            asked = shop.call("PUT", f"/api/webhooks/{webhook['id']}", admin, {"active": True}).json()
            assert asked["quiet_until"] is None, asked
            test = shop.call("POST", f"/api/webhooks/{webhook['id']}/test", admin).json()
            test = delivery_when(shop, admin, webhook, "the attempt", lambda d: d["id"] == test["id"] and d["attempts"])
            assert test["attempts"][0]["status"] == status and test["attempts"][0]["error"] is None, test
            shown = shop.call("GET", f"/api/webhooks/{webhook['id']}", admin).json()
            if status == 503:
                assert (moment(shown["quiet_until"]) - moment(test["attempts"][0]["at"])).total_seconds() >= 3600, shown
        assert not shown["active"] and "410" in shown["stopped"], shown


def addresses_inside_are_refused():
    with Receiver() as receiver, Shop("--webhook-retry-permille", "1") as shop:
        admin = shop.admin()
        for url in ("http://example.com/", "https://127.0.0.1/", "https://169.254.169.254/latest/", "https://[::1]/",
                    "https://10.1.2.3/", "https://192.168.0.1/", "https://172.16.9.9/", "https://100.64.0.1/", "https://0.0.0.0/",
                    "https://[fe80::1]/", "https://[fd00::1]/", "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/",
                    "https://224.0.0.1/", "https://0x7f.1/", "https://2130706433/", "https://me:secret@example.com/",
                    "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "https://", "nonsense",
                    "https://example.com/#here"):
            problem(shop.call("POST", "/api/webhooks", admin, {"url": url}), 400, "invalid_body", "/url")
        # a name shows only when it is resolved: this one is 127.0.0.1 and ::1
        webhook = hook(shop, admin, f"https://localhost:{receiver.port}/hook", types=["order.placed"])
        shop.call("POST", f"/api/webhooks/{webhook['id']}/test", admin)
        test = delivery_when(shop, admin, webhook, "the attempt", lambda d: d["attempts"])
        assert test["state"] == "failed" and "public" in test["attempts"][0]["error"], test
        assert test["attempts"][0]["status"] is None and not receiver.got
        problem(shop.call("PUT", f"/api/webhooks/{webhook['id']}", admin, {"url": "https://10.0.0.1/"}), 400, "invalid_body", "/url")


def certificates_are_checked():
    folder = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / f"zmart-tls-{os.getpid()}"
    folder.mkdir()
    try:
        cert, key = folder / "cert.pem", folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        with Receiver(tls=(cert, key)) as receiver:
            for flags, state in (((), "failed"), (("--webhook-ca", str(cert)), "delivered")):
                with Shop(*LOOPBACK, *flags) as shop:
                    admin = shop.admin()
                    webhook = hook(shop, admin, receiver.url, types=["order.placed"])
                    shop.call("POST", f"/api/webhooks/{webhook['id']}/test", admin)
                    test = delivery_when(shop, admin, webhook, "the attempt", lambda d: d["attempts"])
                    assert test["state"] == state, test
            assert len(receiver.got) == 1
    finally:
        shutil.rmtree(folder)


def a_silent_receiver_delays_nobody():
    hold = threading.Event()
    with Receiver(lambda got: (hold.wait(60), (200, {}, b""))[1]) as silent, Receiver() as quick, \
            Shop(*LOOPBACK, "--webhook-timeout-ms", "60000") as shop:
        admin = shop.admin()
        product = shop.product(admin, stock=100)
        for _ in range(5):
            hook(shop, admin, silent.url, types=["order.placed"])
        hook(shop, admin, quick.url, types=["order.placed"])
        orders = [place(shop, admin, product)["id"] for _ in range(20)]
        wait_for("all of the quick one", lambda: len(quick.got) == 20)
        assert sorted(body["data"]["id"] for body in quick.bodies()) == sorted(orders)
        wait_for("what is begun at a time", lambda: len(silent.got) == 5)  # one each
        hold.set()


def so_many_posts_and_so_many_webhooks():
    """--webhook-each posts to one webhook are under way at a time; a shop has 100 webhooks at most."""
    hold = threading.Event()
    with Receiver(lambda got: (hold.wait(120), (200, {}, b""))[1]) as slow, Receiver() as quick, \
            Shop(*LOOPBACK, "--webhook-timeout-ms", "60000", "--webhook-each", "3") as shop:
        admin = shop.admin()
        product = shop.product(admin, stock=100)
        for receiver in (slow, quick):
            hook(shop, admin, receiver.url, types=["order.placed"])
        for _ in range(6):
            place(shop, admin, product)
        wait_for("all of the quick one", lambda: len(quick.got) == 6)
        wait_for("three of the slow one", lambda: len(slow.got) >= 3)
        assert len(slow.got) == 3
        hold.set()
        wait_for("the others", lambda: len(slow.got) == 6, 30)
        for number in range(2, 100):
            hook(shop, admin, f"{quick.url}/{number}", types=["order.cancelled"])
        problem(shop.call("POST", "/api/webhooks", admin, {"url": quick.url}), 409, "conflict")


def a_receiver_that_takes_nothing_in_is_stopped():
    hold = threading.Event()
    with Receiver(lambda got: (hold.wait(60), (200, {}, b""))[1]) as silent, \
            Shop(*LOOPBACK, "--webhook-timeout-ms", "60000", "--webhook-backlog", "5") as shop:
        admin = shop.admin()
        product = shop.product(admin, stock=100)
        webhook = hook(shop, admin, silent.url, types=["order.placed"])

        def stopped():
            place(shop, admin, product)
            return not shop.call("GET", f"/api/webhooks/{webhook['id']}", admin).json()["active"]
        wait_for("its end", stopped, 20)
        shown = shop.call("GET", f"/api/webhooks/{webhook['id']}", admin).json()
        assert shown["stopped"] == "5 deliveries wait for it; more are not kept.", shown
        waiting = deliveries(shop, admin, webhook, limit=100, state="pending")
        assert 5 <= len(waiting) < 20, waiting  # a page of the log is taken whole
        hold.set()  # and what waits is not lost
        shop.call("PUT", f"/api/webhooks/{webhook['id']}", admin, {"active": True})
        wait_for("those that waited", lambda: not deliveries(shop, admin, webhook, state="pending"), 20)
        assert {d["event_id"] for d in waiting} <= {got["headers"]["webhook-id"] for got in silent.got}
        assert shop.call("GET", f"/api/webhooks/{webhook['id']}", admin).json()["active"]


def a_kill_loses_nothing():
    with Receiver() as receiver, Shop(*LOOPBACK, "--webhook-timeout-ms", "1000", processes=True) as shop:
        admin = shop.admin()
        product = shop.product(admin, stock=1000)
        webhook = hook(shop, admin, receiver.url, types=["order.placed"])
        kills = threading.Event()

        def answer(got):
            if not kills.is_set() and len(receiver.got) % 7 == 3:
                for pid in shop.children("webhook-svc"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)  # while it waits for this answer
            return 200, {}, b""

        receiver.answer = answer
        orders = []
        for _ in range(25):
            orders.append(place(shop, admin, product)["id"])
        wait_for("three kills", lambda: len(receiver.got) >= 18, 60)
        kills.set()
        wait_for("every order", lambda: {b["data"]["id"] for b in receiver.bodies()} == set(orders), 60)
        wait_for("the end of all deliveries", lambda: all(d["state"] == "delivered" for d in
                                                          deliveries(shop, admin, webhook, limit=100)), 60)
        assert len(deliveries(shop, admin, webhook, limit=100)) == 25
        ids = {}
        for got in receiver.got:
            ids.setdefault(got["headers"]["webhook-id"], set()).add(got["body"])
        assert len(ids) == 25 and all(len(bodies) == 1 for bodies in ids.values())  # what came twice can be told
        assert len(receiver.got) > 25, "some came twice, because their answers were lost"


def a_shop_that_was_away_goes_on_where_it_was():
    with Receiver() as receiver:
        shop = Shop(*LOOPBACK)
        with shop:
            admin = shop.admin()
            product = shop.product(admin, stock=100)
            hook(shop, admin, receiver.url, types=["order.placed"])
            place(shop, admin, product)
            wait_for("the first", lambda: len(receiver.got) == 1)
            shop.stop()
            shop.flags += ["--webhook-svc", "0"]
            shop.start()
            away = shop.call("GET", "/api/webhooks", admin)  # it is told as what it is: away, and not as a path that is not there
            problem(away, 503, "service_unavailable")
            assert int(away.headers["Retry-After"]) >= 1 and "allowed" not in away.json(), away.text
            missed = place(shop, admin, product)
            shop.stop()
            shop.flags = list(LOOPBACK)
            shop.start()
            wait_for("the one that was missed", lambda: len(receiver.got) == 2)
            assert receiver.bodies()[1]["data"]["id"] == missed["id"]


def a_restored_shop_goes_on_posting():
    with Receiver() as receiver, Shop(*LOOPBACK) as shop:
        admin = shop.admin()
        product = shop.product(admin, stock=100)
        webhook = hook(shop, admin, receiver.url, types=["order.placed"])
        place(shop, admin, product)
        delivery_when(shop, admin, webhook, "the first", lambda d: d["state"] == "delivered")
        file = shop.folder / "backup"
        zmart = str(BUILD / "cli" / "zmart")
        for args in (["backup", str(file), "--data", str(shop.folder / "data")], ["restore", str(file), "--data", str(shop.folder / "new")]):
            done = subprocess.run([zmart, *args], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done
        listed = shop.call("GET", "/api/webhooks", admin).json()
        told = deliveries(shop, admin, webhook)
        shop.stop()
        shutil.rmtree(shop.folder / "data")
        (shop.folder / "new").rename(shop.folder / "data")
        shop.start()
        admin = shop.call("POST", "/api/auth/login", body={"email": "admin@example.com", "password": "password"}).json()["token"]
        assert shop.call("GET", "/api/webhooks", admin).json() == listed
        assert deliveries(shop, admin, webhook) == told
        order = place(shop, admin, product)
        wait_for("the new order", lambda: order["id"] in [body["data"]["id"] for body in receiver.bodies()])
        assert len(receiver.got) == 2 and signed(webhook["secret"], receiver.got[1])


def what_is_posted_is_as_described():
    with Receiver() as receiver, Shop(*LOOPBACK) as shop:
        described = shop.call("GET", "/openapi.json").json()
        admin = shop.admin()
        webhook = hook(shop, admin, receiver.url)  # all types
        product = shop.product(admin, stock=10)
        place(shop, admin, product)
        shop.call("PUT", f"/api/products/{product['id']}", admin, {"name": "Another"})
        shop.call("POST", f"/api/webhooks/{webhook['id']}/test", admin)
        wanted = {"product.created", "order.placed", "product.updated", "webhook.test"}
        wait_for("one of each", lambda: wanted <= {body["type"] for body in receiver.bodies()})
        for body in receiver.bodies():
            posted = described["webhooks"][body["type"]]["post"]["requestBody"]["content"]["application/json"]["schema"]
            jsonschema.Draft202012Validator({**posted, "components": described["components"]}).validate(body)
        assert "requestBody" not in described["paths"]["/api/webhooks/{id}/rotate"]["post"]


def administrators_alone_and_bad_input():
    with Receiver() as receiver, Shop(*LOOPBACK) as shop:
        admin = shop.admin()
        ada = shop.register("ada@example.com", "Ada")["token"]
        webhook = hook(shop, admin, receiver.url, types=["order.placed"])
        path = f"/api/webhooks/{webhook['id']}"
        for method, where in (("POST", "/api/webhooks"), ("GET", "/api/webhooks"), ("GET", path), ("PUT", path), ("DELETE", path),
                              ("POST", path + "/rotate"), ("POST", path + "/test"), ("GET", path + "/deliveries"),
                              ("POST", path + "/deliveries/whd_x/redeliver")):
            body = {"url": receiver.url} if where == "/api/webhooks" and method == "POST" else {} if method == "PUT" else None
            problem(shop.call(method, where, ada, body), 403, "forbidden")
            problem(shop.call(method, where, None, body), 401, "unauthenticated")
        for body, pointer in (({}, "/url"), ({"url": receiver.url, "types": ["Order"]}, "/types/0"), ({"url": 1}, "/url"),
                              ({"url": receiver.url, "types": ["order.*", "*x"]}, "/types/1"), ({"url": receiver.url, "types": ["foo.*"]}, "/types/0"),
                              ({"url": receiver.url, "secret": "whsec_x"}, "/secret"),
                              ({"url": receiver.url, "types": ["a.b"] * 33}, "/types"),
                              ({"url": "https://example.com/" + "x" * 2000}, "/url")):
            problem(shop.call("POST", "/api/webhooks", admin, body), 400, "invalid_body", pointer)
        problem(shop.call("GET", "/api/webhooks/whk_none", admin), 404, "not_found")
        problem(shop.call("POST", path + "/deliveries/whd_none/redeliver", admin), 404, "not_found")
        problem(shop.call("PUT", path, admin, {"active": False}, headers={"If-Match": '"7"'}), 412)
        once = [shop.call("POST", "/api/webhooks", admin, {"url": receiver.url}, key="k") for _ in range(2)]
        assert once[0].json() == once[1].json() and once[0].headers["Location"] == f"/api/webhooks/{once[0].json()['id']}"
        problem(shop.call("POST", "/api/webhooks", admin, {"url": receiver.url, "active": False}, key="k"), 422)
        for _ in range(98):
            hook(shop, admin, receiver.url, active=False)
        problem(shop.call("POST", "/api/webhooks", admin, {"url": receiver.url}), 409)
        for i in range(5):
            shop.call("POST", path + "/test", admin)
        wait_for("five tests", lambda: len(receiver.bodies("webhook.test")) == 5)
        page = shop.call("GET", path + "/deliveries", admin, params={"limit": 3}).json()
        rest = shop.call("GET", path + "/deliveries", admin, params={"limit": 3, "cursor": page["next_cursor"]}).json()
        assert page["has_more"] and not rest["has_more"] and len({d["id"] for d in page["data"] + rest["data"]}) == 5
        assert shop.call("DELETE", path, admin).status_code == 204
        problem(shop.call("GET", path, admin), 404)


run({f.__name__: f for f in (
    orders_are_posted_and_signed, a_burst_is_posted_in_the_logs_order, what_takes_too_long_is_tried_again,
    a_log_that_does_not_reach_back_is_told_of, secrets_are_shown_once_and_rotate_with_an_overlap, failures_are_tried_again_until_given_up,
    retries_wait_as_long_as_they_should, a_receiver_that_asks_for_time_gets_it, gone_means_gone_and_redirections_are_refused, what_a_refusal_asks_for_counts_however_long_it_is, addresses_inside_are_refused,
    certificates_are_checked, a_silent_receiver_delays_nobody, so_many_posts_and_so_many_webhooks, a_receiver_that_takes_nothing_in_is_stopped, a_kill_loses_nothing, a_shop_that_was_away_goes_on_where_it_was, a_restored_shop_goes_on_posting, what_is_posted_is_as_described,
    administrators_alone_and_bad_input)})
