"""E-mail on order events: to a real SMTP server (aiosmtpd), or into .eml files; retries, refusals, kills."""
import contextlib
import email
import email.policy
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from shop import BUILD, Shop, free_port, run, wait_for

MOVES = ("confirmed", "shipped", "delivered")


class Mailbox:
    """What a server got; answer(message, to) may refuse with an SMTP reply."""

    def __init__(self, answer=lambda message, to: None):
        self.messages, self.answer, self.lock = [], answer, threading.Lock()

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        reply = self.answer(message, envelope.rcpt_tos)
        if reply:
            return reply
        with self.lock:
            self.messages.append((envelope.mail_from, envelope.rcpt_tos, message, envelope.content))
        return "250 kept"

    def subjects(self):
        return [message["Subject"] for _, _, message, _ in self.messages]


@contextlib.contextmanager
def server(mailbox, **settings):
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **settings)
    controller.start()
    try:
        yield f"127.0.0.1:{controller.port}"
    finally:
        controller.stop()


def smtp(address, *flags):
    return ["--smtp-url", f"smtp://{address}", "--smtp-plain", "--mail-retry-permille", "1", *flags]


def ordered(shop, buyer, product, moves=()):
    order = shop.order(buyer["token"], (product["id"], 2)).json()
    for status in moves:
        assert shop.call("PUT", f"/api/orders/{order['id']}/status", shop.boss, {"status": status}).status_code == 200
    return order


def open_shop(shop):
    shop.boss = shop.admin()
    return shop.product(shop.boss, name="Käse & Brot", price=1234.5, stock=1000)


def log_of(shop):
    return (shop.folder / "data" / "zmart.log").read_text()


# ---- tests ----

def customers_are_written_about_every_step():
    for processes in (False, True):
        mailbox = Mailbox()
        with server(mailbox) as address, \
                Shop(*smtp(address, "--mail-from", "shop@example.com", "--mail-shop", "Käsehaus"), processes=processes) as shop:
            product = open_shop(shop)
            buyer = shop.register("zoe@example.com", 'Zoë "Z" Müller')
            order = ordered(shop, buyer, product, MOVES)
            other = ordered(shop, buyer, product, ("cancelled",))
            wait_for("six mails", lambda: len(mailbox.messages) == 6, 20)
            wanted = {f"Your order {order['number']}{rest}" for rest in ("", " is confirmed", " is on its way", " was delivered")}
            wanted |= {f"Your order {other['number']}{rest}" for rest in ("", " is cancelled")}
            assert set(mailbox.subjects()) == wanted, mailbox.subjects()
            ids = {event["id"] for event in shop.call("GET", "/api/events", shop.boss, params={"types": "order.*"}).json()["data"]}
            assert {message["Message-ID"] for _, _, message, _ in mailbox.messages} == {f"<{i}@example.com>" for i in ids}
            for sender, to, message, raw in mailbox.messages:
                assert sender == "shop@example.com" and to == ["zoe@example.com"]
                assert message["To"].addresses[0].display_name == 'Zoë "Z" Müller', message["To"]
                assert message["To"].addresses[0].addr_spec == "zoe@example.com"
                assert message["From"].addresses[0].display_name == "Käsehaus"
                assert message["Auto-Submitted"] == "auto-generated" and message["Date"].datetime.year >= 2024
                assert message.get_content_type() == "text/plain" and not message.defects
                raw.decode("ascii")
                assert all(len(line) <= 78 for line in raw.split(b"\r\n")) and b"\n" not in raw.replace(b"\r\n", b"")
            text = next(m for _, _, m, _ in mailbox.messages if m["Subject"] == f"Your order {order['number']}").get_content()
            assert 'Hello Zoë "Z" Müller,' in text and "  2 x Käse & Brot, 2469.00 USD" in text, text


def without_a_server_mails_become_files():
    for processes in (False, True):
        with Shop(processes=processes) as shop:
            product = open_shop(shop)
            ordered(shop, shop.register("ada@example.com", "Ada"), product, MOVES[:1])
            folder = shop.folder / "data" / "mail"
            wait_for("two files", lambda: len(list(folder.glob("*.eml"))) == 2)
            events = shop.call("GET", "/api/events", shop.boss, params={"types": "order.*"}).json()["data"]
            assert {path.stem for path in folder.glob("*.eml")} == {event["id"] for event in events}
            message = email.message_from_bytes((folder / f"{events[0]['id']}.eml").read_bytes(), policy=email.policy.default)
            assert message["To"].addresses[0].addr_spec == "ada@example.com" and not message.defects
            assert not list(folder.glob(".*")), "nothing half is left"
            assert (folder / f"{events[0]['id']}.eml").stat().st_mode & 0o777 == 0o600


def no_more_begin_in_a_second_than_are_allowed():
    with Shop("--mail-per-second", "1") as shop:
        product = open_shop(shop)
        buyer = shop.register("ada@example.com", "Ada")
        for _ in range(5):
            ordered(shop, buyer, product)
        folder = shop.folder / "data" / "mail"
        wait_for("all files", lambda: len(list(folder.glob("*.eml"))) == 5)
        times = sorted(path.stat().st_mtime for path in folder.glob("*.eml"))
        assert times[4] - times[0] >= 1.5, times  # at least two whole seconds lie between


def a_4xx_is_tried_again_and_a_5xx_is_given_up():
    tries = []

    def answer(message, to):
        tries.append((message["Message-ID"], to[0]))
        if to == ["nobody@example.com"]:
            return "550 no such mailbox"
        return "451 later" if len([t for t in tries if t[1] == to[0]]) < 4 else None

    mailbox = Mailbox(answer)
    with server(mailbox) as address, Shop(*smtp(address)) as shop:
        product = open_shop(shop)
        ordered(shop, shop.register("nobody@example.com", "Nobody"), product)
        ordered(shop, shop.register("ada@example.com", "Ada"), product)
        wait_for("the mail that was put off", lambda: mailbox.messages, 20)
        assert mailbox.messages[0][1] == ["ada@example.com"]
        assert [t for t in tries if t[1] == "ada@example.com"] == [tries[-1]] * 4, tries
        wait_for("the line in the log", lambda: '"mail.given_up"' in log_of(shop))
        assert len([t for t in tries if t[1] == "nobody@example.com"]) == 1
        line = next(line for line in log_of(shop).splitlines() if "mail.given_up" in line)
        assert '"status":550' in line and "nobody@" not in line, line
        wait_for("the end of both", lambda: shop.rows("mail.db", "SELECT COUNT(*) FROM mail WHERE next_at IS NULL"
                                                                 " AND data IS NULL") == [(2,)])


def a_server_that_is_away_is_waited_for():
    port = free_port()
    with Shop(*smtp(f"127.0.0.1:{port}")) as shop:
        product = open_shop(shop)
        ordered(shop, shop.register("ada@example.com", "Ada"), product)
        wait_for("a vain attempt", lambda: '"mail.again"' in log_of(shop))
        mailbox = Mailbox()
        controller = Controller(mailbox, hostname="127.0.0.1", port=port)
        controller.start()
        try:
            wait_for("the mail", lambda: mailbox.messages, 30)
        finally:
            controller.stop()


def a_silent_server_does_not_hold_the_shop():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        shop = Shop(*smtp(f"127.0.0.1:{port}", "--smtp-timeout-ms", "120000"))
        with shop:
            product = open_shop(shop)
            ordered(shop, shop.register("ada@example.com", "Ada"), product)
            connection, _ = silent.accept()  # and nothing is said
            shop.stop()  # in time, with status 0
            connection.close()
            silent.close()
            mailbox = Mailbox()
            controller = Controller(mailbox, hostname="127.0.0.1", port=port)
            controller.start()
            try:
                shop.start()
                wait_for("the mail", lambda: mailbox.messages, 20)  # at once, and not after its claim
                assert shop.rows("mail.db", "SELECT tries FROM mail") == [(0,)]
            finally:
                controller.stop()


def a_silent_server_is_left_and_tried_again():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent, contextlib.ExitStack() as stack:
        shop = stack.enter_context(Shop(*smtp(f"127.0.0.1:{silent.getsockname()[1]}", "--smtp-timeout-ms", "300")))
        product = open_shop(shop)
        ordered(shop, shop.register("ada@example.com", "Ada"), product)
        first, second = (stack.enter_context(silent.accept()[0]) for _ in range(2))  # the first one was not closed by us
        assert first.recv(100) == b""
        wait_for("a vain attempt in the log", lambda: '"mail.again"' in log_of(shop))


def so_many_mails_are_under_way():
    """--mail-at-once: the others wait in the store until a connection has ended."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent, contextlib.ExitStack() as stack:
        shop = stack.enter_context(Shop(*smtp(f"127.0.0.1:{silent.getsockname()[1]}", "--smtp-timeout-ms", "120000", "--mail-at-once", "2")))
        product = open_shop(shop)
        buyer = shop.register("ada@example.com", "Ada")
        for _ in range(4):
            ordered(shop, buyer, product)
        held = [stack.enter_context(silent.accept()[0]) for _ in range(2)]  # and nothing is said
        wait_for("all mails in the store", lambda: shop.rows("mail.db", "SELECT count(*) FROM mail") == [(4,)])
        silent.settimeout(1.5)
        with contextlib.suppress(TimeoutError):
            silent.accept()
            raise AssertionError("a third one")
        silent.settimeout(None)
        held[0].close()
        stack.enter_context(silent.accept()[0])  # the next one's turn


def what_is_too_old_is_given_up():
    mailbox = Mailbox(lambda message, to: "451 later")
    with server(mailbox) as address, Shop(*smtp(address, "--mail-give-up-hours", "2")) as shop:
        product = open_shop(shop)
        ordered(shop, shop.register("ada@example.com", "Ada"), product)
        wait_for("a vain attempt", lambda: '"mail.again"' in log_of(shop))
        assert '"mail.given_up"' not in log_of(shop)
        shop.stop()
        with contextlib.closing(sqlite3.connect(shop.folder / "data" / "mail.db")) as db, db:
            db.execute("UPDATE mail SET event_at = event_at - 3 * 3600 * 1000, next_at = 0")
        shop.start()
        wait_for("the line in the log", lambda: '"mail.given_up"' in log_of(shop))


def tls_and_passwords():
    folder = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / f"zmart-smtp-{os.getpid()}"
    folder.mkdir()
    try:
        cert, key = folder / "cert.pem", folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        seen = []

        def authenticator(server_, session, envelope, mechanism, data):
            seen.append((data.login, data.password))
            return AuthResult(success=data.password == b"hunter2 & co")

        mailbox = Mailbox()
        with server(mailbox, tls_context=context, require_starttls=True, auth_required=True, authenticator=authenticator) as address:
            secret = f"smtp://shop:hunter2%20%26%20co@{address}"
            with Shop("--smtp-ca", str(cert), env={"ZMART_SMTP_URL": secret}, processes=True) as shop:
                product = open_shop(shop)
                ordered(shop, shop.register("ada@example.com", "Ada"), product)
                wait_for("the mail", lambda: mailbox.messages, 20)
                assert seen[0] == (b"shop", b"hunter2 & co"), seen
                for pid in shop.children("mail-svc") + [shop.process.pid]:
                    assert b"hunter2" not in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                assert "hunter2" not in log_of(shop)
            # a certificate that nobody vouches for: no password is said
            seen.clear()
            with Shop("--mail-retry-permille", "1", env={"ZMART_SMTP_URL": secret}) as shop:
                product = open_shop(shop)
                ordered(shop, shop.register("ada@example.com", "Ada"), product)
                wait_for("a vain attempt", lambda: '"mail.again"' in log_of(shop))
                assert not seen and len(mailbox.messages) == 1
        mailbox = Mailbox()
        with server(mailbox) as address:  # a server without TLS, and --smtp-plain not said
            with Shop("--smtp-url", f"smtp://{address}", "--mail-retry-permille", "1") as shop:
                product = open_shop(shop)
                ordered(shop, shop.register("ada@example.com", "Ada"), product)
                wait_for("a vain attempt", lambda: '"mail.again"' in log_of(shop))
                assert not mailbox.messages
    finally:
        shutil.rmtree(folder)


def a_password_in_an_argument_is_refused():
    folder = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / f"zmart-argv-{os.getpid()}"
    try:
        for flags in (["--smtp-url", "smtp://shop:secret@127.0.0.1"], ["--smtp-url", "http://127.0.0.1"],
                      ["--mail-from", "no address"]):
            done = subprocess.run([str(BUILD / "cli" / "zmart"), "up", "--port", str(free_port()), "--data", str(folder), "--events",
                                   f"tcp://127.0.0.1:{free_port()}", *flags], capture_output=True, text=True, timeout=60)
            assert done.returncode != 0 and "mail-svc" in done.stderr, done
            assert "secret" not in done.stderr and "secret" not in (folder / "zmart.log").read_text()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def a_kill_loses_no_mail():
    mailbox = Mailbox()
    with server(mailbox) as address, Shop(*smtp(address, "--smtp-timeout-ms", "1000"), processes=True) as shop:
        product = open_shop(shop)
        buyer = shop.register("ada@example.com", "Ada")
        killed = []

        def answer(message, to):
            if len(killed) < 3 and len(mailbox.messages) % 5 == 2:
                for pid in shop.children("mail-svc"):
                    if pid not in killed:
                        killed.append(pid)
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
            return None

        mailbox.answer = answer
        orders = [ordered(shop, buyer, product)["number"] for _ in range(20)]
        wait_for("every order's mail", lambda: {s.removeprefix("Your order ") for s in mailbox.subjects()} == set(orders), 90)
        assert killed
        contents = {}
        for _, _, message, raw in mailbox.messages:
            contents.setdefault(message["Message-ID"], set()).add(raw)
        assert len(contents) == 20 and all(len(raws) == 1 for raws in contents.values())  # a repeat can be told, and is the same


def old_events_and_a_shop_without_mail():
    with Shop("--mail-svc", "0") as shop:
        product = open_shop(shop)
        buyer = shop.register("ada@example.com", "Ada")
        ordered(shop, buyer, product)
        assert not (shop.folder / "data" / "mail").exists()
        shop.stop()
        shop.flags = []
        shop.start()  # mails begin now: what happened before is not written about
        second = ordered(shop, buyer, product)
        wait_for("its file", lambda: list((shop.folder / "data" / "mail").glob("*.eml")))
        files = list((shop.folder / "data" / "mail").glob("*.eml"))
        assert len(files) == 1 and second["number"] in files[0].read_text(), files


run({f.__name__: f for f in (
    customers_are_written_about_every_step, without_a_server_mails_become_files,
    no_more_begin_in_a_second_than_are_allowed, a_4xx_is_tried_again_and_a_5xx_is_given_up,
    a_server_that_is_away_is_waited_for, a_silent_server_does_not_hold_the_shop, a_silent_server_is_left_and_tried_again, so_many_mails_are_under_way, what_is_too_old_is_given_up, tls_and_passwords, a_password_in_an_argument_is_refused, a_kill_loses_no_mail,
    old_events_and_a_shop_without_mail)})
