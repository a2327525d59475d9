"""F10. Fifty clients send one Idempotency-Key at the same moment, through two gateways and two brokers.

Holds: one effect and fifty equal answers, also when the answer is a refusal; another body under the key is told off."""
import threading

import bus1
import requests
from scenario import Stage

SEED = 110
CLIENTS = 50


def at_once(stage, account, body, key):
    replies, barrier = [], threading.Barrier(CLIENTS)

    def send(n):
        with requests.Session() as session:
            session.get(stage.rack.urls[n % 2] + "/livez", timeout=30)  # the connection is there
            barrier.wait(60)
            replies.append(session.post(stage.rack.urls[n % 2] + "/api/orders", json=body, timeout=60,
                                        headers={"Authorization": f"Bearer {account['token']}", "Idempotency-Key": key}))
    threads = [threading.Thread(target=send, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(replies) == CLIENTS, f"{len(replies)} answers"
    return replies


def run(seed):
    with Stage(seed, brokers=2, gateways=2) as stage:
        rack, product = stage.rack, next(iter(stage.stock))
        account, key, again = rack.register(), f"{stage.random.getrandbits(64):x}", f"{stage.random.getrandbits(64):x}"
        before = [bus1.books(base)["accepted"] for base in rack.bases]
        body = {"items": [{"product_id": product, "quantity": 2}], "note": key}
        stage.history.add("invoke", "order", key, lines=body["items"])
        replies = at_once(stage, account, body, key)
        assert {r.status_code for r in replies} == {201}, {r.status_code for r in replies}
        assert len({r.text for r in replies}) == 1, "different answers"
        replayed = sum(r.headers.get("Idempotent-Replayed") == "true" for r in replies)
        assert replayed == CLIENTS - 1, f"{replayed} say that they are replayed"
        stage.history.add("ok", "order", key, order=replies[0].json()["id"])
        assert all(bus1.books(base)["accepted"] > n + 5 for base, n in zip(rack.bases, before)), "one broker had nothing to do"
        too_many = {"items": [{"product_id": product, "quantity": stage.stock[product]}], "note": again}
        stage.history.add("invoke", "order", again, lines=too_many["items"])
        replies = at_once(stage, account, too_many, again)
        bare = {(r.status_code, r.json()["code"], str(r.json()["errors"])) for r in replies}
        assert len(bare) == 1 and next(iter(bare))[:2] == (409, "out_of_stock"), bare
        stage.history.add("fail", "order", again, status=409)
        reply = rack.call("POST", "/api/orders", account["token"], {**body, "note": "another"}, key=key)
        assert reply.status_code == 422 and reply.json()["code"] == "idempotency_key_reused", reply.text
        return f"{CLIENTS} equal answers, {replayed} replayed; {stage.check()}"
