"""Running zmart backup and zmart restore, and looking into what they leave."""
import contextlib
import pathlib
import re
import sqlite3
import subprocess
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from shop import BUILD, SLOW

ZMART = str(BUILD / "cli" / "zmart")
HELD, CONFIRMED, RELEASED, COMMITTED = range(4)


def zmart(*words, status=0, **more):
    done = subprocess.run([ZMART, *map(str, words)], capture_output=True, text=True, timeout=120 * SLOW, **more)
    assert done.returncode == status, f"{words} ended with {done.returncode}: {done.stdout} {done.stderr}"
    if status:
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("zmart: "), f"not one line: {done.stderr}"
    return done.stderr if status else done.stdout


@contextlib.contextmanager
def database_beside(server, name):
    """Another one on the same server: its URL, and the database."""
    import pymongo  # only where there is a server
    parts = urllib.parse.urlsplit(server)
    url = parts._replace(path=f"{parts.path}-{name}").geturl()
    with pymongo.MongoClient(url) as client:
        database = client.get_default_database()
        try:
            yield url, database
        finally:
            client.drop_database(database.name)


def rows(folder, file, sql, *values):
    with contextlib.closing(sqlite3.connect(pathlib.Path(folder) / file)) as db:
        found = db.execute(sql, values).fetchall()
        db.commit()
        return found


def sections(file):
    """name -> (rows, checksum)"""
    found = re.findall(r"^(\S+) +(\d+) rows  ([0-9a-f]{64})$", zmart("restore", file, "--check"), re.M)
    assert len(found) > 15, found
    return {name: (int(count), sum) for name, count, sum in found}


def books_balance(folder, stocked):
    """For each product stock + what is held or gone = what there was; each placed order has its holds, and nothing else has."""
    orders = dict(rows(folder, "order.db", "SELECT id, status FROM orders WHERE kind = 'placed'"))
    kept = {}
    holds = rows(folder, "product.db", "SELECT order_id, product_id, quantity, state FROM holds")
    for order, product, quantity, state in holds:
        if state != RELEASED:
            kept[product] = kept.get(product, 0) + quantity
        wanted = {"pending": CONFIRMED, "confirmed": CONFIRMED, "shipped": COMMITTED, "delivered": COMMITTED}.get(orders.get(order), RELEASED)
        assert state == wanted, f"a hold of {order} ({orders.get(order)}) is {state}"
    for product, stock in rows(folder, "product.db", "SELECT id, stock FROM products"):
        assert stock + kept.get(product, 0) == stocked, f"{product}: {stock} + {kept.get(product, 0)}"
    of_orders = {order for order, *_ in holds}
    missing = [order for order, status in orders.items() if status != "cancelled" and order not in of_orders]
    assert not missing, f"orders without holds: {missing}"
    assert not rows(folder, "order.db", "SELECT id FROM orders WHERE due IS NOT NULL")
