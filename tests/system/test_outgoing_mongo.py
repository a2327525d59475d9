"""Two webhook-svcs and two mail-svcs at once on one MongoDB (ZMART_TEST_MONGODB), some killed: every event goes out, and no
two of them work on the same one."""
import concurrent.futures
import contextlib
import os
import pathlib
import subprocess
import sys

from receiver import Receiver
from shop import BUILD, Shop, run, wait_for

URL = os.environ.get("ZMART_TEST_MONGODB")
if not URL:
    print("skipped: ZMART_TEST_MONGODB names no server")
    sys.exit(77)


class Program:
    """A program of ours beside a running shop, on its bus."""

    def __init__(self, shop, name, *flags):
        argv = pathlib.Path(f"/proc/{shop.children('order-svc')[0]}/cmdline").read_bytes().decode().split("\0")
        bus = argv[argv.index("--bus") + 1] if "--bus" in argv else next(a for a in argv if a.startswith("--bus=")).split("=", 1)[1]
        self.args = [str(BUILD / name / name), "--bus", bus, *flags]
        self.folder = shop.folder
        self.start()

    def start(self):
        self.child = subprocess.Popen(self.args, env={**os.environ, "ZMART_STORE": URL}, stderr=open(self.folder / "stderr.txt", "ab"))

    def is_ready(self):
        instance = f'"event":"ready","instance":"{pathlib.Path(self.args[0]).name}-{self.child.pid}"'
        return instance in (self.folder / "stderr.txt").read_text()

    def kill(self):
        self.child.kill()
        self.child.wait()

    def stop(self):
        self.child.terminate()
        assert self.child.wait(60) == 0, self.args


@contextlib.contextmanager
def programs(shop, name, *flags):
    two = [Program(shop, name, *flags) for _ in range(2)]
    try:
        # what happened before their first start is not theirs
        wait_for(f"both {name} to be there", lambda: all(program.is_ready() for program in two), 60)
        yield two
        for program in two:
            program.stop()
    finally:
        for program in two:
            program.kill()


def events_go_out_once_from_two_at_a_time():
    with Receiver() as receiver, Shop("--webhook-svc", "0", "--mail-svc", "0", processes=True) as shop:
        admin = shop.admin()
        product = shop.product(admin, stock=1000)
        data = shop.folder / "mails"
        with programs(shop, "webhook-svc", "--webhook-insecure-loopback", "--webhook-timeout-ms", "2000") as hooks, \
                programs(shop, "mail-svc", "--data", str(data), "--smtp-timeout-ms", "1000") as mails:
            reply = wait_for("webhooks", lambda: next(filter(lambda r: r.status_code == 201, [shop.call(
                "POST", "/api/webhooks", admin, {"url": receiver.url, "types": ["order.placed"]})]), None), 30)
            webhook = reply.json()
            buyer = shop.register("ada@example.com", "Ada")
            orders = [shop.order(buyer["token"], (product["id"], 1)).json()["id"] for _ in range(15)]
            wait_for("the first events", lambda: len(receiver.got) >= 15, 30)
            assert len(receiver.got) == 15, "nobody died, so nothing comes twice"
            hooks[0].kill()
            mails[0].kill()
            orders += [shop.order(buyer["token"], (product["id"], 1)).json()["id"] for _ in range(10)]
            hooks[0].start()
            mails[0].start()
            hooks[1].kill()
            mails[1].kill()
            orders += [shop.order(buyer["token"], (product["id"], 1)).json()["id"] for _ in range(10)]
            wait_for("every event", lambda: {b["data"]["id"] for b in receiver.bodies()} == set(orders), 60)
            wait_for("every mail", lambda: len(list((data / "mail").glob("*.eml"))) == len(orders), 60)
            listed = wait_for("the end of all deliveries", lambda: next(filter(
                lambda d: len(d) == len(orders) and all(one["state"] == "delivered" for one in d),
                [shop.call("GET", f"/api/webhooks/{webhook['id']}/deliveries", admin, params={"limit": 100}).json()["data"]]), None), 60)
            assert len({one["event_id"] for one in listed}) == len(orders)
            hooks[1].start()
            mails[1].start()
            wait_for("both to be there again", lambda: hooks[1].is_ready() and mails[1].is_ready(), 60)


def who_comes_when_there_are_too_many_goes_again():
    """Many loops write at a time, each may find 98 webhooks and add one."""
    with Shop("--webhook-svc", "0", processes=True) as shop, programs(shop, "webhook-svc", "--batch", "1"):
        admin = shop.admin()

        def ask(number):
            return shop.call("POST", "/api/webhooks", admin, {"url": f"https://example.com/{number}"}).status_code

        def kept():
            answer = shop.call("GET", "/api/webhooks", admin)
            return [webhook["id"] for webhook in answer.json()["data"]] if answer.status_code == 200 else None

        wait_for("webhooks", lambda: kept() is not None, 30)
        for webhook in kept():  # of the test before, on the same database
            assert shop.call("DELETE", f"/api/webhooks/{webhook}", admin).status_code == 204
        for number in range(98):
            assert ask(number) == 201
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(98, 106)))
        assert set(answers) <= {201, 409}, answers
        count = len(kept())
        assert count == 98 + answers.count(201) <= 100, (count, answers)

run({f.__name__: f for f in (events_go_out_once_from_two_at_a_time, who_comes_when_there_are_too_many_goes_again)})
