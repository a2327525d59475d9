"""Signing keys follow one another under load: no request fails, tokens of both keys are good, and everybody sees both keys."""
import base64
import contextlib
import json
import socket
import threading

import jwt
import requests

from shop import SLOW, Shop, free_port, problem, run, wait_for
from sockets import Closed, Refused, Socket

LEAD_S = 4


def kid_of(token):
    head = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]


def kids_shown(shop):
    return {key["kid"] for key in shop.call("GET", "/.well-known/jwks.json").json()["keys"]}


class Customer(threading.Thread):
    """Renews its session and reads its account, again and again."""

    def __init__(self, shop):
        super().__init__(daemon=True)
        self.shop, self.session = shop, shop.register()
        self.kids, self.failed, self.count, self.ending = [], [], 0, False
        self.first = self.session["token"]
        self.start()

    def run(self):
        with requests.Session() as connection:
            while not self.ending:
                reply = self.shop.call("POST", "/api/auth/refresh", body={"refresh_token": self.session["refresh_token"]}, session=connection)
                if reply.status_code != 200:
                    self.failed.append((reply.status_code, reply.text))
                    return
                self.session = reply.json()
                self.kids.append(kid_of(self.session["token"]))
                for token in (self.session["token"], self.first):
                    reply = self.shop.call("GET", f"/api/users/{self.session['user']['id']}", token, session=connection)
                    if reply.status_code != 200:
                        self.failed.append((reply.status_code, reply.text))
                self.count += 1


def a_new_key_fails_nobody():
    for processes in (False, True):
        with Shop("--key-lead-s", str(LEAD_S), "--auth-refresh-s", "1", processes=processes) as shop:
            admin = shop.admin()
            first = kids_shown(shop)
            assert len(first) == 1 and first == {kid_of(admin)}, first
            customers = [Customer(shop) for _ in range(4)]
            wait_for("some requests", lambda: all(c.count > 3 for c in customers))
            problem(shop.call("POST", "/api/auth/signing-key", customers[0].first), 403, "forbidden")
            made = shop.call("POST", "/api/auth/signing-key", admin)
            assert made.status_code == 201, made.text
            new = made.json()["kid"]
            assert shop.call("POST", "/api/auth/signing-key", admin).json()["kid"] == new  # one is waiting already
            wait_for("it to be shown", lambda: kids_shown(shop) == first | {new})
            assert all(c.kids[-1] in first for c in customers)  # shown before it signs
            wait_for("it to sign for all", lambda: all(c.kids[-1] == new for c in customers), 20)
            counts = [c.count for c in customers]
            wait_for("more requests", lambda: all(c.count > n + 3 for c, n in zip(customers, counts)))
            for customer in customers:
                customer.ending = True
                customer.join()
                assert not customer.failed, customer.failed[:3]
                assert customer.kids == sorted(customer.kids, key=lambda kid: kid == new), "it went back"
            assert kids_shown(shop) == first | {new}  # the old key's tokens are good for a while
            print(f"  {sum(c.count for c in customers)} renewals and twice as many calls while the key changed")


def a_repeat_gets_the_first_answer():
    with Shop("--key-lead-s", "2", "--auth-refresh-s", "1") as shop:
        admin = shop.admin()
        ask = lambda key: shop.call("POST", "/api/auth/signing-key", admin, key=key)
        first = ask("a")
        assert first.status_code == 201 and "Idempotent-Replayed" not in first.headers, first.text
        waiting = ask("b")  # another request, which is answered with the key that is waiting already
        assert waiting.json() == first.json() and "Idempotent-Replayed" not in waiting.headers
        login = lambda: shop.call("POST", "/api/auth/login", body={"email": "admin@example.com", "password": "password"}).json()["token"]
        wait_for("it to sign", lambda: kid_of(login()) == first.json()["kid"], 20)
        third = ask("c")
        assert third.status_code == 201 and third.json()["kid"] != first.json()["kid"], third.text
        for key in ("a", "b"):
            again = ask(key)
            assert again.status_code == 201 and again.json() == first.json() and again.headers["Idempotent-Replayed"] == "true", again.text


def forged(shop, session):
    """A good token of an administrator's, by who has read the store."""
    kid, private = shop.rows("user.db", "SELECT kid, private_pem FROM signing_keys ORDER BY generation DESC")[0]
    claims = jwt.decode(session["token"], options={"verify_signature": False})
    return jwt.encode({**claims, "role": "admin", "jti": "forged"}, private, "ES256", headers={"typ": "at+jwt", "kid": kid})


def hears(shop, gateway, token, product):
    """False if the socket was ended with those before: it had come just in between."""
    with Socket(gateway.replace("http", "ws") + "/ws", {"Authorization": f"Bearer {token}"}) as opened:
        order = shop.order(token, (product["id"], 1)).json()
        try:
            return json.loads(opened.recv(10 * SLOW))["order"]["id"] == order["id"]
        except Closed:
            return False


def ports_side_by_side():
    """The first of two free ones."""
    while True:
        port = free_port()
        with socket.socket() as one, socket.socket() as two, contextlib.suppress(OSError, OverflowError):
            one.bind(("127.0.0.1", port))
            two.bind(("127.0.0.1", port + 1))
            return port


def a_leaked_key_is_out_at_once():
    for processes in (False, True):
        shop = Shop(*(("--gateway", "2") if processes else ()), "--key-lead-s", "60", processes=processes)
        shop.port = ports_side_by_side()
        shop.url = f"http://127.0.0.1:{shop.port}"
        with shop:
            admin, ada = shop.register("admin@example.com"), shop.register()
            product = shop.product(admin["token"])
            gateways = [shop.url, f"http://127.0.0.1:{shop.port + 1}"] if processes else [shop.url]
            at = lambda gateway, token, path="/api/orders": requests.get(gateway + path, headers={"Authorization": f"Bearer {token}"}, timeout=30)
            tokens = [admin["token"], ada["token"], forged(shop, ada)]
            for gateway in gateways:
                assert [at(gateway, token).status_code for token in tokens] == [200] * 3, gateway
            assert at(gateways[0], tokens[2], "/api/users").status_code == 200  # that is what a leaked key can do
            ticket = shop.call("POST", "/api/ws-ticket", tokens[2]).json()["ticket"]
            waiting = shop.call("POST", "/api/auth/signing-key", admin["token"]).json()["kid"]  # it may have leaked with the other
            sockets = [Socket(gateway.replace("http", "ws") + "/ws", {"Authorization": f"Bearer {token}"}) for gateway in gateways for token in tokens[1:]]
            problem(shop.call("POST", "/api/auth/signing-key/distrust", ada["token"]), 403, "forbidden")
            made = shop.call("POST", "/api/auth/signing-key/distrust", admin["token"], key="leak")
            assert made.status_code == 201 and made.json()["kid"] not in (waiting, kid_of(admin["token"])), made.text
            assert [at(gateways[0], token).status_code for token in tokens] == [401] * 3  # before the reply, where it was asked for
            for gateway in gateways:
                wait_for("it to be known everywhere", lambda: [at(gateway, token).status_code for token in tokens] == [401] * 3, 5)
            for opened in sockets:
                try:
                    while True:
                        opened.recv(10 * SLOW)
                except Closed as closed:
                    assert closed.code == 4001, closed.code
            try:
                Socket(f"{shop.url.replace('http', 'ws')}/ws?ticket={ticket}")
                raise AssertionError("a forger's ticket opens a socket")
            except Refused as refused:
                assert refused.status == 401, refused
            assert kids_shown(shop) == {made.json()["kid"]}
            renewed = shop.call("POST", "/api/auth/refresh", body={"refresh_token": ada["refresh_token"]}).json()  # sessions go on
            assert kid_of(renewed["token"]) == made.json()["kid"], "the new key does not sign"
            for gateway in gateways:
                wait_for("the new key", lambda: at(gateway, renewed["token"]).status_code == 200, 5)
                wait_for("a socket to stay", lambda: hears(shop, gateway, renewed["token"], product))
            admin = shop.call("POST", "/api/auth/login", body={"email": "admin@example.com", "password": "password"}).json()["token"]
            again = shop.call("POST", "/api/auth/signing-key/distrust", admin, key="leak")  # asking again signs nobody out again
            assert again.status_code == 201 and again.json() == made.json() and again.headers["Idempotent-Replayed"] == "true", again.text
            assert at(gateways[0], renewed["token"]).status_code == 200 and kids_shown(shop) == {made.json()["kid"]}


if __name__ == "__main__":
    run({f.__name__: f for f in (a_new_key_fails_nobody, a_repeat_gets_the_first_answer, a_leaked_key_is_out_at_once)})
