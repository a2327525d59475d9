"""compose.yaml and deploy/ without containers: every command and setting is one that its program knows, and the same
processes, with the same arguments and environment, nginx included, are a shop. Each container is an address of the loopback
network of its own, and each volume a folder. MongoDB is the server that ZMART_TEST_MONGODB names."""
import ast
import collections
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import requests
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "system"))
from shop import BUILD, Shop, run, wait_for  # noqa: E402
import sockets  # noqa: E402

# The published first calls, as the system's own suite has them; a suite runs when it is imported.
CALLS = {node.targets[0].id: ast.literal_eval(node.value)
         for node in ast.parse((ROOT / "tests" / "system" / "test_first_calls.py").read_text()).body
         if isinstance(node, ast.Assign) and node.targets[0].id in ("REGISTER", "LOGIN", "PRODUCT")}
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
SCALE = {"order-svc": 4}
PATH = os.pathsep.join([str(p.parent) for p in sorted(BUILD.glob("*/*"))
                        if p.name in ("zmart", "broker", "gateway") or p.name.endswith("-svc")] + ["/usr/sbin", os.environ["PATH"]])
WORKERS = [name for name in SERVICES if name.endswith("-svc")]
OURS = {name for name, service in SERVICES.items() if service["image"] == "zmart"}


def program(name):
    found = shutil.which(name, path=PATH)
    assert found, f"{name} is not among the programs"
    return found


def settings_of(*command):
    """Flags and variables that --help lists, with what they may be."""
    text = subprocess.run([program(command[0]), *command[1:], "--help"], capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^  (--?[a-z-]+)( TEXT| N)?\n.*\n      \[(ZMART_[A-Z_]+)(?:; (-?\d+)\.\.(\d+))?", text, re.M)
    assert len(rows) >= 4, text
    return {flag: (kind.strip(), variable, low, high) for flag, kind, variable, low, high in rows}


def settings_check(where, command, environment):
    """The command of one of our programs: its words, flags and their values."""
    words = list(command)
    head = [words.pop(0)]
    while words and not words[0].startswith("-") and head[0] == "zmart" and len(head) < 2:
        head.append(words.pop(0))
    known = settings_of(*head)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            continue  # a subcommand's argument: zmart ping SERVICE
        assert word in known, f"{where}: {' '.join(head)} knows no {word}"
        kind, _, low, high = known[word]
        if kind:
            value = words.pop(0)
            assert kind != "N" or int(low) <= int(value) <= int(high), f"{where}: {word} {value}"
    if head[0] != "zmart":
        for name in environment:
            assert name in {variable for _, variable, _, _ in known.values()}, f"{where}: {head[0]} knows no {name}"


# ---- what the files say ----

def the_file_and_the_programs_agree():
    for name in sorted(OURS - {"keys"}):
        service = SERVICES[name]
        settings_check(name, service["command"], service.get("environment", {}))
        test = service["healthcheck"]["test"]
        assert test[0] == "CMD", test
        if test[1] == "zmart":
            settings_check(f"{name}'s healthcheck", test[1:], {})
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
    for name in ("gateway-1", "gateway-2", "nginx"):
        assert SERVICES[name]["healthcheck"]["test"][-1].endswith("/readyz"), name
    for name in WORKERS:
        assert SERVICES[name]["healthcheck"]["test"][1:4] == ["zmart", "ping", name.removesuffix("-svc")], name
        assert "container_name" not in SERVICES[name] and "ports" not in SERVICES[name], f"{name} cannot be scaled"
    assert len(WORKERS) == 6
    for line in (ROOT / "deploy" / "keys.sh").read_text().splitlines():
        if line.startswith("key "):
            settings_check(line, ["zmart", "keys", "new", *line.split()[1:]], {})
            assert line.split()[1] in {"operator", "tap", "gateway"} | set(SERVICES), line


def the_replica_set_is_one():
    members = [name for name, service in SERVICES.items() if service["command"][0] == "mongod"]
    assert len(members) == 3
    for name in members:
        assert SERVICES[name]["image"].split(":") == ["mongo", "8"] and "--replSet" in SERVICES[name]["command"]
        assert f'"{name}:27017"' in (ROOT / "deploy" / "replica-set.js").read_text()
    for name in WORKERS:
        hosts, query = re.fullmatch(r"mongodb://([^/]*)/zmart\?(.*)", SERVICES[name]["environment"]["ZMART_STORE"]).groups()
        assert hosts.split(",") == members and query == "replicaSet=" + SERVICES[members[0]]["command"][2]


def the_image_has_every_program():
    text = (ROOT / "Dockerfile").read_text()
    names = re.search(r'^programs="(.*?)"', (ROOT / "zmart").read_text(), re.M | re.S)[1].split()
    installed = re.search(r"install -D -t /out (.*?)\n\n", text, re.S)[1].replace("\\\n", " ").split()
    assert sorted(installed) == sorted(f"/build/{name}" for name in names), installed
    last = text.rsplit("\nFROM ", 1)[1]
    assert "\nUSER zmart\n" in last and "build-essential" not in last
    assert text.count("\nFROM ") + text.startswith("FROM ") == 2
    for name in OURS - {"keys"}:
        program(SERVICES[name]["command"][0])


def the_proxy_waits_longer_than_a_ping():
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    seconds = int(re.search(r"proxy_read_timeout (\d+)s;", text)[1])
    help_text = subprocess.run([program("gateway"), "--help"], capture_output=True, text=True, check=True).stdout
    ping = int(re.search(r"ZMART_WS_PING_S; [^;]+; default: (\d+)", help_text)[1])
    assert seconds > 2 * ping, (seconds, ping)


def units_are_sound():
    analyze = shutil.which("systemd-analyze")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="zmart-test-"))
    try:
        for name in ("zmart.service", "zmart-worker@.service"):
            text = (ROOT / "deploy" / "systemd" / name).read_text()
            command = re.search(r"^ExecStart=(.*)$", text, re.M)[1].split()
            if command[0] == "/usr/local/bin/zmart":
                settings_check(name, ["zmart", *command[1:]], {})
                variables = [v for v in re.findall(r"ZMART_[A-Z_]+(?==)", re.search(r"^Environment=(.*)$", text, re.M)[1])]
                known = {variable for _, variable, _, _ in settings_of("zmart", command[1]).values()}
                assert set(variables) <= known, variables
            for word in ("NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=\n", "User=zmart"):
                assert word in text, f"{name}: {word}"
            (folder / name).write_text(text.replace("/usr/local/bin/zmart", program("zmart")))
        (folder / "zmart-worker@order-svc.service").symlink_to("zmart-worker@.service")
        if not analyze:
            print("  systemd-analyze is not here: the units were read, not verified")
            return
        for name in ("zmart.service", "zmart-worker@order-svc.service"):
            done = subprocess.run([analyze, "verify", str(folder / name)], capture_output=True, text=True)
            assert done.returncode == 0 and not done.stderr, done.stderr
    finally:
        shutil.rmtree(folder)


# ---- the same processes without containers ----

class Cluster(Shop):
    """What `docker compose up --scale ...` starts. As a Shop it is called through nginx."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="zmart-test-"))
        self.folder.chmod(0o755)  # nginx's workers have no rights
        self.net = f"127.{random.randrange(16, 250)}.{random.randrange(1, 250)}."
        names = [(name, n) for name in SERVICES for n in range(SCALE.get(name, 1))]
        self.address = {which: self.net + str(i + 10) for i, which in enumerate(names)}
        self.children = collections.defaultdict(list)
        self.session = requests.Session()
        self.processes = True

    def place(self, name, n):
        folder = self.folder / "containers" / f"{name}-{n}"
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        return folder

    def inside(self, name, n, text):
        """What the container would see, seen from outside."""
        own = self.address[name, n]
        for path, folder in [("/tmp", self.place(name, n) / "tmp"), *self.mounts(name, n)]:
            text = re.sub(rf"(?<![\w./-]){path}(?=/|$|\s|;)", str(folder), text)
        text = re.sub(r"(?<=[/,\s])([a-z]+-\d)(?=:\d)", lambda m: self.address[m[1], 0], text)
        text = re.sub(r"0\.0\.0\.0(?!/)|127\.0\.0\.1", own, text)
        return text.replace("172.28.0.0/16", "127.0.0.1")  # where nginx calls gateways from

    def mounts(self, name, n):
        for volume in SERVICES[name].get("volumes", []):
            source, path = volume.split(":")[:2]
            if source == "./deploy":
                yield path, self.place(name, n) / "deploy"
            else:
                folder = self.folder / "volumes" / source.removeprefix("./")
                folder.mkdir(parents=True, exist_ok=True)
                yield path, folder

    def deploy_copy(self, name, n):
        """The files of deploy/ as this container reads them."""
        for source in (ROOT / "deploy").glob("*.*"):
            target = self.place(name, n) / "deploy" / source.name
            target.parent.mkdir(exist_ok=True)
            text = self.inside(name, n, source.read_text())
            text = re.sub(r"listen (\d)", rf"listen {self.address[name, n]}:\1", text)
            target.write_text(text)

    def environment(self, name, n):
        values = {k: v for k, v in os.environ.items() if not k.startswith("ZMART_")}
        for key, value in SERVICES[name].get("environment", {}).items():
            values[key] = os.environ["ZMART_TEST_MONGODB"] if key == "ZMART_STORE" else self.inside(name, n, value)
        return {**values, "PATH": PATH, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}

    def spawn(self, name, n, command, **more):
        words = [self.inside(name, n, word) for word in command]
        return subprocess.Popen([program(words[0]), *words[1:]], env=self.environment(name, n), cwd=self.place(name, n), **more)

    def start_one(self, name, n):
        self.deploy_copy(name, n)
        log = open(self.place(name, n) / "log.txt", "ab")
        child = self.spawn(name, n, SERVICES[name]["command"], stdout=log, stderr=log)
        self.children[name].append(child)
        return child

    def is_healthy(self, name, n):
        child = self.children[name][n]
        assert child.poll() is None, f"{name} ended with {child.returncode}: " + self.log_of(name, n)
        test = SERVICES[name]["healthcheck"]["test"][1:]
        return self.spawn(name, n, test, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait() == 0

    def log_of(self, name, n):
        return (self.place(name, n) / "log.txt").read_text(errors="replace")[-3000:]

    def start(self):
        certificate = self.folder / "volumes" / "certificates"
        subprocess.run(["sh", ROOT / "deploy" / "certificate.sh", certificate, "localhost"], check=True, capture_output=True)
        self.certificate = certificate / "shop.crt"
        waiting, done = {n for n in SERVICES if not SERVICES[n]["image"].startswith("mongo")}, set()
        while waiting:
            ready = [n for n in SERVICES if n in waiting and all(d in done or d == "mongo-set" for d in SERVICES[n].get("depends_on", {}))]
            assert ready, waiting
            for name in ready:
                for other, how in SERVICES[name].get("depends_on", {}).items():
                    if how["condition"] == "service_healthy" and other != "mongo-set":
                        wait_for(f"{other} to be healthy", lambda: self.is_healthy(other, 0), 30, 0.3)
                for n in range(SCALE.get(name, 1)):
                    child = self.start_one(name, n)
                    if name == "keys":
                        assert child.wait(60) == 0, self.log_of(name, n)
                waiting.remove(name)
                done.add(name)
        for name in done - {"keys"}:
            for n in range(SCALE.get(name, 1)):
                wait_for(f"{name} to be healthy", lambda: self.is_healthy(name, n), 60, 0.3)
        self.url = "https://localhost:8443"
        self.nginx = self.address["nginx", 0]

    def stop(self, check=True):
        living = [(name, n, child) for name, children in self.children.items() for n, child in enumerate(children) if child.poll() is None]
        for _, _, child in living:
            child.send_signal(signal.SIGTERM)
        bad = []
        for name, n, child in living:
            try:
                if child.wait(40) not in (0, -signal.SIGTERM if name == "nginx" else 0):
                    bad.append((name, child.returncode, self.log_of(name, n)))
            except subprocess.TimeoutExpired:
                child.kill()
                bad.append((name, "did not end", self.log_of(name, n)))
        assert not check or not bad, bad

    def __exit__(self, kind, *_):
        try:
            self.stop(check=kind is None)
        finally:
            if kind is not None:
                for name in self.children:
                    for n in range(len(self.children[name])):
                        print(f"--- {name} {n}", self.log_of(name, n)[-1500:], sep="\n", file=sys.stderr)
            shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method, path, token=None, body=None, key=None, headers=None, session=None, **more):
        head = {**(headers or {}), "Host": "localhost:8443"}
        if token:
            head["Authorization"] = f"Bearer {token}"
        if key:
            head["Idempotency-Key"] = key
        with pinned(self.nginx):
            return (session or requests).request(method, self.url + path, json=body, headers=head, timeout=30, verify=str(self.certificate), **more)


@contextlib.contextmanager
def pinned(address):
    """localhost is nginx's address here: the certificate is checked for the name."""
    import urllib3.util.connection as connection
    real = connection.create_connection
    connection.create_connection = lambda where, *a, **k: real((address, where[1]), *a, **k)
    try:
        yield
    finally:
        connection.create_connection = real


def curl_through(shop, command, token=""):
    """The published call with the shop's address in it."""
    command = command.replace("http://localhost:PORT", shop.url).replace("<your-token>", token).replace(
        "curl -s", f"curl -s --cacert {shop.certificate} --connect-to localhost:8443:{shop.nginx}:8443")
    out = subprocess.run(["/bin/sh", "-c", command + " -w '\\n%{http_code}'"], capture_output=True, text=True, timeout=60)
    body, status = out.stdout.rsplit("\n", 1)
    return int(status), json.loads(body)


def first_calls(shop):
    status, first = curl_through(shop, CALLS["REGISTER"])
    assert status == 201 and first["user"]["role"] == "admin", first
    status, again = curl_through(shop, CALLS["LOGIN"])
    assert status == 200, again
    status, product = curl_through(shop, CALLS["PRODUCT"], again["token"])
    assert status == 201 and product["price"] == 29.99 and product["stock"] == 100, product
    return again["token"], product


def socket_of(shop, token):
    import ssl
    trust = ssl.create_default_context(cafile=str(shop.certificate))

    async def connect(url, options):
        import websockets
        return await websockets.connect(url, ssl=trust, host=shop.nginx, port=8443, server_hostname="localhost", **options)
    sockets.Socket._connect = staticmethod(connect)
    return sockets.Socket("wss://localhost:8443/ws", {"Authorization": f"Bearer {token}"})


def the_composed_shop_sells():
    with Cluster() as shop:
        admin, product = first_calls(shop)
        reply = requests.get(f"http://{shop.nginx}:8080/api/products", allow_redirects=False, timeout=10)
        assert reply.status_code == 308 and reply.headers["Location"].startswith("https://"), reply.headers
        ada = shop.register("ada@example.com", "Ada")["token"]
        with socket_of(shop, ada) as socket:
            placed = shop.order(ada, (product["id"], 2))
            assert placed.status_code == 201, placed.text
            told = json.loads(socket.recv(20))
            assert told["type"] == "order.placed" and told["order"]["id"] == placed.json()["id"], told
        assert shop.call("GET", f"/api/products/{product['id']}").json()["stock"] == 98
        workers = json.loads(shop_bus(shop, "workers"))["brokers"][0]["workers"]["workers"]
        assert sum(w["instance"].startswith("order-svc") for w in workers) == SCALE["order-svc"], workers
        gateways_know_who_asks(shop)
        a_gateway_leaves(shop, ada, product)
        a_broker_and_a_worker_die(shop, ada, product, admin)


def shop_bus(shop, what):
    keys = shop.folder / "volumes" / "keys"
    done = subprocess.run([program("zmart"), "bus", what, "--json", "--bus", f"tcp://{shop.address['broker-1', 0]}:5570", "--keys", str(keys)],
                          capture_output=True, text=True, timeout=30, env={"PATH": PATH})
    assert done.returncode == 0, done.stderr
    return done.stdout


def gateways_know_who_asks(shop):
    """Behind nginx, too: what is counted by address is not counted for all."""
    client = shop.net + "200"
    done = subprocess.run(["curl", "-sS", "--fail", "--interface", client, "--cacert", str(shop.certificate), "-H", "X-Forwarded-For: 192.0.2.1",
                           "--connect-to", f"localhost:8443:{shop.nginx}:8443", f"{shop.url}/livez"], capture_output=True, timeout=30)
    assert done.returncode in (0, 22), done
    logs = lambda: "".join((shop.place(f"gateway-{i}", 0) / "log.txt").read_text() for i in (1, 2))
    wait_for("its address in a log", lambda: f'"client":"{client}"' in logs(), 10)
    assert "192.0.2.1" not in logs()


def a_gateway_leaves(shop, token, product):
    """One drains and stops while customers go on: nobody notices."""
    ended, failed, count = threading.Event(), [], [0]

    def browse():
        with requests.Session() as session:
            while not ended.is_set():
                reply = shop.call("GET", f"/api/products/{product['id']}", token, session=session)
                count[0] += 1
                if reply.status_code != 200:
                    failed.append((reply.status_code, reply.text[:200]))
    browsers = [threading.Thread(target=browse) for _ in range(3)]
    with pinned(shop.nginx):
        for thread in browsers:
            thread.start()
        wait_for("some calls", lambda: count[0] > 30)
        leaving = shop.children["gateway-1"][0]
        leaving.send_signal(signal.SIGTERM)
        assert leaving.wait(40) == 0
        seen = count[0]
        wait_for("some more calls", lambda: count[0] > seen + 30)
        ended.set()
        for thread in browsers:
            thread.join()
    assert not failed, failed[:3]
    print(f"  {count[0]} calls while a gateway left")


def a_broker_and_a_worker_die(shop, token, product, admin):
    """Killed: the other broker and the other workers have it all."""
    shop.children["broker-1"][0].kill()
    shop.children["order-svc"][0].kill()
    for which in (shop.children["broker-1"][0], shop.children["order-svc"][0]):
        which.wait()

    def bought(key):
        reply = shop.order(token, (product["id"], 1), key=key)
        return reply.json()["id"] if reply.status_code == 201 else None

    orders = {wait_for("an order", lambda: bought(f"after-{i}"), 30, 0.2) for i in range(10)}
    assert len(orders) == 10
    assert shop.call("GET", f"/api/products/{product['id']}").json()["stock"] == 88
    assert len(shop.call("GET", "/api/orders?limit=100", admin).json()["data"]) == 11


if __name__ == "__main__":
    run({f.__name__: f for f in (the_file_and_the_programs_agree, the_replica_set_is_one, the_image_has_every_program,
                                 the_proxy_waits_longer_than_a_ping, units_are_sound, the_composed_shop_sells)})
