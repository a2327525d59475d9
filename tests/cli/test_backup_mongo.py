#!/usr/bin/python3
"""A shop moves from SQLite to MongoDB and back with zmart backup and zmart restore, and is backed up while it sells all the
time; ZMART_TEST_MONGODB names the server."""
import os
import pathlib
import sys
import threading

URL = os.environ.pop("ZMART_TEST_MONGODB")  # a Shop would begin there
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import pymongo
import backups
from backups import database_beside, sections, zmart
from shop import Shop, run, wait_for

STOCK = 3000


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


def bad_files_change_nothing():
    with Shop() as shop, database_beside(URL, "bad") as (url, database):
        shop.product(shop.admin())
        file, bad = shop.folder / "a.backup", shop.folder / "bad.backup"
        zmart("backup", file, "--data", shop.folder / "data")
        data = file.read_bytes()
        middle = len(data) // 2
        for words, content in {"ends early": data[:middle], "": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:],
                               "newer zmart": data[:8] + (99).to_bytes(4, "big") + data[12:]}.items():
            bad.write_bytes(content)
            told = zmart("restore", bad, "--store", url, status=1)
            assert words in told, told
            assert not database.list_collection_names(), f"{told}: something was made"
        # of a database that holds nothing no backup is made, least of all in place of a good one
        assert "there is no shop" in zmart("backup", file, "--store", url, status=1)
        assert file.read_bytes() == data and not database.list_collection_names(), "something was made"
        database.letters.insert_one({"a": 1})
        assert "not zmart's" in zmart("restore", file, "--store", url, status=1)
        assert database.list_collection_names() == ["letters"], "something was made"


class Sellers:
    """Orders all the time, from several customers, who cancel some; others are shipped at once."""

    def __init__(self, shop, admin, products):
        self.shop, self.admin, self.products = shop, admin, products
        self.ending, self.failures, self.placed = threading.Event(), [], []
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(6)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def move(self, order, token, status):
        reply = self.shop.call("PUT", f"/api/orders/{order}/status", token, {"status": status})
        assert reply.status_code == 200, reply.text

    def sell(self, number, token):
        reply = self.shop.order(token, (self.products[number % 5], 1), (self.products[(number + 1) % 5], 2))
        assert reply.status_code == 201, reply.text
        order = reply.json()["id"]
        self.placed.append(order)
        if len(self.placed) % 3 == 0:
            self.move(order, token, "cancelled")
        elif len(self.placed) % 3 == 1:
            self.move(order, self.admin, "confirmed")
            self.move(order, self.admin, "shipped")

    def run(self, number):
        try:
            token = self.shop.register()["token"]
            while not self.ending.is_set():
                self.sell(number, token)
        except Exception as problem:  # told by the test
            self.failures.append(problem)


def shelves_fill(database, count):
    """Products that nobody buys, behind all others: it takes a while from the products that are sold to their holds."""
    one = database.products.find_one({"product": {"$exists": True}})
    fillers = []
    for i in range(count):
        id = f"prd_zzzz{i:08}"
        product = {**one["product"], "id": id, "sku": f"SKU-Z-{i}"}
        fillers.append({**one, "_id": id, "product": product, "sku_key": f"sku-z-{i}", "sku_live": f"SKU-Z-{i}"})
    database.products.insert_many(fillers)


def while_it_sells_all_the_time():
    with database_beside(URL, "busy") as (url, database):
        with Shop(env={"ZMART_STORE": url}) as shop:
            admin = shop.admin()
            products = [shop.product(admin, name=f"Thing {i}", stock=STOCK)["id"] for i in range(5)]
            shelves_fill(database, 4000)
            with Sellers(shop, admin, products) as sellers:
                for i in range(3):
                    count = len(sellers.placed)
                    wait_for("more sales", lambda: len(sellers.placed) >= count + 20 or sellers.failures, 60)
                    known, count = set(sellers.placed), len(sellers.placed)
                    zmart("backup", shop.folder / f"{i}.backup", "--store", url)
                    assert len(sellers.placed) > count, "nothing was sold meanwhile"
                    told = zmart("restore", shop.folder / f"{i}.backup", "--data", shop.folder / f"{i}")
                    assert "not in stock" not in told, told
                    backups.books_balance(shop.folder / f"{i}", STOCK)
                    kept = {id for id, in backups.rows(shop.folder / f"{i}", "order.db", "SELECT id FROM orders WHERE kind = 'placed'")}
                    assert known <= kept, f"{len(known - kept)} orders are lost"
            assert not sellers.failures, sellers.failures


def stale(products, holds, order, product, quantity, field):
    """As if the product had been read before it changed for this order's hold: its document is a ver ahead."""
    ver = products.find_one({"_id": product})["ver"]
    pieces = quantity if field == "taken" else -quantity
    products.update_one({"_id": product}, {"$inc": {"stock": pieces}})
    done = holds.update_one({"_id": f"{order}/{product}", field: {"$gt": 0, "$lte": ver}}, {"$set": {field: ver + 1}})
    assert done.matched_count == 1, holds.find_one({"_id": f"{order}/{product}"})


def entry_put(products, product, order, kind, stock, **vers):
    entry = {"order": order, "kind": kind, "quantity": 3, "fingerprint": "f", "at": 1, **vers}
    products.update_one({"_id": product}, {"$push": {"pending": entry}, "$set": {"pending_since": 1}, "$inc": {"stock": stock}})


def holds_are_as_their_product_was():
    with database_beside(URL, "stale") as (url, database), database_beside(URL, "copy") as (copy_url, copy):
        with Shop(env={"ZMART_STORE": url}) as shop:
            admin = shop.admin()
            goods = [shop.product(admin, name=f"Thing {i}", stock=STOCK)["id"] for i in range(8)]
            orders = [shop.order(admin, (product, 3)).json()["id"] for product in goods]
            for order, way in ((orders[1], ["cancelled"]), (orders[2], ["confirmed", "shipped"]), (orders[7], ["cancelled"])):
                for status in way:
                    assert shop.call("PUT", f"/api/orders/{order}/status", admin, {"status": status}).status_code == 200
            wait_for("everything to be settled", lambda: not database.orders.find_one({"due": {"$exists": True}}) and
                     not database.holds.find_one({"state": 0}) and database.holds.count_documents({"state": 2}) == 2, 30)
            shop.stop()
            products, holds = database.products, database.holds
            products.update_many({}, {"$unset": {"pending": 1, "pending_since": 1}})
            stale(products, holds, orders[0], goods[0], 3, "taken")  # not there yet, and its order was placed
            stale(products, holds, orders[1], goods[1], 3, "released")  # still held, and its order was cancelled
            stale(products, holds, orders[2], goods[2], 3, "taken")  # its order was even shipped meanwhile
            holds.delete_one({"_id": f"{orders[3]}/{goods[3]}"})  # an entry stands for the document,
            entry_put(products, goods[3], orders[3], "hold", 0, taken=2)
            entry_put(products, goods[4], "ord_nobody", "hold", -3)  # also one that an older program made, for no order,
            entry_put(products, goods[5], "ord_later", "hold", 0, taken=100)  # unless it came later,
            entry_put(products, goods[5], "ord_undone", "undo", -3, taken=2, released=100)  # or was undone only later
            holds.update_one({"_id": f"{orders[6]}/{goods[6]}"}, {"$unset": {"taken": 1}})  # of an older program
            holds.update_one({"_id": f"{orders[7]}/{goods[7]}"}, {"$unset": {"taken": 1, "released": 1}})
            zmart("backup", shop.folder / "a.backup", "--store", url)
            assert sections(shop.folder / "a.backup")["product.holds"][0] == 5
            assert sections(shop.folder / "a.backup")["product.pending"][0] == 3
            told = zmart("restore", shop.folder / "a.backup", "--data", shop.folder / "a")
            for words in ("confirmed 1, released 3, committed 0, made 2; order ids voided 2,", "back to stock 9, taken from it 6\n"):
                assert words in told, f"{words} is not in {told}"
            assert "looked up to be settled: 4\n" in told, told  # those that fit are not, whatever others' products say
            backups.books_balance(shop.folder / "a", STOCK)
            assert zmart("restore", shop.folder / "a.backup", "--store", copy_url).splitlines()[1] == told.splitlines()[1]
            books_balance(copy, STOCK)
            products.update_one({"_id": goods[0]}, {"$set": {"stock": 1}})  # of the three that are to be taken two are not there
            zmart("backup", shop.folder / "b.backup", "--store", url)
            told = zmart("restore", shop.folder / "b.backup", "--data", shop.folder / "b")
            assert "taken from it 4\n" in told and "zmart: 2 pieces that orders have were not in stock" in told, told
            assert backups.rows(shop.folder / "b", "product.db", "SELECT stock FROM products WHERE id = ?", goods[0]) == [(0,)]


run({f.__name__: f for f in (there_and_back, bad_files_change_nothing, holds_are_as_their_product_was, while_it_sells_all_the_time)})
