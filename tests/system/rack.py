"""A shop of single processes that a test starts, freezes, kills and stops one by one: N brokers, N gateways, one of each
service, every one in its own process with its own log, joined through proxies where the test wants them."""
import contextlib
import json
import mmap
import os
import pathlib
import signal
import struct
import subprocess
import sys
import threading
import time

import requests

import bus1
from proxy import Proxy, free_base
from shop import BUILD, SLOW, Shop, free_port, wait_for

NEXT = BUILD / "tests" / "system" / "next"  # programs of a version ahead of this one
SERVICES = ("event-svc", "product-svc", "user-svc", "order-svc")


class Process:
    """One of our programs. freeze and thaw are SIGSTOP and SIGCONT, kill is SIGKILL, stop is SIGTERM and waits."""

    def __init__(self, folder, name, instance, flags, shim=None):
        self.folder, self.name, self.instance, self.flags, self.shim = folder, name, instance, list(flags), shim
        self.log_path = folder / f"{instance}.log"
        self.child, self.ready_read = None, None
        self.frozen = False
        self.program = BUILD / name / name

    def is_next(self):
        return self.program == NEXT / self.name

    def version_change(self):
        """From its next start on it is one version further, or back again."""
        self.program = BUILD / self.name / self.name if self.is_next() else NEXT / self.name

    def start(self, seconds=30, wait=True):
        self.forget_ready()
        self.ready_read, ready = os.pipe()
        # dies with us; so only ever started by the main thread
        args = ["setpriv", "--pdeathsig", "KILL", str(self.program), "--instance", self.instance, "--log-file", str(self.log_path),
                *self.flags]
        env = {**os.environ, "ZMART_READY_FD": str(ready), **(self.shim.env() if self.shim else {})}
        self.child = subprocess.Popen(args, pass_fds=[ready], env=env,
                                      stderr=open(self.folder / "stderr.txt", "ab"), start_new_session=True)
        os.close(ready)
        if wait:
            self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds=30):
        os.set_blocking(self.ready_read, False)

        def is_ready():
            with contextlib.suppress(BlockingIOError):
                return os.read(self.ready_read, 200) or self.child.poll() is not None
        wait_for(f"{self.instance} to be ready", is_ready, seconds, 0.01)
        self.forget_ready()
        assert self.child.poll() is None, f"{self.instance} ended with {self.child.returncode}"

    def forget_ready(self):
        if self.ready_read is not None:
            os.close(self.ready_read)
            self.ready_read = None

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def freeze(self):
        os.kill(self.pid, signal.SIGSTOP)
        self.frozen = True
        wait_for(f"{self.instance} to stand still", lambda: self.state() == "T", 10, 0.001)

    def thaw(self):
        os.kill(self.pid, signal.SIGCONT)
        self.frozen = False

    def state(self):
        return pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]

    def kill(self):
        self.child.kill()
        self.child.wait()
        self.frozen = False

    def stop(self, seconds=30, check=True):
        if self.alive():
            if self.frozen:
                self.thaw()
            self.child.terminate()
            try:
                status = self.child.wait(seconds * SLOW)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.instance} did not end within {seconds * SLOW:.0f} s of SIGTERM") from None
            assert not check or status == 0, f"{self.instance} ended with {status}"

    def memory_kib(self):
        with open(f"/proc/{self.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def log(self, event=None):
        lines = []
        if self.log_path.exists():
            for line in self.log_path.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    lines.append(json.loads(line))
        return [l for l in lines if event is None or l.get("event", l.get("msg")) == event]


class Shim:
    """What shim.c does to the processes that it is given to: their wall clock is off by so much, they die at a step."""

    LAYOUT = struct.Struct("=4q64q")

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(self.LAYOUT.size))
        self.file = open(path, "r+b")
        self.memory = mmap.mmap(self.file.fileno(), self.LAYOUT.size)

    def env(self):
        return {"ZMART_SHIM": str(self.path), "LD_PRELOAD": str(BUILD / "tests" / "system" / "libshim.so"),
                "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}

    def set(self, place, value):
        struct.pack_into("=q", self.memory, place * 8, value)

    def wall_offset(self, seconds):
        self.set(0, seconds)

    def kill_after(self, steps):
        self.set(1, steps)

    def get(self, place):
        return struct.unpack_from("=q", self.memory, place * 8)[0]

    def steps(self):
        return self.get(2)

    def syncs(self):
        return self.get(3)

    def sync_time(self, number):
        """When the number-th commit was durable, as time.monotonic() tells it; one of the last 64."""
        return self.get(4 + number % 64) / 1e9


class Rack(Shop):
    """with Rack(brokers=2, gateways=2) as rack: ... Clients speak to the first gateway unless told otherwise.

    links says who reaches which broker through a proxy: {"order-svc": [0]} gives order-svc a proxy of its own to broker 0,
    found as rack.proxies["order-svc", 0]. flags are those of one program by its name, "all" for all. shimmed: instances that get a Shim, found as rack.shims[name];
    "all" is one that every process gets."""

    def __init__(self, brokers=1, gateways=1, heartbeat_ms=500, links=None, flags=None, tcp=False, services=SERVICES, extra_bus=(), shimmed=()):
        super().__init__()
        self.gateway_count, self.heartbeat_ms = gateways, heartbeat_ms
        self.given, self.links, self.services, self.tcp = flags or {}, links or {}, services, tcp
        self.run_folder = self.folder / "run"
        self.run_folder.mkdir(mode=0o700)
        (self.folder / "data").mkdir(mode=0o700)
        self.bases = [self.new_base(f"b{n}") for n in range(brokers)]
        self.extra_bus = list(extra_bus)
        self.proxies, self.processes_by_name = {}, {}
        self.shims = {name: Shim(self.folder / f"shim-{name}") for name in shimmed}
        self.ports = [free_port() for _ in range(gateways)]
        self.urls = [f"http://127.0.0.1:{p}" for p in self.ports]
        self.url = self.urls[0]

    def new_base(self, name):
        return free_base() if self.tcp else f"ipc://{self.run_folder}/{name}"

    def __exit__(self, kind, *_):
        try:
            self.stop(check=kind is None)
        finally:
            super().__exit__(kind, *_)

    def __getitem__(self, instance):
        return self.processes_by_name[instance]

    # ---- start and stop ----
    def flags_of(self, name):
        tcp = ["--bus-insecure-loopback"] if self.tcp else []
        return ["--heartbeat-ms", str(self.heartbeat_ms), *tcp, *self.given.get("all", ()), *self.given.get(name, ())]

    def bus_of(self, instance):
        bus = list(self.bases)
        for n in self.links.get(instance, ()):
            if (instance, n) not in self.proxies:
                self.proxies[instance, n] = Proxy(self.new_base(f"p{len(self.proxies)}"), self.bases[n])
            bus[n] = self.proxies[instance, n].base
        return ",".join(bus + self.extra_bus)

    def make(self, name, instance, flags):
        shim = self.shims.get(instance) or self.shims.get("all")
        self.processes_by_name[instance] = Process(self.folder, name, instance, [*self.flags_of(name), *flags], shim)
        return self.processes_by_name[instance]

    def start(self, seconds=30):
        try:
            self.start_all(seconds)
        except BaseException:
            self.tell_log()
            for process in self.processes_by_name.values():
                if process.alive():
                    process.kill()
            raise

    def start_all(self, seconds):
        for n, base in enumerate(self.bases):
            self.make("broker", f"broker-{n}", ["--bus", base, "--events", f"ipc://{self.run_folder}/tap{n}"]).start(seconds)
        started = []
        for name in self.services:
            own = {"user-svc": ["--argon-memory-kib", "8", "--argon-passes", "1"]}.get(name, [])
            started.append(self.make(name, name, ["--bus", self.bus_of(name), "--store", self.mongo or f"sqlite:{self.folder}/data", *own])
                           .start(wait=False))
        for process in started:
            process.wait_ready(seconds)
        for n, port in enumerate(self.ports):
            instance = f"gateway-{n}"
            started.append(self.make("gateway", instance, ["--bus", self.bus_of(instance), "--port", str(port), "--access-log=no"])
                           .start(wait=False))
        for process in started[len(self.services):]:
            process.wait_ready(seconds)
        self.wait_whole()

    def stop(self, check=True):
        """Gateways first, brokers last, as an operator would."""
        for proxy in self.proxies.values():
            proxy.heal()
        failures = []
        for process in reversed(list(self.processes_by_name.values())):
            try:
                process.stop(check=check)
            except AssertionError as failure:
                failures.append(failure)
        for proxy in self.proxies.values():
            proxy.stop()
        if check and failures:
            raise failures[0]

    def tell_log(self):
        for process in self.processes_by_name.values():
            lines = process.log()
            print(f"--- {process.instance}", *(json.dumps(l) for l in lines[-25:]), sep="\n", file=sys.stderr)
        super().tell_log()

    # ---- what is so ----
    def ready(self, n=0):
        with contextlib.suppress(requests.RequestException):
            return requests.get(self.urls[n] + "/readyz", timeout=5).status_code == 200
        return False

    def wait_whole(self, seconds=30):
        """Every service is at every broker that lives, and every gateway that lives is ready."""
        names = {s.removesuffix("-svc") for s in self.services}
        for n, base in enumerate(self.bases):
            if self[f"broker-{n}"].alive():
                wait_for(f"all services at broker {n}", lambda: names <= set(self.served(base)), seconds, 0.05)
        for n in range(self.gateway_count):
            if self[f"gateway-{n}"].alive():
                wait_for(f"gateway {n} to be ready", lambda: self.ready(n), seconds, 0.05)

    @staticmethod
    def served(base):
        return [q["service"] for q in bus1.mmi(base, "queues")["queues"] if q["workers"]]

    def in_flight(self, service, n=0):
        queue = bus1.books(self.bases[n])["queues"].get(service)
        return queue["in_flight"] if queue else 0

    def metric(self, n, name, label=""):
        """Sum of a gateway's series of this name."""
        text = requests.get(self.urls[n] + "/metrics", timeout=10).text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if (line.startswith(name + "{") and label in line) or line.startswith(name + " "))


@contextlib.contextmanager
def running(*threads):
    """Runs threads while the block runs; each has an Event .ending and is joined behind the block."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.ending.set()
        for thread in threads:
            thread.join(120 * SLOW)
            assert not thread.is_alive(), f"{thread.name} did not end"
