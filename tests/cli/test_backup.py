#!/usr/bin/python3
"""zmart backup and zmart restore over real shops: under load, with books that do not fit, with files and disks that are bad."""
import fcntl
import os
import pathlib
import re
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from backups import ZMART, books_balance, rows, sections, zmart
from shop import SLOW, Shop, run, wait_for

STOCK = 500


def stocked_shop(shop, count=5):
    token = shop.admin()
    return token, [shop.product(token, name=f"Thing {i}", stock=STOCK, categories=["things"])["id"] for i in range(count)]


def of_a_shop_under_load():
    with Shop(processes=True) as shop:
        admin, products = stocked_shop(shop)
        ending, failures, placed = threading.Event(), [], []

        def buy(number):
            try:
                token = shop.register()["token"]
                while not ending.is_set():
                    reply = shop.order(token, (products[number % 5], 1), (products[(number + 1) % 5], 2))
                    assert reply.status_code in (201, 409, 503), reply.text
                    if reply.status_code == 201:
                        placed.append(reply.json()["id"])
                        if len(placed) % 3 == 0:
                            assert shop.call("PUT", f"/api/orders/{reply.json()['id']}/status", token, {"status": "cancelled"}).status_code in (200, 503)
            except Exception as error:  # told below
                failures.append(error)

        buyers = [threading.Thread(target=buy, args=(i,)) for i in range(4)]
        for buyer in buyers:
            buyer.start()
        files = []
        for i in range(3):
            before = len(placed)
            wait_for("orders to be placed", lambda: len(placed) > before + 5 or failures, 30)
            files.append(shop.folder / f"{i}.backup")
            zmart("backup", files[-1], "--data", shop.folder / "data")
        ending.set()
        for buyer in buyers:
            buyer.join()
        assert not failures, failures
        counts = []
        for i, file in enumerate(files):
            told = zmart("restore", file, "--data", shop.folder / f"new{i}")
            assert "settled:" in told and "epoch" in told, told
            books_balance(shop.folder / f"new{i}", STOCK)
            counts.append(rows(shop.folder / f"new{i}", "order.db", "SELECT count(*) FROM orders")[0][0])
        assert counts == sorted(counts) and counts[0] > 0, counts
        epoch = shop.rows("event.db", "SELECT epoch FROM stream")[0][0]
        newest = shop.rows("event.db", "SELECT max(seq) FROM entry")[0][0]
        again = shop.folder / "again"
        again.mkdir()
        (shop.folder / "new2").rename(again / "data")
        shop.stop()
        with Shop(keep=again) as restored:
            token = restored.call("POST", "/api/auth/login", body={"email": "admin@example.com", "password": "password"}).json()["token"]
            assert restored.call("GET", "/api/products?q=thing").json()["data"], "the search finds nothing"
            assert restored.call("GET", "/api/products?category=things").json()["data"], "the category is empty"
            assert restored.order(token, (products[0], 1)).status_code == 201
            wait_for("the order's event", lambda: restored.rows("event.db", "SELECT max(seq) FROM entry WHERE type = 'order.placed'")[0][0]
                     > newest + 900000)
            assert restored.rows("event.db", "SELECT epoch FROM stream")[0][0] > epoch
            assert restored.rows("event.db", "SELECT count(*) FROM entry WHERE type = 'shop.restored'") == [(1,)]


def what_waits_is_handed_over():
    with Shop(processes=True) as shop:
        admin, products = stocked_shop(shop)
        wait_for("the outboxes to be empty", lambda: not shop.rows("product.db", "SELECT 1 FROM outbox"))
        [events] = shop.children("event-svc")
        os.kill(events, signal.SIGSTOP)
        order = shop.order(admin, (products[0], 3)).json()["id"]
        file = shop.folder / "a.backup"
        told = ""
        zmart("backup", file, "--data", shop.folder / "data")
        os.kill(events, signal.SIGCONT)
        assert sections(file)["order.outbox"][0] == 1
        told = zmart("restore", file, "--data", shop.folder / "new")
        assert int(re.search(r"handed over (\d+)", told)[1]) >= 1, told
        found = rows(shop.folder / "new", "event.db", "SELECT seq FROM entry WHERE subject = ? AND type = 'order.placed'", order)
        assert len(found) == 1 and found[0][0] > 1000000, found
        assert not rows(shop.folder / "new", "order.db", "SELECT * FROM outbox")


def books_are_settled():
    with Shop() as shop:
        admin, products = stocked_shop(shop, 3)
        orders = [shop.order(admin, (products[i % 3], 2)).json()["id"] for i in range(6)]
        wait_for("holds to be confirmed", lambda: shop.rows("product.db", "SELECT count(*) FROM holds WHERE state = 1") == [(6,)])
        shop.stop()
        data = shop.folder / "data"
        rows(data, "order.db", "DELETE FROM orders WHERE id = ?", orders[0])  # a hold without an order
        rows(data, "product.db", "UPDATE holds SET state = 0 WHERE order_id = ?", orders[1])  # never confirmed
        rows(data, "product.db", "UPDATE holds SET state = 2 WHERE order_id = ?", orders[2])  # released, and its pieces are back
        rows(data, "product.db", "UPDATE products SET stock = stock + 2 WHERE id = ?", products[2])
        rows(data, "product.db", "DELETE FROM holds WHERE order_id = ?", orders[3])  # never made
        rows(data, "product.db", "UPDATE products SET stock = stock + 2 WHERE id = ?", products[0])
        zmart("backup", shop.folder / "a.backup", "--data", data)
        told = zmart("restore", shop.folder / "a.backup", "--data", shop.folder / "new")
        for words in ("confirmed 2,", "released 1,", "made 1;", "voided 1,", "back to stock 2,", "taken from it 4"):
            assert words in told, f"{words} is not in {told}"
        books_balance(shop.folder / "new", STOCK)
        assert rows(shop.folder / "new", "order.db", "SELECT kind FROM orders WHERE id = ?", orders[0]) == [("void",)]
        zmart("backup", shop.folder / "b.backup", "--data", shop.folder / "new")  # what is settled stays as it is
        told = zmart("restore", shop.folder / "b.backup", "--data", shop.folder / "newer")
        assert "confirmed 0, released 0, committed 0, made 0; order ids voided 0, orders settled 0" in told, told
        zmart("backup", shop.folder / "c.backup", "--data", shop.folder / "newer")
        first, second = sections(shop.folder / "b.backup"), sections(shop.folder / "c.backup")
        differ = {name for name in first if first[name] != second[name]}
        assert differ == {"event.stream", "event.entries"}, differ  # epoch, and one more shop.restored


def nothing_is_left_behind():
    """Each table, column by column: one that somebody adds and no archive.c knows is found here."""
    with Shop() as shop:
        admin, products = stocked_shop(shop)
        customer = shop.register()["token"]
        order = shop.order(customer, (products[0], 1), (products[1], 2)).json()["id"]
        assert shop.call("PUT", f"/api/orders/{order}/status", customer, {"status": "cancelled"}).status_code == 200
        shop.order(customer, (products[2], 3))
        assert shop.call("PATCH", f"/api/products/{products[3]}", admin, {"name": "Another"}, key="edit-0001").status_code in (200, 404, 405)
        assert shop.call("DELETE", f"/api/products/{products[4]}", admin).status_code == 204
        hook = {"url": "https://example.com/hook", "types": ["order.*"], "description": "to look at", "active": False}
        assert shop.call("POST", "/api/webhooks", admin, hook).status_code == 201
        wait_for("everything to be settled", lambda: not shop.rows("order.db", "SELECT 1 FROM orders WHERE due IS NOT NULL"))
        shop.stop()
        zmart("backup", shop.folder / "a.backup", "--data", shop.folder / "data")
        zmart("restore", shop.folder / "a.backup", "--data", shop.folder / "new")
        handed = {"outbox", "stream", "entry", "topic", "tickets", "sqlite_sequence"}
        compared = 0
        for file in ("product.db", "order.db", "user.db", "event.db", "webhook.db", "mail.db"):
            for name, sql in rows(shop.folder / "data", file, "SELECT name, sql FROM sqlite_schema WHERE type = 'table'"):
                if name in handed or name.startswith(("sqlite_", "product_words_")):
                    continue
                columns = [c for c, in rows(shop.folder / "data", file, "SELECT name FROM pragma_table_info(?)", name)
                           if (name, c) not in {("holds", "changed_at"), ("products", "row"), ("product_categories", "product")}]
                wanted = f"SELECT {', '.join(columns)} FROM {name} ORDER BY {', '.join(columns)}"
                before, after = (rows(shop.folder / where, file, wanted) for where in ("data", "new"))
                assert before == after, f"{file}: {name} is another: {before} {after}"
                compared += len(before)
        assert compared > 20, compared
        old, new = ([tuple(r) for r in rows(shop.folder / where, "event.db", "SELECT * FROM entry WHERE type <> 'shop.restored' ORDER BY seq")]
                    for where in ("data", "new"))
        assert [r[:11] for r in old] == [r[:11] for r in new][:len(old)], "the log is another"


def bad_files_change_nothing():
    with Shop() as shop:
        admin, products = stocked_shop(shop)
        file, bad, target = shop.folder / "a.backup", shop.folder / "bad.backup", shop.folder / "new"
        zmart("backup", file, "--data", shop.folder / "data")
        assert file.stat().st_mode & 0o777 == 0o600
        data = file.read_bytes()
        middle = len(data) // 2
        cases = {"ends early": data[:middle], "checksum": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:],
                 "newer zmart": data[:8] + struct.pack(">I", 99) + data[12:], "no backup": b"something else" * 10, "follows its end": data + b"x"}
        for words, content in cases.items():
            bad.write_bytes(content)
            told = zmart("restore", bad, "--data", target, status=1)
            assert words in told or words == "checksum", f"{words}: {told}"
            assert not target.exists(), f"{words}: something was made"
        zmart("restore", file, "--data", shop.folder / "data", status=1)  # a shop runs there
        assert "cannot read" in zmart("restore", shop.folder / "none", "--data", target, status=1)
        assert "there is no shop" in zmart("backup", bad, "--data", target, status=1)
        zmart("backup", file, "--store", "other:thing", status=1)
        zmart("restore", file, file, status=2)
        zmart("restore", file, "--data", target)
        before = {p.name: p.read_bytes() for p in target.glob("*.db")}
        assert "not empty" in zmart("restore", file, "--data", target, status=1)
        assert before == {p.name: p.read_bytes() for p in target.glob("*.db")}


def only_a_backup_is_replaced():
    """Whatever else stands where a backup is to go stays as it is, also for a moment."""
    with Shop() as shop:
        stocked_shop(shop)
        data, file, note, pipe = shop.folder / "data", shop.folder / "a.backup", shop.folder / "note", shop.folder / "pipe"
        zmart("backup", file, "--data", data)
        zmart("backup", file, "--data", data)  # an older one is replaced
        note.write_text("to remember")
        os.mkfifo(pipe)
        assert "no backup of zmart's" in zmart("backup", note, "--data", data, status=1) and note.read_text() == "to remember"
        assert "no backup of zmart's" in zmart("backup", data / "order.db", "--data", data, status=1)
        for path in (pipe, "/dev/stdout"):
            assert "is no file" in zmart("backup", path, "--data", data, status=1)
        assert "is no file" in zmart("restore", pipe, "--data", shop.folder / "new", status=1)
        assert "cannot write" in zmart("backup", shop.folder / "none" / "file", "--data", data, status=1)
        with open(f"{file}.part", "wb") as part:
            fcntl.flock(part, fcntl.LOCK_EX)
            assert "another backup is writing" in zmart("backup", file, "--data", data, status=1)
        zmart("backup", file, "--data", data)  # what a backup that was killed has left is no hindrance
        sections(file)
        assert sorted(p.name for p in shop.folder.iterdir()) == ["a.backup", "data", "note", "pipe", "stderr.txt"], list(shop.folder.iterdir())


def a_full_disk_leaves_nothing():
    def small(size):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return limit
    with Shop() as shop:
        admin, products = stocked_shop(shop)
        file, target = shop.folder / "a.backup", shop.folder / "new"
        assert "cannot write" in zmart("backup", file, "--data", shop.folder / "data", status=1, preexec_fn=small(4096))
        assert not list(shop.folder.glob("a.backup*"))
        zmart("backup", file, "--data", shop.folder / "data")
        zmart("restore", file, "--data", target, status=1, preexec_fn=small(40000))
        assert not target.exists()
        zmart("restore", file, "--data", target)


def on_a_schedule():
    with Shop() as shop, tempfile.TemporaryDirectory() as folder:
        stocked_shop(shop)
        keeper = subprocess.Popen([ZMART, "backup", folder, "--every", "1s", "--keep", "2", "--data", shop.folder / "data"],
                                  stdout=subprocess.PIPE, text=True)
        left = pathlib.Path(folder) / "zmart-20200101T000000Z.backup.part"  # by one that was killed
        left.touch()
        written = [keeper.stdout.readline().split()[2] for _ in range(4)]
        assert not left.exists()
        assert len(set(written)) == 4
        wait_for("the older ones to go", lambda: len(list(pathlib.Path(folder).iterdir())) <= 3)
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(30 * SLOW) == 0
        left = sorted(map(str, pathlib.Path(folder).glob("*.backup")))
        assert len(left) == 2 and left[-1] >= written[-1][:-1], left
        sections(left[-1])


run({f.__name__: f for f in (of_a_shop_under_load, what_waits_is_handed_over, books_are_settled, nothing_is_left_behind, bad_files_change_nothing, only_a_backup_is_replaced,
                             a_full_disk_leaves_nothing, on_a_schedule)})
