"""F9. Ten times more requests than a service can work on, over the bus and over HTTP, and a service that stands still.

Holds: what is too much is shed early, with a time to come back; the service does at least 80 % of what it did in the same run
before the burst; it answers again within 5 s; at most one request in ten is sent again by somebody. Full length: a minute."""
import collections
import statistics
import threading
import time

import bus1
import requests
from rack import running
from scenario import Stage, lasts, wait_for
from shop import SLOW

SEED = 109
CREDIT, WORK_S, QUEUE = 5, 0.05, 20
HTTP_CREDIT, HTTP_WORK_S, HTTP_CLIENTS = 4, 0.2, 64
SHED_AT_A_TIME = HTTP_CLIENTS - QUEUE - HTTP_CREDIT  # the others wait their turn
CALM_S, TIMES, EARLY_S, TRIES = 3.0, 10, 1.0, 4


def burst_s():
    return lasts(4.0, 60.0)


class Tally:
    """What a burst was answered with."""

    def __init__(self):
        self.statuses, self.shed_s, self.sent = collections.Counter(), [], 0

    def judge(self, calm, seconds, good):
        """None if it is as it must be, else what is not. calm: good answers a second before it."""
        rate = self.statuses[good] / seconds
        self.told = (f"{calm:.0f}/s when calm, {rate:.0f}/s of {self.sent / seconds:.0f}/s in the burst of {seconds:.0f} s, "
                     f"{len(self.shed_s)} shed")
        assert set(self.statuses) <= {good, 429, 503, 504}, self.statuses
        if self.sent < 0.8 * TIMES * calm * seconds:
            return f"no burst: {self.told}"
        if not self.shed_s or statistics.quantiles(self.shed_s, n=20)[-1] > EARLY_S * SLOW:
            return f"shed late: {self.told}, {max(self.shed_s, default=0):.2f} s"
        if rate < 0.8 * calm:
            return f"too little done: {self.told}"
        return None


# ---- over the bus ----

def calm_rate(client):
    """As many in flight as the worker takes, and no more."""
    done, end = 0, time.monotonic() + CALM_S
    for _ in range(CREDIT):
        client.send_request("busy.do", budget_ms=2000)
    while time.monotonic() < end:
        assert client.wait().status == 200
        done += 1
        client.send_request("busy.do", budget_ms=2000)
    for _ in range(CREDIT):
        client.wait()
    return done / CALM_S


def burst(client, rate):
    tally, begin, sent_at, done = Tally(), time.monotonic(), {}, 0
    while (elapsed := time.monotonic() - begin) < burst_s() or done < tally.sent:
        while elapsed < burst_s() and tally.sent < elapsed * rate * TIMES:
            sent_at[client.send_request("busy.do", budget_ms=2000)] = time.monotonic()
            tally.sent += 1
        if done < tally.sent:
            answer = client.wait()
            done += 1
            tally.statuses[answer.status] += elapsed < burst_s() or answer.status != 200
            if answer.status == 429:
                assert answer.body["retry_after_s"] >= 1, answer
                tally.shed_s.append(time.monotonic() - sent_at[answer.head.corr])
    return tally


def over_the_bus(stage):
    base, faults = stage.rack.bases[0], []
    with bus1.Worker(base, [("busy", CREDIT)], lambda head, body: (200, {}), capacity=WORK_S), bus1.Client(base) as client:
        wait_for("the worker", lambda: "busy" in stage.rack.served(base), 20)
        for _ in range(TRIES):  # another process may have had the machine for a moment
            rate = calm_rate(client)
            tally = burst(client, rate)
            fault = tally.judge(rate, burst_s(), 200)
            begin = time.monotonic()
            assert client.ask("busy.do", budget_ms=5000).status == 200, "it does not recover"
            if not fault:
                return f"{tally.told}, again after {time.monotonic() - begin:.2f} s"
            faults.append(fault)
    raise AssertionError(faults)


# ---- over HTTP ----

class Crowd(threading.Thread):
    """One client of many, each with its share of the pace."""

    def __init__(self, url, pace, tally, lock):
        super().__init__(name="crowd", daemon=True)
        self.url, self.pause_s, self.tally, self.lock = url, SHED_AT_A_TIME / pace, tally, lock
        self.ending = threading.Event()

    def run(self):
        session, due = requests.Session(), time.monotonic()
        while not self.ending.is_set():
            begin = time.monotonic()
            reply = session.get(self.url, timeout=30)
            took_s = time.monotonic() - begin
            with self.lock:
                self.tally.sent += 1
                self.tally.statuses[reply.status_code] += 1
                if reply.status_code in (429, 503):
                    assert int(reply.headers["Retry-After"]) >= 1, reply.headers
                    self.tally.shed_s.append(took_s)
            due = max(due + self.pause_s, time.monotonic() - 1)
            self.ending.wait(due - time.monotonic())


def crowded(url, pace, seconds):
    tally, lock = Tally(), threading.Lock()
    with running(*[Crowd(url, pace, tally, lock) for _ in range(HTTP_CLIENTS)]):
        time.sleep(seconds)
    return tally


def calm_http_rate(url):
    """As many at a time as the worker takes."""
    done, end, lock = [0], time.monotonic() + CALM_S, threading.Lock()

    def ask():
        session = requests.Session()
        while time.monotonic() < end:
            assert session.get(url, timeout=30).status_code == 200
            with lock:
                done[0] += 1
    threads = [threading.Thread(target=ask) for _ in range(HTTP_CREDIT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done[0] / CALM_S


def recovery_s(url):
    begin = time.monotonic()
    wait_for("an answer", lambda: requests.get(url, timeout=30).status_code == 200, 20, 0.05)
    return time.monotonic() - begin


def over_http(stage):
    """product-svc is replaced by one that knows one product and needs its time."""
    rack, base, faults = stage.rack, stage.rack.bases[0], []
    id = next(iter(stage.stock))
    with bus1.Client(base) as client:
        known = client.ask("product.get", {"id": id}).body
    rack["product-svc"].stop()
    url, before = f"{rack.url}/api/products/{id}", stage.resent() + rack.metric(0, "zmart_bus_repeated_total")
    with bus1.Worker(base, [("product", HTTP_CREDIT)], lambda head, body: (200, known), capacity=HTTP_WORK_S):
        wait_for("the slow one", lambda: "product" in rack.served(base), 20)
        for _ in range(TRIES):
            wait_for("it to be left in peace", lambda: requests.get(url, timeout=30).status_code == 200, 20)
            rate = calm_http_rate(url)
            tally = crowded(url, rate * TIMES, burst_s())
            again = stage.resent() + rack.metric(0, "zmart_bus_repeated_total") - before
            assert again <= 0.1 * tally.sent, f"{again} of {tally.sent} sent again"
            fault, back_s = tally.judge(rate, burst_s(), 200), recovery_s(url)
            assert back_s < 5 * SLOW, f"again after {back_s:.1f} s"
            if not fault:
                rack["product-svc"].start()
                return f"{tally.told}, {again:.0f} sent again, again after {back_s:.2f} s"
            faults.append(fault)
    raise AssertionError(faults)


def stands_still(stage):
    """product-svc stands still: what fits waits, all else is told to come back."""
    url, product = stage.rack.url, next(iter(stage.stock))
    replies = []
    ask = lambda: replies.append(requests.get(f"{url}/api/products/{product}", timeout=30))
    threads = [threading.Thread(target=ask) for _ in range(120)]
    stage.rack["product-svc"].freeze()
    for thread in threads:
        thread.start()
    wait_for("requests to be shed", lambda: sum(r.status_code == 429 for r in replies) >= 30, 20, 0.01)
    stage.rack["product-svc"].thaw()
    for thread in threads:
        thread.join(60)
    statuses = collections.Counter(r.status_code for r in replies)
    assert set(statuses) <= {200, 429} and statuses[200] >= QUEUE // 2, statuses
    assert all(int(r.headers["Retry-After"]) >= 1 for r in replies if r.status_code == 429)
    return dict(statuses)


def run(seed):
    flags = {"broker": ["--queue-requests", str(QUEUE)], "product-svc": ["--credit", "8"]}
    with Stage(seed, heartbeat_ms=2000, flags=flags) as stage:
        still = stands_still(stage)
        assert stage.resent() == 0, "the gateway sent again what was refused"
        found = [over_the_bus(stage), over_http(stage)]
        stage.rack.wait_whole()
        with stage.load(2):
            pass
        return f"still {still}; over the bus {found[0]}; over HTTP {found[1]}; {stage.check()}"
