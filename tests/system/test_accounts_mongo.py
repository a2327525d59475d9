"""Accounts on one MongoDB (ZMART_TEST_MONGODB) with three user-svcs: what is decided once is decided once, an end is an end
everywhere, and whoever is killed leaves nothing half done."""
import collections
import concurrent.futures
import os
import random
import signal
import sys
import threading
import time

import requests

from shop import Shop, problem, run, wait_for

if not os.environ.get("ZMART_TEST_MONGODB"):
    print("skipped: ZMART_TEST_MONGODB names no server")
    sys.exit(77)

KILLS = 6


def shop_of_three():
    """Each shop has a database of its own."""
    return Shop(processes=True, workers=3)


def register(shop, email):
    return shop.call("POST", "/api/auth/register", body={"email": email, "name": "Name", "password": "password"})


def login(shop, email, password="password"):
    return shop.call("POST", "/api/auth/login", body={"email": email, "password": password})


def role_put(shop, token, user, role):
    return shop.call("PUT", f"/api/users/{user['id']}/role", token, {"role": role})


def what_is_decided_once():
    with shop_of_three() as shop, concurrent.futures.ThreadPoolExecutor(12) as pool:
        assert len(shop.children("user-svc")) == 3
        replies = list(pool.map(lambda i: register(shop, f"{i}@example.com"), range(12)))
        assert [r.status_code for r in replies] == [201] * 12, [r.text for r in replies]
        sessions = [r.json() for r in replies]
        founders = [s for s in sessions if s["user"]["role"] == "admin"]
        assert len(founders) == 1, founders
        replies = list(pool.map(lambda _: register(shop, "same@example.com"), range(12)))
        assert collections.Counter(r.status_code for r in replies) == {201: 1, 409: 11}, [r.text for r in replies]
        admin = founders[0]["token"]
        admins = [s["user"] for s in sessions[:6] if s is not founders[0]] + [founders[0]["user"]]
        for user in admins[:-1]:
            assert role_put(shop, admin, user, "admin").status_code == 200
        # everybody gives it up at once, each signed in anew, because a new role ends the tokens of the old one
        tokens = [login(shop, user["email"]).json()["token"] for user in admins]
        replies = list(pool.map(lambda i: role_put(shop, tokens[i], admins[i], "customer"), range(len(admins))))
        statuses = collections.Counter(r.status_code for r in replies)
        assert statuses == {200: len(admins) - 1, 409: 1}, [r.text for r in replies]
        left = admins[[r.status_code for r in replies].index(409)]
        token = login(shop, left["email"]).json()["token"]
        listed = shop.call("GET", "/api/users?role=admin", token).json()["data"]
        assert [u["id"] for u in listed] == [left["id"]], listed
        # a refresh token is spent once, whichever process is asked
        old = login(shop, left["email"]).json()["refresh_token"]
        replies = list(pool.map(lambda _: shop.call("POST", "/api/auth/refresh", body={"refresh_token": old}), range(6)))
        statuses = collections.Counter(r.status_code for r in replies)
        assert statuses[200] <= 1 and statuses[200] + statuses[401] == 6, [r.text for r in replies]
        # a copy was about: it has ended for all, perhaps even before the one that came first was answered
        for token in [old] + [r.json()["refresh_token"] for r in replies if r.status_code == 200]:
            problem(shop.call("POST", "/api/auth/refresh", body={"refresh_token": token}), 401)


def an_end_is_an_end_everywhere():
    with shop_of_three() as shop:
        shop.admin()
        first = shop.register("ada@example.com")
        others = [login(shop, "ada@example.com").json() for _ in range(5)]
        me = f"/api/users/{first['user']['id']}"
        changed = shop.call("PUT", me, first["token"], {"password": "password2", "old_password": "password"})
        assert changed.status_code == 200, changed.text
        for other in others:
            wait_for("the end", lambda: shop.call("GET", me, other["token"]).status_code == 401, 5)
            problem(shop.call("POST", "/api/auth/refresh", body={"refresh_token": other["refresh_token"]}), 401)
        assert shop.call("GET", me, first["token"]).status_code == 200
        assert shop.call("POST", "/api/auth/refresh", body={"refresh_token": first["refresh_token"]}).status_code == 200
        problem(login(shop, "ada@example.com"), 401, "bad_credentials")
        assert login(shop, "ada@example.com", "password2").status_code == 200


def a_guesser_is_slowed_down_by_all():
    with shop_of_three() as shop:
        shop.admin()
        statuses = []
        wait_for("to be slowed down", lambda: statuses.append(login(shop, "admin@example.com", "guess").status_code) or statuses[-1] == 429, 20, 0)
        assert statuses.count(401) <= 9, statuses  # three processes that do not tell each other would let twice as many through
        problem(login(shop, "admin@example.com"), 429, "rate_limited")
        wait_for("another try", lambda: login(shop, "admin@example.com").status_code == 200, 60, 0.5)


def whoever_is_killed_leaves_nothing_half_done():
    with shop_of_three() as shop:
        admin = shop.admin()
        done, emails = threading.Event(), []

        def sign_up(which):
            mine = []
            while not done.is_set():
                email = f"{which}-{len(mine)}@example.com"
                mine.append(email)
                end = time.monotonic() + 60
                while (reply := register(shop, email)).status_code not in (201, 409) and time.monotonic() < end:
                    assert reply.status_code in (502, 503, 504), reply.text
                    time.sleep(0.05)
                assert reply.status_code in (201, 409), reply.text
            return mine
        rolled = random.Random(11)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            signing = [pool.submit(sign_up, which) for which in range(4)]
            try:
                for _ in range(KILLS):
                    time.sleep(rolled.random() / 2)  # at any moment
                    children = wait_for("three", lambda: len(found := shop.children("user-svc")) == 3 and found, 30)
                    os.kill(rolled.choice(children), signal.SIGKILL)
            finally:
                done.set()
            for future in signing:
                emails += future.result(120)
        wait_for("three", lambda: len(shop.children("user-svc")) == 3, 30)
        token = login(shop, "admin@example.com").json()["token"]
        listed, query = [], "?limit=100"
        while query:
            page = shop.call("GET", "/api/users" + query, token).json()
            listed += page["data"]
            query = f"?limit=100&cursor={page['next_cursor']}" if page["has_more"] else None
        assert sorted(u["email"] for u in listed) == sorted(emails + ["admin@example.com"])
        assert sum(u["role"] == "admin" for u in listed) == 1
        for email in rolled.sample(emails, min(10, len(emails))):
            assert login(shop, email).status_code == 200, email

        def told():
            got, after = [], 0
            while True:
                page = shop.call("GET", f"/api/events?types=user.created&limit=100&after={after}", token).json()
                got += [e["subject"] for e in page["data"]]
                if not page["has_more"]:
                    return got
                after = page["data"][-1]["seq"]
        wait_for("every account to be told of", lambda: len(told()) >= len(listed), 30, 0.5)
        assert sorted(told()) == sorted(u["id"] for u in listed)  # each once
        print(f"  {len(emails)} accounts while {KILLS} user-svcs were killed")


if __name__ == "__main__":
    run({f.__name__: f for f in (what_is_decided_once, an_end_is_an_end_everywhere, a_guesser_is_slowed_down_by_all, whoever_is_killed_leaves_nothing_half_done)})
