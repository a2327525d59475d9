"""What a shop on MongoDB has stored, in the words that tests have for SQLite: the tables they ask for are filled from the
collections, in memory, at each question. ZMART_TEST_MONGODB names the server (tests/mongo/server sets it)."""
import collections
import contextlib
import os
import secrets
import sqlite3

import msgpack

HELD, RELEASED = 0, 2


def database_url():
    """The URL of a database that nobody has used yet; None: tests are on SQLite."""
    url = os.environ.get("ZMART_TEST_MONGODB")
    if not url:
        return None
    head, _, options = url.partition("?")
    base = "/".join(head.rstrip("/").split("/")[:4])
    own = f"{base}_{secrets.token_hex(4)}" if base.count("/") == 3 else f"{base}/zt_{secrets.token_hex(6)}"
    return own + (f"?{options}" if options else "")


def plain(value):
    """As it is on the bus: what BSON calls Int64 is an int."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def fill_orders(store):
    for d in store["orders"].find():
        order = d.get("order")
        yield (d["_id"], d["kind"], d.get("due"), msgpack.packb(plain(order)) if order else d.get("answer"))


def fill_outbox(store):
    for d in store["orders"].find({"outbox.at": {"$gte": 0}}, {"outbox": 1}):
        yield from ((bytes(entry["event"]),) for entry in d["outbox"])


def fill_holds(store):
    """The hold documents, and what a product's own document says before they do."""
    found = {(d["order"], d["product"]): (int(d["quantity"]), int(d["state"])) for d in store["holds"].find()}
    for product in store["products"].find({"pending.order": {"$gte": ""}}, {"pending": 1}):
        for entry in product.get("pending", []):
            key = (entry["order"], product["_id"])
            if entry["kind"] == "undo":
                found[key] = (int(entry["quantity"]), RELEASED)
            else:
                found.setdefault(key, (int(entry["quantity"]), HELD))
    yield from ((*key, *value) for key, value in found.items())


def fill_products(store):
    yield from ((d["_id"], int(d["stock"])) for d in store["products"].find({}, {"stock": 1}))


def fill_entries(store):
    for d in store["event_log"].find():
        yield (int(d["_id"]), d["id"], d["type"], d["subject"], d.get("user_id"))


Table = collections.namedtuple("Table", "columns fill")
TABLES = {
    "order.db": {"orders": Table("id, kind, due, document", fill_orders), "outbox": Table("event", fill_outbox)},
    "product.db": {"holds": Table("order_id, product_id, quantity, state", fill_holds), "products": Table("id, stock", fill_products)},
    "event.db": {"entry": Table("seq, id, type, subject, user_id", fill_entries)},
}


def rows(url, file, sql, *args):
    import pymongo  # only where tests are on MongoDB
    with pymongo.MongoClient(url, serverSelectionTimeoutMS=20000) as client, contextlib.closing(sqlite3.connect(":memory:")) as memory:
        store = client.get_default_database()
        for name, table in TABLES[file].items():
            memory.execute(f"CREATE TABLE {name}({table.columns})")
            if f"FROM {name}" in sql:
                places = ", ".join("?" * (table.columns.count(",") + 1))
                memory.executemany(f"INSERT INTO {name} VALUES({places})", table.fill(store))
        return memory.execute(sql, args).fetchall()
