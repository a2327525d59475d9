#!/usr/bin/python3
"""A shop moves from SQLite to MongoDB and back with zmart backup and zmart restore; ZMART_TEST_MONGODB names the server."""
import os
import pathlib
import re
import subprocess
import sys

URL = os.environ.pop("ZMART_TEST_MONGODB")  # a Shop would begin there
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import pymongo
from shop import BUILD, SLOW, Shop, run, wait_for

ZMART = str(BUILD / "cli" / "zmart")

def zmart(*words, status=0):
    done = subprocess.run([ZMART, *map(str, words)], capture_output=True, text=True, timeout=120 * SLOW)
    assert done.returncode == status, f"{words} ended with {done.returncode}: {done.stdout} {done.stderr}"
    return done.stderr if status else done.stdout


def sections(file):
    found = re.findall(r"^(\S+) +(\d+) rows  ([0-9a-f]{64})$", zmart("restore", file, "--check"), re.M)
    return {name: (int(count), sum) for name, count, sum in found}


def differ(one, other):
    a, b = sections(one), sections(other)
    assert a.keys() == b.keys()
    return {name for name in a if a[name] != b[name]}


def books_balance(database, stocked):
    kept = {}
    for hold in database.holds.find():
        if hold["state"] != 2:
            kept[hold["product"]] = kept.get(hold["product"], 0) + hold["quantity"]
    for product in database.products.find({"product": {"$exists": True}}):
        assert product["stock"] + kept.get(product["_id"], 0) == stocked, product["_id"]


def there_and_back():
    with Shop() as shop:
        admin = shop.admin()
        products = [shop.product(admin, name=f"Thing {i}", stock=50, categories=["things"], images=["https://example.com/a.png"])["id"]
                    for i in range(6)]
        customer = shop.register()["token"]
        orders = [shop.order(customer, (products[i % 5], 1), (products[(i + 1) % 5], 2)).json()["id"] for i in range(12)]
        assert shop.call("PUT", f"/api/orders/{orders[0]}/status", customer, {"status": "cancelled"}).status_code == 200
        assert shop.call("DELETE", f"/api/products/{products[5]}", admin).status_code == 204
        assert shop.order(customer, (products[0], 1000), key="too-many-1").status_code == 409
        hook = {"url": "https://example.com/hook", "types": ["order.*"], "active": False}
        assert shop.call("POST", "/api/webhooks", admin, hook).status_code == 201
        wait_for("everything to be settled", lambda: not shop.rows("order.db", "SELECT 1 FROM orders WHERE due IS NOT NULL")
                 and not shop.rows("product.db", "SELECT 1 FROM products WHERE news = 1") and not shop.rows("product.db", "SELECT 1 FROM outbox"), 30)
        shop.stop()
        folder = shop.folder
        zmart("backup", folder / "a.backup", "--data", folder / "data")
        told = zmart("restore", folder / "a.backup", "--store", URL)
        assert "made 0; order ids voided 0" in told and "back to stock 0, taken from it 0" in told, told
        assert "not empty" in zmart("restore", folder / "a.backup", "--store", URL, status=1)
        zmart("backup", folder / "b.backup", "--store", URL)
        zmart("restore", folder / "b.backup", "--data", folder / "back")
        zmart("backup", folder / "c.backup", "--data", folder / "back")
        new_epoch = {"event.stream", "event.entries", "event.topics"}  # each restore tells of itself in the log
        kept_otherwise = {"product.answers"}  # of edits of the last 48 hours: each store keeps them its own way
        assert differ(folder / "a.backup", folder / "b.backup") <= new_epoch | kept_otherwise, differ(folder / "a.backup", folder / "b.backup")
        assert differ(folder / "b.backup", folder / "c.backup") <= new_epoch, differ(folder / "b.backup", folder / "c.backup")
        entries = [sections(folder / f"{name}.backup")["event.entries"][0] for name in "abc"]
        assert entries == [entries[0], entries[0] + 1, entries[0] + 2], entries
        goes_on(products, customer)


def goes_on(products, customer):
    """The shop that was restored into MongoDB sells, finds, and is backed up while it runs."""
    database = pymongo.MongoClient(URL).get_default_database()
    with Shop(env={"ZMART_STORE": URL}) as shop:
        reply = shop.call("POST", "/api/auth/login", body={"email": "admin@example.com", "password": "password"})
        token = reply.json()["token"]
        assert shop.call("GET", "/api/products?q=thing").json()["data"]
        order = shop.order(token, (products[0], 4))
        assert order.status_code == 201, order.text
        assert len(shop.call("GET", "/api/orders", token).json()["data"]) == 13
        wait_for("the order's event", lambda: database.event_log.find_one({"type": "order.placed", "_id": {"$gt": 1000000}}), 30)
        wait_for("its holds to be confirmed", lambda: not database.holds.find_one({"state": 0}), 30)
        books_balance(database, 50)
        zmart("backup", shop.folder / "d.backup", "--store", URL)
        told = zmart("restore", shop.folder / "d.backup", "--data", shop.folder / "last")
        assert "order ids voided 0" in told and "taken from it 0" in told, told


run({f.__name__: f for f in (there_and_back,)})
