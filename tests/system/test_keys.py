"""Keys with real processes: what starts, who gets in, and that secrets stay where they are."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import tempfile

import msgpack
import zmq

from proxy import free_base
from shop import BUILD, SLOW, Shop, free_port, run, wait_for

ZMART = str(BUILD / "cli" / "zmart")
PROGRAMS = {"event-svc": "event", "product-svc": "product", "order-svc": "order", "user-svc": "user",
            "webhook-svc": "webhook", "mail-svc": "mail"}
CALLS = {"event-svc": "", "product-svc": "order,event", "order-svc": "product,event", "user-svc": "event",
         "webhook-svc": "event", "mail-svc": "event,user"}


def zmart(*args, status=0):
    done = subprocess.run([ZMART, *map(str, args)], capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == status, (args, done)
    return done.stdout + done.stderr


@contextlib.contextmanager
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="zmart-keys-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def pair(keys, name):
    """The two keys in a .secret file."""
    lines = dict(l.split(" ", 1) for l in (keys / f"{name}.secret").read_text().splitlines() if not l.startswith("#"))
    return lines["public"].encode(), lines["secret"].encode()


def server_key(keys):
    return next(l.split(" ", 1)[1] for l in (keys / "broker.public").read_text().splitlines() if l.startswith("public ")).encode()


class Tap:
    """A subscriber with a key, or without one (name None)."""

    def __init__(self, endpoint, keys=None, name=None):
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.linger = 0
        if name:
            self.socket.curve_publickey, self.socket.curve_secretkey = pair(keys, name)
            self.socket.curve_serverkey = server_key(keys)
        self.socket.setsockopt(zmq.SUBSCRIBE, b"")
        self.socket.connect(endpoint)

    def hears(self, seconds=10):
        """Whether a beacon comes."""
        return self.socket.poll(seconds * 1000 * SLOW) and self.drained()

    def drained(self):
        while self.socket.poll(0):
            frames = self.socket.recv_multipart()
            assert len(frames) == 3, frames
            msgpack.unpackb(frames[1])
        return True

    def close(self):
        self.socket.close()


def beyond_loopback_needs_keys():
    with folder() as place:
        base = [ZMART, "up", "--data", str(place / "data"), "--port", str(free_port())]
        for processes in ([], ["--processes"]):
            done = subprocess.run([*base, *processes, "--events", f"tcp://0.0.0.0:{free_port()}"], capture_output=True, text=True, timeout=60)
            assert done.returncode != 0 and "--keys" in done.stderr, done
        for address in ("tcp://0.0.0.0:{}", "tcp://127.0.0.1:{}"):
            args = [str(BUILD / "broker" / "broker"), "--events", "", "--bus", address.format(free_port())]
            done = subprocess.run(args, capture_output=True, text=True, timeout=60)
            assert done.returncode != 0 and "--keys DIR" in done.stderr and "zmart keys new" in done.stderr, done
        args = [str(BUILD / "order-svc" / "order-svc"), "--bus", "tcp://10.1.2.3:5570", "--store", f"sqlite:{place}"]
        done = subprocess.run(args, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and "--keys DIR" in done.stderr, done


def a_tap_with_a_key():
    for processes in (False, True):
        with folder() as place:
            keys = place / "keys"
            port = free_port()
            with Shop("--keys", str(keys), "--events", f"tcp://0.0.0.0:{port}", processes=processes) as shop:
                events = f"tcp://127.0.0.1:{port}"
                assert stat.S_IMODE((keys / "broker.secret").stat().st_mode) == 0o600  # made by up
                zmart("keys", "new", "tap", "--role", "subscriber", "--keys", keys)
                tap, bare = Tap(events, keys, "tap"), Tap(events)
                assert tap.hears(20), "the key that is allowed hears nothing"
                zmart("keys", "new", "stranger", "--role", "subscriber", "--keys", place / "others")
                shutil.copy(keys / "broker.public", place / "others" / "broker.public")
                stranger = Tap(events, place / "others", "stranger")
                assert tap.hears(20)
                assert not bare.socket.poll(0) and not stranger.socket.poll(0)
                shutil.copy(place / "others" / "stranger.public", place / "stranger.public")
                zmart("keys", "allow", "friend", place / "stranger.public", "--role", "subscriber", "--keys", keys)
                assert stranger.hears(20), "allowed, and still deaf"
                zmart("keys", "revoke", "tap", "--keys", keys)
                assert not (keys / "tap.secret").exists()

                def silent():
                    tap.drained()
                    return not tap.socket.poll(2500)  # beacons come each second
                wait_for("the revoked tap to fall silent", silent, 20)
                assert stranger.hears(20)
                assert shop.call("GET", "/readyz").status_code == 200
                log = (shop.folder / "data" / "zmart.log").read_text()
                for name, where in (("broker", keys), ("stranger", place / "others")):
                    assert pair(where, name)[1].decode() not in log
                tap.close(), bare.close(), stranger.close()


class Program:
    """One executable with a log of its own."""

    def __init__(self, place, name, *flags):
        self.name, self.log_path = name, place / f"{name}.log"
        args = [str(BUILD / name / name), *map(str, flags), "--log-file", str(self.log_path)]
        self.process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def said(self, event):
        assert self.process.poll() is None, (self.name, self.log_path.read_text()[-2000:])
        return self.log_path.exists() and f'"event":"{event}"' in self.log_path.read_text().replace(" ", "")

    def ready(self):
        wait_for(f"{self.name} to be ready", lambda: self.said("ready"), 30)
        return self

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(40)


def a_whole_shop_over_tcp():
    with folder() as place, contextlib.ExitStack() as stack:
        keys, bus, port = place / "keys", free_base(), free_port()
        (place / "data").mkdir(mode=0o700)
        zmart("keys", "new", "broker", "--keys", keys)
        zmart("keys", "new", "gateway", "--role", "gateway", "--keys", keys)
        zmart("keys", "new", "operator", "--role", "operator", "--keys", keys)
        for name, service in PROGRAMS.items():
            calls = ["--calls", CALLS[name]] if CALLS[name] else []
            zmart("keys", "new", name, "--role", "worker", "--services", service, *calls, "--keys", keys)
        common = ["--bus", bus, "--keys", keys]

        def start(name, *flags):
            program = Program(place, name, *common, *flags)
            stack.callback(program.stop)
            return program
        broker = start("broker", "--events", "").ready()
        more = {"mail-svc": ["--data", place / "data"]}
        services = [start(name, "--store", f"sqlite:{place}/data", *more.get(name, [])) for name in PROGRAMS]
        for service in services:
            service.ready()
        start("gateway", "--port", port).ready()
        shop = Shop()
        shop.url = f"http://127.0.0.1:{port}"
        wait_for("the shop to be ready", lambda: shop.call("GET", "/readyz").status_code == 200, 30)
        token = shop.admin()
        product = shop.product(token, stock=3)
        hook = shop.call("POST", "/api/webhooks", token, {"url": "https://localhost/", "types": ["order.placed"]}).json()
        assert shop.order(token, (product["id"], 2)).status_code == 201
        # who follows the log with a key hears of it: a mail is written, a webhook tried (and refused: it is inside)
        wait_for("the mail", lambda: list((place / "data" / "mail").glob("*.eml")), 20)
        wait_for("the attempt", lambda: [d for d in shop.call("GET", f"/api/webhooks/{hook['id']}/deliveries", token).json()["data"]
                                         if d["attempts"]], 20)
        assert "1 workers" in zmart("ping", "order", "--key", "operator", "--bus", bus, "--keys", keys)
        # nobody's secret is to be seen: not in logs, not in anybody's arguments
        secrets = [pair(keys, n)[1].decode() for n in ("broker", "gateway", "order-svc")]
        words = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout
        words += "".join(path.read_text() for path in place.glob("*.log"))
        assert not any(secret in words for secret in secrets)
        # a hang-up makes the broker look at once, and ends nothing
        broker.process.send_signal(signal.SIGHUP)
        wait_for("the list to be read again", lambda: broker.log_path.read_text().count("keys.loaded") >= 2, 20)
        # without its key the operator is out, the shop goes on
        zmart("keys", "revoke", "operator", "--keys", keys)
        zmart("ping", "order", "--key", "operator", "--bus", bus, "--keys", keys, status=1)
        assert shop.order(token, (product["id"], 1)).status_code == 201


def the_command():
    with folder() as place:
        keys = place / "keys"
        said = zmart("keys", "new", "gw-1", "--role", "gateway", "--keys", keys)
        assert pair(keys, "gw-1")[0].decode() in said and pair(keys, "gw-1")[1].decode() not in said
        assert stat.S_IMODE(keys.stat().st_mode) == 0o700
        zmart("keys", "new", "w", "--role", "worker", "--services", "order,user", "--calls", "product", "--keys", keys)
        assert "twice" in zmart("keys", "allow", "gw-1", keys / "broker.public", "--role", "gateway", "--keys", keys, status=1)
        assert "already" in zmart("keys", "new", "gw-1", "--role", "gateway", "--keys", keys, status=1)
        assert "worker" in zmart("keys", "new", "x", "--role", "worker", "--keys", keys, status=1)
        assert "--role" in zmart("keys", "new", "x", "--role", "king", "--keys", keys, status=1)
        assert "name" in zmart("keys", "new", "../x", "--role", "gateway", "--keys", keys, status=1)
        assert "no key" in zmart("keys", "revoke", "x", "--keys", keys, status=1)
        zmart("keys", "frobnicate", "--keys", keys, status=2)
        assert "--keys" in zmart("keys", "list", status=2)
        assert "gw-1" in zmart("keys", "list", "--keys", keys)
        listed = {k["name"]: k for k in json.loads(zmart("keys", "list", "--json", "--keys", keys))["keys"]}
        assert listed["w"] == {"name": "w", "role": "worker", "services": ["order", "user"], "calls": ["product"],
                               "public": pair(keys, "w")[0].decode(), "secret_here": True}, listed
        assert listed["gw-1"]["calls"] == ["*"]
        os.chmod(keys / "w.secret", 0o644)
        args = [str(BUILD / "order-svc" / "order-svc"), "--bus", free_base(), "--keys", str(keys), "--key", "w", "--store", f"sqlite:{place}"]
        done = subprocess.run(args, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and "can be read by others" in done.stderr, done


if __name__ == "__main__":
    run({f.__name__: f for f in (the_command, beyond_loopback_needs_keys, a_tap_with_a_key, a_whole_shop_over_tcp)})
