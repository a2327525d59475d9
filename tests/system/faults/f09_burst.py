"""F9. Ten times more requests than a service can work on, and HTTP requests for a service that stands still.

Holds: the broker sheds at once, with a time to come back; the service goes on at least at 80 % of what it did before; it
answers again within 5 s; nobody sends anything again by himself."""
import collections
import threading
import time

import bus1
import requests
from scenario import Stage, wait_for

SEED = 109
CREDIT, WORK_S, QUEUE, ROUND_S = 5, 0.05, 50, 2.0


def calm_rate(client):
    """As many in flight as the worker takes, and no more."""
    done, end = 0, time.monotonic() + ROUND_S
    for _ in range(CREDIT):
        client.send_request("busy.do", budget_ms=2000)
    while time.monotonic() < end:
        assert client.wait().status == 200
        done += 1
        client.send_request("busy.do", budget_ms=2000)
    for _ in range(CREDIT):
        client.wait()
    return done / ROUND_S


def burst(client, rate):
    statuses, sent, begin = collections.Counter(), 0, time.monotonic()
    done = 0
    while (elapsed := time.monotonic() - begin) < ROUND_S or done < sent:
        while elapsed < ROUND_S and sent < elapsed * rate * 10:
            client.send_request("busy.do", budget_ms=2000)
            sent += 1
        if done < sent:
            answer = client.wait()
            done += 1
            statuses[answer.status] += elapsed < ROUND_S or answer.status != 200
            assert answer.status in (200, 429, 504), answer
            assert answer.status != 429 or answer.body["retry_after_s"] >= 1, answer
    return statuses, sent


def over_the_bus(stage):
    base = stage.rack.bases[0]
    with bus1.Worker(base, [("busy", CREDIT)], lambda head, body: (200, {}), capacity=WORK_S), bus1.Client(base) as client:
        wait_for("the worker", lambda: "busy" in stage.rack.served(base), 20)
        for tries in range(1, 4):  # another process may have had the machine for a moment
            rate = calm_rate(client)
            statuses, sent = burst(client, rate)
            assert statuses[429] > 0, "nothing was shed"
            begin = time.monotonic()
            assert client.ask("busy.do", budget_ms=5000).status == 200, "it does not recover"
            recovered_s = time.monotonic() - begin
            if statuses[200] >= 0.8 * rate * ROUND_S:
                return (f"{rate:.0f}/s when calm, {statuses[200] / ROUND_S:.0f}/s of {sent / ROUND_S:.0f}/s in the burst (try {tries}), "
                        f"{statuses[429]} shed, again after {recovered_s:.2f} s")
        raise AssertionError(f"{rate:.0f}/s when calm, in the burst {dict(statuses)}")


def over_http(stage):
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
        found = over_the_bus(stage)
        shed = over_http(stage)
        assert stage.resent() == 0, "the gateway sent again what was refused"
        with stage.load(2):
            pass
        return f"{found}; over HTTP {shed}; {stage.check()}"
