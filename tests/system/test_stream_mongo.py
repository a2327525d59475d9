"""Two event-svcs at once on one MongoDB (ZMART_TEST_MONGODB), killed at any step under load: one log without a gap, and whoever
listens ends with it."""
import collections
import os
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pymongo
import requests

URL = os.environ.get("ZMART_TEST_MONGODB")
if not URL:
    print("skipped: ZMART_TEST_MONGODB names no server")
    sys.exit(77)

from listener import Listener
from rack import Rack, running
from shop import SLOW, run, wait_for

KILLS = 10


def buy(rack, token, product, done):
    """Orders, each with a key and repeated until it is answered; -> their ids."""
    placed = []
    with requests.Session() as session:
        while not done.is_set():
            key = f"{token[-8:]}-{len(placed)}"
            reply = rack.order(token, (product["id"], 1), key=key, session=session)
            if reply.status_code == 201:
                placed.append(reply.json()["id"])
            else:
                assert reply.status_code in (502, 503, 504), reply.text
    return placed


def killed_at_steps(rack, event_svcs, rolled):
    """Sometimes one of them, sometimes both: before and after what they store, and between the parts of what they send."""
    for _ in range(KILLS):
        victims = rolled.sample(event_svcs, rolled.choice((1, 1, 2)))
        for victim in victims:
            rack.shims[victim.instance].kill_after(rolled.randrange(1, 30))
        for victim in victims:
            wait_for(f"{victim.instance} to die", lambda: not victim.alive(), 30, 0.005)
            rack.shims[victim.instance].kill_after(0)
            victim.start()


def two_event_svcs_make_one_log():
    log = lambda: list(pymongo.MongoClient(URL).get_default_database()["event_log"].find({}, {"_id": 1, "id": 1, "type": 1, "subject": 1}).sort("_id"))
    names = ("event-svc-0", "event-svc-1")
    with Rack(services=("product-svc", "user-svc", "order-svc"), shimmed=names) as rack:
        event_svcs = [rack.make("event-svc", name, ["--bus", rack.bases[0], "--store", URL]).start() for name in names]
        admin = rack.admin()
        buyers = [rack.register()["token"] for _ in range(3)]
        product, done = rack.product(admin, stock=1000000), threading.Event()
        listener = Listener(f"ipc://{rack.run_folder}/tap0")
        with running(listener), ThreadPoolExecutor(3) as pool:
            listener.hears()
            at_work = [pool.submit(buy, rack, token, product, done) for token in buyers]
            try:
                killed_at_steps(rack, event_svcs, random.Random(14))
            finally:
                done.set()
            placed = [order for one in at_work for order in one.result(60 * SLOW)]
            told = lambda: {e["subject"] for e in log() if e["type"] == "order.placed"}
            wait_for("every order in the log", lambda: set(placed) <= told(), 60, 0.2)
            newest = [e["_id"] for e in log() if e["type"] == "order.placed"][-1]
            wait_for("the newest event", lambda: any(e.seq == newest for e in listener.events), 30)
        entries = log()
        works = [p.instance for p in event_svcs if p.alive()]
    assert [e["_id"] for e in entries] == list(range(1, len(entries) + 1)), "the log has a gap"
    assert len({e["id"] for e in entries}) == len(entries), "an event is in the log twice"
    subjects = collections.Counter(e["subject"] for e in entries if e["type"] == "order.placed")
    assert set(subjects) >= set(placed) and max(subjects.values()) == 1
    ids = {e["_id"]: e["id"] for e in entries}
    assert all(ids[e.seq] == e.id for e in listener.events), "what was published is not what the log has"
    assert works == list(names), "one of them has ended"
    print(f"  {len(placed)} orders, {len(entries)} events, {len(listener.events)} heard, {KILLS} times killed")


run({f.__name__: f for f in (two_event_svcs_make_one_log,)})
