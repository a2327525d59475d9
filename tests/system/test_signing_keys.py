"""Signing keys follow one another under load: no request fails, tokens of both keys are good, and everybody sees both keys."""
import base64
import json
import threading

import requests

from shop import Shop, problem, run, wait_for

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


if __name__ == "__main__":
    run({"a_new_key_fails_nobody": a_new_key_fails_nobody})
