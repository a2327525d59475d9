"""The published first calls, verbatim, then every path of the published table once, all-in-one and as processes."""
import re
import subprocess

import requests

from shop import Shop, problem, run

REGISTER = '''curl -s -X POST http://localhost:PORT/api/auth/register -H "Content-Type: application/json" \
     -d '{"email":"test@example.com","password":"password","name":"Test User"}' '''
LOGIN = '''curl -s -X POST http://localhost:PORT/api/auth/login -H "Content-Type: application/json" \
     -d '{"email":"test@example.com","password":"password"}' '''
PRODUCT = '''curl -s -X POST http://localhost:PORT/api/products -H "Authorization: Bearer <your-token>" \
     -H "Content-Type: application/json" -d '{"name":"Test Product","price":29.99,"stock":100}' '''

ADDRESS = {"name": "Ada", "line1": "1 Way", "city": "Rome", "postal_code": "00100", "country": "IT"}


def curl(shop, command, token=""):
    command = command.replace("PORT", str(shop.port)).replace("<your-token>", token)
    out = subprocess.run(["/bin/sh", "-c", command + " -w '\\n%{http_code}'"], capture_output=True, text=True, timeout=30)
    body, status = out.stdout.rsplit("\n", 1)
    import json
    return int(status), json.loads(body)


def published(shop):
    status, first = curl(shop, REGISTER)
    assert status == 201, first
    assert first["user"]["email"] == "test@example.com" and first["user"]["role"] == "admin", first
    assert "password" not in str(first["user"])
    status, again = curl(shop, LOGIN)
    assert status == 200 and again["token_type"] == "Bearer" and again["refresh_token"], again
    status, product = curl(shop, PRODUCT, again["token"])
    assert status == 201, product
    assert product["price"] == 29.99 and product["stock"] == 100 and product["id"].startswith("prd_"), product
    return again["token"], product


def every_path(shop):
    admin, product = published(shop)
    ada = shop.register("ada@example.com", "Ada")
    bob = shop.register("bob@example.com", "Bob")
    token, me = ada["token"], ada["user"]["id"]
    assert ada["user"]["role"] == "customer"
    # products
    reply = shop.call("GET", f"/api/products/{product['id']}")
    assert reply.status_code == 200 and reply.json() == product and reply.headers["ETag"]
    assert shop.call("GET", f"/api/products/{product['id']}", headers={"If-None-Match": reply.headers["ETag"]}).status_code == 304
    page = shop.call("GET", "/api/products?limit=1&q=test&in_stock=true&price_gte=1&price_lte=30&sort=price").json()
    assert page["data"] == [product] and page["has_more"] is False and page["next_cursor"] is None, page
    reply = shop.call("PUT", f"/api/products/{product['id']}", admin, {"price": 30.5})
    assert reply.status_code == 200 and reply.json()["price"] == 30.5 and reply.json()["version"] == 2, reply.text
    problem(shop.call("PUT", f"/api/products/{product['id']}", admin, {"price": 1}, headers={"If-Match": '"1-100"'}), 412)
    # orders
    reply = shop.call("POST", "/api/orders", token, {"items": [{"product_id": product["id"], "quantity": 2},
                      {"product_id": product["id"], "quantity": 1}], "shipping_address": ADDRESS, "note": "ring twice"})
    assert reply.status_code == 201, reply.text
    order = reply.json()
    assert reply.headers["Location"] == f"/api/orders/{order['id']}", reply.headers
    assert [(l["product_id"], l["quantity"], l["price"], l["total"]) for l in order["lines"]] == [(product["id"], 3, 30.5, 91.5)]
    assert order["total"] == 91.5 and order["status"] == "pending" and order["payment_status"] == "none", order
    assert order["history"][0]["status"] == "pending" and order["shipping_address"]["line1"] == "1 Way"
    assert shop.call("GET", f"/api/products/{product['id']}").json()["stock"] == 97
    assert shop.call("GET", f"/api/orders/{order['id']}", token).json() == order
    problem(shop.call("GET", f"/api/orders/{order['id']}", bob["token"]), 404, "not_found")
    assert shop.call("GET", f"/api/orders/{order['id']}", admin).status_code == 200
    assert [o["id"] for o in shop.call("GET", "/api/orders?status=pending", token).json()["data"]] == [order["id"]]
    assert shop.call("GET", "/api/orders", bob["token"]).json()["data"] == []
    assert len(shop.call("GET", f"/api/orders?user_id={me}", admin).json()["data"]) == 1
    problem(shop.call("PUT", f"/api/orders/{order['id']}/status", token, {"status": "confirmed"}), 403, "forbidden")
    body = problem(shop.call("PUT", f"/api/orders/{order['id']}/status", admin, {"status": "delivered"}), 409, "bad_transition")
    assert sorted(body["allowed"]) == ["cancelled", "confirmed"], body
    reply = shop.call("PUT", f"/api/orders/{order['id']}/status", token, {"status": "cancelled"})
    assert reply.status_code == 200 and reply.json()["status"] == "cancelled", reply.text
    assert shop.call("PUT", f"/api/orders/{order['id']}/status", token, {"status": "cancelled"}).json() == reply.json()
    body = problem(shop.call("PUT", f"/api/orders/{order['id']}/status", admin, {"status": "confirmed"}), 409, "bad_transition")
    assert body["allowed"] == [], body
    assert shop.call("GET", f"/api/products/{product['id']}").json()["stock"] == 100
    body = problem(shop.order(token, (product["id"], 101)), 409, "out_of_stock")
    assert body["errors"][0]["available"] == 100 and body["errors"][0]["pointer"] == "/items/0", body
    problem(shop.order(token, ("prd_unknown", 1)), 409, "unavailable")
    # users
    assert shop.call("GET", f"/api/users/{me}", token).json()["name"] == "Ada"
    problem(shop.call("GET", f"/api/users/{me}", bob["token"]), 404)
    reply = shop.call("PUT", f"/api/users/{me}", token, {"name": "Ada L.", "addresses": [ADDRESS]})
    assert reply.status_code == 200 and reply.json()["addresses"][0]["country"] == "IT", reply.text
    assert len(shop.call("GET", "/api/users", admin).json()["data"]) == 3
    problem(shop.call("GET", "/api/users", token), 403, "forbidden")
    assert shop.call("PUT", f"/api/users/{bob['user']['id']}/role", admin, {"role": "admin"}).json()["role"] == "admin"
    # sessions
    problem(shop.call("POST", "/api/auth/register", body={"email": "ADA@example.com", "password": "password", "name": "x"}),
            409, "email_taken")
    problem(shop.call("POST", "/api/auth/login", body={"email": "ada@example.com", "password": "wrong-one"}), 401, "bad_credentials")
    reply = shop.call("POST", "/api/auth/refresh", body={"refresh_token": ada["refresh_token"]})
    assert reply.status_code == 200, reply.text
    fresh = reply.json()
    problem(shop.call("POST", "/api/auth/refresh", body={"refresh_token": ada["refresh_token"]}), 401)
    problem(shop.call("POST", "/api/auth/refresh", body={"refresh_token": fresh["refresh_token"]}), 401)
    carol = shop.register("carol@example.com")
    reply = shop.call("POST", "/api/ws-ticket", carol["token"])
    assert reply.status_code == 201 and reply.json()["ticket"], reply.text
    assert shop.call("POST", "/api/auth/logout", carol["token"]).status_code == 204
    problem(shop.call("GET", "/api/orders", carol["token"]), 401, "unauthenticated")
    # retiring
    assert shop.call("DELETE", f"/api/products/{product['id']}", admin).status_code == 204
    problem(shop.call("GET", f"/api/products/{product['id']}"), 404)
    assert shop.call("GET", f"/api/orders/{order['id']}", admin).json()["lines"][0]["name"] == "Test Product"
    problem(shop.order(admin, (product["id"], 1)), 409, "unavailable")
    # the gateway's own
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/.well-known/jwks.json"):
        reply = shop.call("GET", path)
        assert reply.status_code == 200, f"{path}: {reply.status_code} {reply.text[:200]}"
    paths = shop.call("GET", "/openapi.json").json()["paths"]
    for path in ("/api/auth/register", "/api/products", "/api/products/{id}", "/api/orders/{id}/status", "/api/users/{id}/role"):
        assert path in paths, sorted(paths)
    key = shop.call("GET", "/.well-known/jwks.json").json()["keys"][0]
    assert key["kty"] == "EC" and key["crv"] == "P-256" and key["alg"] == "ES256" and key["kid"], key
    assert re.search(r'^zmart_http_requests_total\{.*status="201".*\} \d+', shop.call("GET", "/metrics").text, re.M)


def first_calls_all_in_one():
    with Shop() as shop:
        every_path(shop)


def first_calls_as_processes():
    with Shop(processes=True, workers=4) as shop:
        every_path(shop)


def data_is_found_again():
    with Shop() as shop:
        token, product = published(shop)
        shop.stop()
        shop.start()
        assert shop.call("GET", f"/api/products/{product['id']}").json() == product
        reply = shop.call("PUT", f"/api/products/{product['id']}", token, {"stock": 7})
        assert reply.status_code == 200 and reply.json()["stock"] == 7, reply.text


def two_shops_side_by_side():
    with Shop() as one, Shop(processes=True) as two:
        _, product = published(one)
        published(two)
        assert two.call("GET", f"/api/products/{product['id']}").status_code == 404


run({f.__name__: f for f in (first_calls_all_in_one, first_calls_as_processes, data_is_found_again, two_shops_side_by_side)})
