"""The interface from the outside: products, orders, accounts, idempotency, and bad input of every kind."""
import concurrent.futures
import json
import socket
import time
import uuid

import jwt
import requests

from shop import Shop, problem, run, wait_for

ADDRESS = {"name": "Ada", "line1": "1 Way", "city": "Rome", "postal_code": "00100", "country": "IT"}


def all_pages(shop, path, token=None, limit=3):
    rows, cursor = [], None
    while True:
        joint = "&" if "?" in path else "?"
        reply = shop.call("GET", f"{path}{joint}limit={limit}" + (f"&cursor={cursor}" if cursor else ""), token)
        assert reply.status_code == 200, reply.text
        page = reply.json()
        assert len(page["data"]) <= limit and page["has_more"] == (page["next_cursor"] is not None), page
        rows += page["data"]
        if not page["has_more"]:
            return rows
        cursor = page["next_cursor"]


def the_catalogue():
    with Shop() as shop:
        admin = shop.admin()
        names = ["Café Crème", "cafe noir", "Tea, Green", "Tea, Black", "Mug Größe L", "AB-12 Adapter", "Tea, Green Deluxe"]
        made = [shop.product(admin, name=n, price=p, stock=s, categories=c, sku=f"SKU-{i}")
                for i, (n, p, s, c) in enumerate(zip(names, (3.5, 3, 10, 10, 10, 0.01, 9999999999.99), (1, 0, 5, 5, 5, 5, 5),
                                                     (["drinks"], ["drinks"], ["drinks", "green"], [], ["mugs"], [], ["drinks"])))]
        ids = {p["id"]: p for p in made}
        for sort in ("price", "-price", "name", "-name", "created_at", "-created_at"):
            rows = all_pages(shop, f"/api/products?sort={sort}", limit=2)
            assert sorted(r["id"] for r in rows) == sorted(ids), sort
            values = [r[sort.lstrip("-")] for r in rows]
            if sort.endswith("price") or sort.endswith("created_at"):
                assert values == sorted(values, reverse=sort.startswith("-")), values
        found = lambda query: sorted(r["name"] for r in all_pages(shop, f"/api/products?{query}"))
        assert found("q=CAFE") == ["Café Crème", "cafe noir"]
        assert found("q=caf%C3%A9+cr") == ["Café Crème"]
        assert found("q=gross") == found("q=GR%C3%96%C3%9FE") == ["Mug Größe L"]
        assert found("q=ab-12") == ["AB-12 Adapter"]
        assert found("q=green+tea") == ["Tea, Green", "Tea, Green Deluxe"]
        assert found("q=sku-3") == ["Tea, Black"]
        for nasty in ("%22", "*", "AND", "tea+OR+mug", "name%3Atea", "-tea%28", "%27", "NEAR%28a%29"):
            assert shop.call("GET", f"/api/products?q={nasty}").status_code == 200, nasty
        assert found("category=green") == ["Tea, Green"]
        assert found("category=drinks&in_stock=true&price_lte=10") == ["Café Crème", "Tea, Green"]
        assert found("in_stock=false") == ["cafe noir"]
        assert found("price_gte=0.01&price_lte=3") == ["AB-12 Adapter", "cafe noir"]
        # a cursor belongs to its query
        cursor = shop.call("GET", "/api/products?limit=1&sort=price").json()["next_cursor"]
        problem(shop.call("GET", f"/api/products?limit=1&sort=name&cursor={cursor}"), 400, "bad_cursor")
        problem(shop.call("GET", f"/api/products?limit=1&sort=price&q=tea&cursor={cursor}"), 400, "bad_cursor")
        problem(shop.call("GET", "/api/products?cursor=nonsense"), 400, "bad_cursor")
        # and to its list, also where neither has a filter
        cursor = shop.call("GET", "/api/products?limit=1").json()["next_cursor"]
        for path in ("/api/orders", "/api/users"):
            problem(shop.call("GET", f"{path}?cursor={cursor}", admin), 400, "bad_cursor", "/cursor")
        # and to whose orders it lists, also where that goes without saying
        ada, bob = shop.register(), shop.register()
        placed = [shop.order(ada["token"], (made[4]["id"], 1)).json()["id"] for _ in range(2)]
        cursor = shop.call("GET", "/api/orders?limit=1", ada["token"]).json()["next_cursor"]
        assert [o["id"] for o in shop.call("GET", f"/api/orders?cursor={cursor}", ada["token"]).json()["data"]] == placed[:1]
        for token in (bob["token"], admin):
            problem(shop.call("GET", f"/api/orders?limit=1&cursor={cursor}", token), 400, "bad_cursor", "/cursor")
        for order in placed:
            assert shop.call("PUT", f"/api/orders/{order}/status", ada["token"], {"status": "cancelled"}).status_code == 200
        # edits
        p = made[0]
        url = f"/api/products/{p['id']}"
        reply = shop.call("PUT", url, admin, {"description": "with milk", "categories": ["hot"], "images": ["https://x.example/1.png"]})
        assert reply.status_code == 200, reply.text
        edited = reply.json()
        assert {k: edited[k] for k in ("name", "price", "stock", "sku")} == {k: p[k] for k in ("name", "price", "stock", "sku")}
        assert edited["version"] == 2 and edited["categories"] == ["hot"], edited
        assert shop.call("PUT", url, admin, {"stock_delta": 4}).json()["stock"] == 5
        problem(shop.call("PUT", url, admin, {"stock_delta": -6}), 409, "out_of_stock")
        problem(shop.call("PUT", url, admin, {"stock_delta": 1, "stock": 1}), 400, "invalid_body")
        problem(shop.call("PUT", url, admin, {"sku": made[1]["sku"]}), 409, "sku_taken")
        etag = shop.call("GET", url).headers["ETag"]
        assert shop.order(admin, (p["id"], 1)).status_code == 201
        assert shop.call("GET", url).headers["ETag"] != etag
        assert shop.call("PUT", url, admin, {"name": "Sold one"}, headers={"If-Match": etag}).status_code == 200
        problem(shop.call("PUT", url, admin, {"name": "x"}, headers={"If-Match": etag}), 412, "precondition_failed")
        etag = shop.call("GET", url).headers["ETag"]
        assert shop.order(admin, (p["id"], 1)).status_code == 201
        problem(shop.call("PUT", url, admin, {"stock": 9}, headers={"If-Match": etag}), 412)
        # what is not active is not there for customers
        assert shop.call("PUT", url, admin, {"active": False}).status_code == 200
        problem(shop.call("GET", url), 404)
        assert shop.call("GET", url, admin).status_code == 200
        assert p["id"] not in [r["id"] for r in all_pages(shop, "/api/products")]
        problem(shop.order(shop.register()["token"], (p["id"], 1)), 409, "unavailable")


def money_is_exact():
    with Shop() as shop:
        admin = shop.admin()
        for price in (0, 0.01, 0.1, 0.29, 29.99, 19.9, 1e2, 9999999999.99, 1234567.89):
            text = shop.call("GET", f"/api/products/{shop.product(admin, price=price)['id']}").text
            assert f'"price":{price:.2f}' in text.replace(": ", ":"), text
        for price in (-0.01, 0.001, 29.999, 10000000000, 1e300, "29.99", None, True):
            problem(shop.call("POST", "/api/products", admin, {"name": "x", "price": price, "stock": 1}), 400, "invalid_body", "/price")
        yen = shop.product(admin, price=500, currency="JPY")
        assert yen["price"] == 500
        problem(shop.call("POST", "/api/products", admin, {"name": "x", "price": 5.5, "currency": "JPY", "stock": 1}), 400, pointer="/price")
        problem(shop.call("POST", "/api/products", admin, {"name": "x", "price": 5, "currency": "XXX", "stock": 1}), 400, pointer="/currency")
        dollars = shop.product(admin, price=0.1)
        problem(shop.order(admin, (yen["id"], 1), (dollars["id"], 1)), 409, "mixed_currency")
        order = shop.order(admin, (dollars["id"], 3)).json()
        assert order["total"] == 0.3, order


def orders_and_keys():
    with Shop() as shop:
        admin = shop.admin()
        product = shop.product(admin, stock=10)["id"]
        ada, bob = shop.register()["token"], shop.register()["token"]
        stock = lambda: shop.call("GET", f"/api/products/{product}").json()["stock"]
        first = shop.order(ada, (product, 2), key="a-key")
        assert first.status_code == 201 and "Idempotent-Replayed" not in first.headers
        again = shop.order(ada, (product, 2), key="a-key")
        assert again.status_code == 201 and again.json() == first.json() and again.headers["Idempotent-Replayed"] == "true"
        problem(shop.order(ada, (product, 3), key="a-key"), 422, "idempotency_key_reused")
        other = shop.order(bob, (product, 2), key="a-key")
        assert other.status_code == 201 and other.json()["id"] != first.json()["id"]
        assert stock() == 6
        # the first answer again, also after the order moved on
        assert shop.call("PUT", f"/api/orders/{first.json()['id']}/status", ada, {"status": "cancelled"}).status_code == 200
        assert shop.order(ada, (product, 2), key="a-key").json() == first.json()
        assert stock() == 8
        # refusals are answers too
        refused = shop.order(ada, (product, 9), key="refused")
        problem(refused, 409, "out_of_stock")
        assert shop.call("PUT", f"/api/products/{product}", admin, {"stock": 100}).status_code == 200
        again = shop.order(ada, (product, 9), key="refused")
        problem(again, 409, "out_of_stock")
        assert again.headers["Idempotent-Replayed"] == "true" and again.json()["errors"] == refused.json()["errors"]
        # fifty at once, one order
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            replies = list(pool.map(lambda _: shop.order(ada, (product, 1), key="storm"), range(50)))
        assert {r.status_code for r in replies} == {201} and len({r.json()["id"] for r in replies}) == 1
        assert stock() == 99
        # products take keys as well
        make = lambda body: shop.call("POST", "/api/products", admin, body, key="p")
        one = make({"name": "Keyed", "price": 1, "stock": 1})
        two = make({"stock": 1, "price": 1.00, "name": "Keyed"})
        assert one.status_code == two.status_code == 201 and one.json() == two.json(), two.text
        problem(make({"name": "Keyed", "price": 2, "stock": 1}), 422, "idempotency_key_reused")
        # filters
        assert [o["status"] for o in all_pages(shop, "/api/orders?status=cancelled", ada)] == ["cancelled"]
        mine = all_pages(shop, "/api/orders", ada, 1)
        assert len(mine) == 2 and [o["created_at"] for o in mine] == sorted((o["created_at"] for o in mine), reverse=True)
        middle = mine[0]["created_at"]
        assert [o["id"] for o in all_pages(shop, f"/api/orders?created_gte={middle}", ada)] == [mine[0]["id"]]
        assert [o["id"] for o in all_pages(shop, f"/api/orders?created_lt={middle}", ada)] == [mine[1]["id"]]
        # several bad lines are all named, nothing stays held
        holds = lambda: shop.rows("product.db", "SELECT order_id, product_id, quantity FROM holds ORDER BY 1, 2")
        before = holds()
        body = problem(shop.order(ada, (product, 1000), ("prd_nobody", 1)), 409)
        assert sorted(e["pointer"] for e in body["errors"]) == ["/items/0", "/items/1"], body
        assert stock() == 99
        assert before and holds() == before


def accounts_and_sessions():
    with Shop() as shop:
        admin = shop.register("admin@example.com", "Admin")
        ada = shop.register("Ada@Example.com", "Ada")
        claims = jwt.decode(ada["token"], options={"verify_signature": False})
        head = jwt.get_unverified_header(ada["token"])
        assert head["alg"] == "ES256" and head["typ"] == "at+jwt", head
        assert claims["sub"] == ada["user"]["id"] and claims["role"] == "customer" and 0 < claims["exp"] - claims["iat"] <= 900, claims
        keys = shop.call("GET", "/.well-known/jwks.json").json()["keys"]
        public = next(jwt.algorithms.ECAlgorithm.from_jwk(json.dumps(k)) for k in keys if k["kid"] == head["kid"])
        jwt.decode(ada["token"], public, algorithms=["ES256"], audience=claims["aud"], issuer=claims["iss"])
        bad = [ada["token"][:-4] + "AAAA", ada["token"] + "x", "a.b.c", "x", ada["refresh_token"],
               jwt.encode(claims, "secret", algorithm="HS256", headers={"kid": head["kid"], "typ": "at+jwt"}),
               jwt.encode(claims, None, algorithm="none", headers={"typ": "at+jwt"})]
        for token in bad:
            reply = shop.call("GET", "/api/orders", token)
            problem(reply, 401, "unauthenticated")
            assert reply.headers["WWW-Authenticate"].startswith("Bearer"), reply.headers
        # a token that is good no more is no hindrance where the body tells who asks
        for body in ({"email": "ada@example.com", "password": "password"}, {"refresh_token": ada["refresh_token"]}):
            reply = shop.call("POST", "/api/auth/login" if "email" in body else "/api/auth/refresh", bad[0], body)
            assert reply.status_code == 200, reply.text
        me = f"/api/users/{ada['user']['id']}"
        second = shop.call("POST", "/api/auth/login", body={"email": "ADA@example.com", "password": "password"}).json()
        assert shop.call("PUT", me, ada["token"], {"password": "another one"}).status_code == 400
        assert shop.call("PUT", me, ada["token"], {"password": "another one", "old_password": "wrong"}).status_code == 403
        reply = shop.call("PUT", me, ada["token"], {"password": "another one", "old_password": "password"})
        assert reply.status_code == 200 and "password" not in reply.text, reply.text
        wait_for("the other session to end", lambda: shop.call("GET", me, second["token"]).status_code == 401, 5)
        assert shop.call("GET", me, ada["token"]).status_code == 200
        problem(shop.call("POST", "/api/auth/refresh", body={"refresh_token": second["refresh_token"]}), 401)
        problem(shop.call("POST", "/api/auth/login", body={"email": "ada@example.com", "password": "password"}), 401, "bad_credentials")
        unknown = shop.call("POST", "/api/auth/login", body={"email": "nobody@example.com", "password": "password"})
        problem(unknown, 401, "bad_credentials")
        assert shop.call("POST", "/api/auth/login", body={"email": "ada@example.com", "password": "another one"}).status_code == 200
        problem(shop.call("PUT", f"/api/users/{admin['user']['id']}/role", admin["token"], {"role": "customer"}), 409, "last_admin")
        problem(shop.call("PUT", f"{me}/role", ada["token"], {"role": "admin"}), 403)
        problem(shop.call("PUT", f"{me}", ada["token"], {"role": "admin"}), 400, pointer="/role")
        tag = shop.call("GET", me, admin["token"]).headers["ETag"]
        problem(shop.call("PUT", f"{me}/role", admin["token"], {"role": "admin"}, headers={"If-Match": '"0"'}), 412, "precondition_failed")
        assert shop.call("PUT", f"{me}/role", admin["token"], {"role": "admin"}, headers={"If-Match": tag}).status_code == 200
        token = shop.call("POST", "/api/auth/login", body={"email": "ada@example.com", "password": "another one"}).json()["token"]
        assert shop.call("GET", "/api/users", token).status_code == 200
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            assert len({r["user"]["id"] for r in pool.map(lambda _: shop.register(), range(64))}) == 64


def guessing_is_slowed_down():
    with Shop() as shop:
        shop.register("ada@example.com")
        guess = lambda: shop.call("POST", "/api/auth/login", body={"email": "ada@example.com", "password": "wrong wrong"})
        replies = [guess() for _ in range(8)]
        statuses = [reply.status_code for reply in replies]
        assert statuses[:5] == [401] * 5 and 429 in statuses[5:], statuses
        slowed = replies[statuses.index(429)]
        problem(slowed, 429, "rate_limited")
        assert int(slowed.headers["Retry-After"]) >= 1, slowed.headers
        # nobody else is kept out
        shop.register("bob@example.com")


def bad_bodies():
    with Shop() as shop:
        admin = shop.admin()
        product = shop.product(admin, stock=5)["id"]
        before = shop.call("GET", "/api/products").json()

        def post(path, data, content_type="application/json", token=admin):
            return requests.post(shop.url + path, data=data, timeout=30,
                                 headers={"Authorization": f"Bearer {token}", **({"Content-Type": content_type} if content_type else {})})

        cases = [
            ('{"name":"x","price":1,"stock":1', None), ("", None), ("[]", None), ("null", None), ('"x"', None), ("{}x", None),
            ('{"name":"x","price":1,"stock":1,"nmae":"y"}', "/nmae"), ('{"name":"x","name":"y","price":1,"stock":1}', "/name"),
            ('{"name":5,"price":1,"stock":1}', "/name"), ('{"price":1,"stock":1}', "/name"), ('{"name":"","price":1,"stock":1}', "/name"),
            ('{"name":"x","price":1,"stock":1.5}', "/stock"), ('{"name":"x","price":1,"stock":-1}', "/stock"),
            ('{"name":"x","price":1,"stock":99999999999999999999}', "/stock"), ('{"name":"x","price":"1","stock":1}', "/price"),
            ('{"name":"x","price":1,"stock":1,"categories":["a",5]}', "/categories/1"), ('{"name":"x","price":NaN,"stock":1}', None),
            ('{"name":"x","price":1,"stock":1,"active":"yes"}', "/active"), ('{"name":"x\\u0000y","price":1,"stock":1}', None),
            ('{"name":"' + "x" * 201 + '","price":1,"stock":1}', "/name"), (b'{"name":"\xff\xfe","price":1,"stock":1}', None),
            ("[" * 100000, None), ('{"a":' * 5000 + "1" + "}" * 5000, None), ('{"name":{"a":{"b":1}},"price":1,"stock":1}', "/name"),
        ]
        for data, pointer in cases:
            problem(post("/api/products", data), 400, "invalid_body", pointer)
        everything = problem(post("/api/products", '{"price":-1,"stock":"x","extra":1}'), 400)
        assert {e["pointer"] for e in everything["errors"]} >= {"/name", "/price", "/stock", "/extra"}, everything
        problem(post("/api/products", '{"name":"x","price":1,"stock":1}', "text/plain"), 415)
        problem(post("/api/products", "name=x", "application/x-www-form-urlencoded"), 415)
        assert post("/api/products", '{"name":"x","price":1,"stock":1}', "application/json; charset=utf-8").status_code == 201
        problem(shop.call("PUT", f"/api/products/{product}", admin), 400, "invalid_body", "")
        problem(shop.call("PUT", f"/api/products/{product}", admin, {"stock": None}), 400, "invalid_body", "/stock")
        problem(post("/api/products", '{"name":"' + "x" * 1100000 + '","price":1,"stock":1}'), 413)
        for length in ("1048577", "9" * 15, "9" * 16, "9" * 40):
            got = raw(shop, f"POST /api/products HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {admin}\r\nContent-Type: application/json\r\n"
                            f"Content-Length: {length}\r\n\r\n".encode())
            assert got.split()[1] == b"413" and b'"body_too_large"' in got and b"Connection: close" in got, (length, got)
        for quantity in (0, -1, 10**9, 1.5, "1", None):
            problem(post("/api/orders", json.dumps({"items": [{"product_id": product, "quantity": quantity}]})), 400, "invalid_body",
                    "/items/0/quantity")
        problem(post("/api/orders", '{"items":[]}'), 400, pointer="/items")
        problem(post("/api/orders", json.dumps({"items": [{"product_id": product, "quantity": 1}], "shipping_address": {**ADDRESS, "country": "XX"}})),
                400, pointer="/shipping_address/country")
        problem(post("/api/auth/register", '{"email":"no-mail","password":"password","name":"x"}'), 400, pointer="/email")
        problem(post("/api/auth/register", '{"email":"a@b.example","password":"short","name":"x"}'), 400, pointer="/password")
        assert shop.call("POST", "/api/auth/logout", admin).status_code == 204  # no body, no Content-Type
        after = shop.call("GET", "/api/products").json()
        assert len(after["data"]) == len(before["data"]) + 1


def bad_requests():
    with Shop() as shop:
        admin = shop.admin()
        customer = shop.register()["token"]
        product = shop.product(admin)["id"]
        for query in ("limit=0", "limit=101", "limit=x", "limit=1&limit=2", "nonsense=1", "sort=weight", "price_gte=-1", "in_stock=maybe", "q=",
                      "q=%00", "limit=%00", "limit%00=1"):
            problem(shop.call("GET", f"/api/products?{query}"), 400, "invalid_parameter")
        problem(shop.call("GET", "/api/orders?created_gte=yesterday", admin), 400, "invalid_parameter", "/created_gte")
        problem(shop.call("GET", "/api/products?limit=1&limit=2", admin), 400, "invalid_parameter", "/limit")
        for path in ("/api/products/prd_nobody", "/api/nothing", "/nothing", "/api/products/" + "x" * 300):
            problem(shop.call("GET", path), 404, "not_found")
        problem(shop.call("GET", "/api/products/prd_00000000000000000000000000"), 404, "not_found")
        reply = shop.call("PATCH", f"/api/products/{product}", admin)
        problem(reply, 405, "method_not_allowed")
        assert {m.strip() for m in reply.headers["Allow"].split(",")} >= {"GET", "PUT", "DELETE"}, reply.headers
        for method in ("TRACE", "BREW"):
            reply = shop.call(method, f"/api/products/{product}?a=b", admin)
            problem(reply, 405, "method_not_allowed")
            assert reply.headers["Allow"] == "GET, HEAD, PUT, DELETE, OPTIONS", reply.headers
            problem(shop.call(method, "/nothing"), 404, "not_found")
        # a target may be a whole URL of this shop; others are told so
        got = raw(shop, f"GET {shop.url}/livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert got.split()[1] == b"200", got
        for target in ("http://elsewhere.example/livez", "*"):
            got = raw(shop, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert got.split()[1] == b"400" and got.count(b"HTTP/1.1") == 1 and b"problem+json" in got, (target, got)
        problem(shop.call("POST", "/api/products", customer, {"name": "x", "price": 1, "stock": 1}), 403, "forbidden")
        problem(shop.call("POST", "/api/products", None, {"name": "x", "price": 1, "stock": 1}), 401, "unauthenticated")
        problem(shop.call("GET", "/api/products?q=" + "x" * 9000), 414)
        problem(shop.call("GET", "/livez", headers={"X-Long": "x" * 20000}), 431)
        problem(shop.call("GET", "/livez", headers={f"X-{i}": "x" for i in range(70)}), 431)
        problem(shop.call("GET", "/livez", headers={"X-Long": "x" * 150000}), 431)
        room = 8192 - len("/api/products?q=")
        problem(shop.call("GET", "/api/products?q=" + "x" * room), 400)
        problem(shop.call("GET", "/api/products?q=" + "x" * (room + 1)), 414)
        got = raw(shop, b"GET /api/products?q=%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert got.split()[1] == b"400" and b'"pointer":"/q"' in got, got
        for count, status in ((64, b"200"), (65, b"431")):
            got = raw(shop, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" +
                      b"".join(b"X-%d: x\r\n" % i for i in range(count - 2)) + b"\r\n")
            assert got.split()[1] == status, (count, got[:200])
        deep = "eyJ" + "W" * 1340
        problem(shop.call("GET", "/api/orders", f"{deep}.{deep}.{deep}"), 401)
        import base64
        part = lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        problem(shop.call("GET", "/api/orders", part('{"a":' + "[" * 900) + "." + part("{}") + ".x"), 401)
        for page in ("/", "/livez", "/readyz", "/metrics", "/openapi.json", "/asyncapi.json", "/docs", "/.well-known/jwks.json", "/ws"):
            problem(shop.call("GET", page + "?nonsense=1", admin), 400, "invalid_parameter", "/nonsense")
        problem(shop.call("GET", "/ws"), 401, "unauthenticated")
        for query in ("", "?types=order.*"):
            reply = shop.call("GET", "/ws" + query, admin)
            problem(reply, 426, "upgrade_required")
            assert (reply.headers["Upgrade"], reply.headers["Sec-WebSocket-Version"]) == ("websocket", "13"), reply.headers
        problem(shop.call("GET", "/ws?types=order.*&ticket=x"), 426, "upgrade_required")
        old = shop.call("GET", "/ws", admin, headers={"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "8",
                                                      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
        problem(old, 426, "upgrade_required")
        assert old.headers["Sec-WebSocket-Version"] == "13", old.headers
        head = shop.call("HEAD", f"/api/products/{product}")
        assert head.status_code == 200 and head.content == b"" and head.headers["ETag"]
        reply = shop.call("GET", "/livez")
        assert reply.headers["X-Content-Type-Options"] == "nosniff" and reply.headers["X-Request-Id"], reply.headers


def raw(shop, data, seconds=5):
    """The whole answer to bytes as they are, until the other side closes or is silent."""
    with socket.create_connection(("127.0.0.1", shop.port), seconds) as s:
        s.sendall(data)
        got = b""
        s.settimeout(1.5)
        try:
            while chunk := s.recv(65536):
                got += chunk
        except (TimeoutError, ConnectionResetError):
            pass
        return got


def smuggling_is_refused():
    with Shop() as shop:
        body = b'{"email":"a@b.example","password":"x"}'
        head = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        second = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        size = str(len(body)).encode()
        forms = {
            "length and chunked": head + b"Content-Length: " + size + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second,
            "two lengths": head + b"Content-Length: " + size + b"\r\nContent-Length: 3\r\n\r\n" + body + second,
            "signed length": head + b"Content-Length: +" + size + b"\r\n\r\n" + body + second,
            "list of lengths": head + b"Content-Length: " + size + b"," + size + b"\r\n\r\n" + body + second,
            "chunked in 1.0": head.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second,
            "two hosts": b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + second,
            "no host": b"GET /livez HTTP/1.1\r\n\r\n" + second,
            "NUL in the path": b"GET /livez%00x HTTP/1.1\r\nHost: a\r\n\r\n" + second,
        }
        for name, data in forms.items():
            got = raw(shop, data)
            statuses = [l.split()[1] for l in got.split(b"\r\n") if l.startswith(b"HTTP/1.")]
            assert statuses[:1] == [b"400"] and len(statuses) == 1, (name, got[:300])
            assert b"application/problem+json" in got, (name, got[:300])
        got = raw(shop, head + b"Transfer-Encoding: gzip\r\n\r\n" + second)
        assert b" 501 " in got.split(b"\r\n")[0] and got.count(b"HTTP/1.") == 1, got[:300]
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
        assert b" 401 " in raw(shop, chunked).split(b"\r\n")[0]
        assert shop.call("GET", "/livez").status_code == 200


def slow_clients_keep_nobody_waiting():
    with Shop("--workers", "16") as shop:
        dripping = []
        for i in range(8):
            s = socket.create_connection(("127.0.0.1", shop.port))
            s.sendall(b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
            dripping.append(s)
        for _ in range(20):
            assert shop.call("GET", "/livez").status_code == 200

        def cut():
            for s in dripping:
                s.setblocking(False)
                try:
                    s.send(b" ")
                    while s.recv(4096):
                        pass
                    return True
                except BlockingIOError:
                    pass
                except OSError:
                    return True
            return False
        wait_for("the drippers to be cut", cut, 20, 0.5)


def metrics_are_clean():
    import shutil
    import subprocess
    with Shop(processes=True) as shop:
        admin = shop.admin()
        assert shop.order(admin, (shop.product(admin)["id"], 1)).status_code == 201
        wanted = ("zmart_http_requests_total", "zmart_http_request_seconds_bucket", "zmart_store_commits_total",
                  "zmart_service_batch_size_bucket", "zmart_ws_connections")
        text = wait_for("the workers' figures", lambda: (lambda t: all(w in t for w in wanted) and t)(shop.call("GET", "/metrics").text))
        promtool = shutil.which("promtool")
        assert promtool, "promtool is missing (Debian's package prometheus)"
        out = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
        assert out.returncode == 0 and not out.stderr.strip(), out.stdout + out.stderr


def log_lines_are_json():
    with Shop() as shop:
        token = shop.register()["token"]
        reply = shop.call("GET", "/api/orders", token)
        path = shop.folder / "data" / "zmart.log"
        lines = lambda: [json.loads(line) for line in path.read_text().splitlines()]
        line = wait_for("the line", lambda: next((l for l in lines() if l.get("request_id") == reply.headers["X-Request-Id"]), None))
        assert line["status"] == 200 and line["user"].startswith("usr_") and "ms" in line and line["route"], line
        assert token not in path.read_text()


run({f.__name__: f for f in (the_catalogue, money_is_exact, orders_and_keys, accounts_and_sessions, guessing_is_slowed_down, bad_bodies,
                             bad_requests, smuggling_is_refused, slow_clients_keep_nobody_waiting, metrics_are_clean, log_lines_are_json)})
