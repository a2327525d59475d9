"""MongoDB servers under test: real ones, each in a folder of its own on a free port of the loopback interface.

    with Server("secantus", folder, sync=True) as server: ... server.url("shop") ... server.kill(); server.start()

A server dies with the process that made it, however that ends, unless `keep` is set."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import pymongo

import install

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = float(os.environ.get("ZMART_TEST_PATIENCE", "1"))
START_S = 60
NAMES = ["mongod", "secantus", "ferretdb"]
NOBODY = 65534  # PostgreSQL does not run as root
# The folder's PostgreSQL in namespaces of its own, which end with it: data at /srv, the host's /dev, no process but its own.
UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-c"]
INSIDE = """root=$1 data=$2; shift 2
mount --bind "$data" "$root/srv" && mount --rbind /dev "$root/dev" && mount -t proc proc "$root/proc" || exit 1
exec chroot --userspec=%d:%d "$root" "$@" """ % (NOBODY, NOBODY)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def started_at(pid):
    """When a process began, in ticks: with it a number that was given to another process is told apart; None if it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def tree(pid):
    """The process and its children, it first."""
    found, seen = [], [pid]
    while seen:
        parent = seen.pop(0)
        found.append(parent)
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{parent}/task").iterdir():
                seen += map(int, (task / "children").read_text().split())
    return found


class Server:
    OPTIONS = {"port": 0, "user": "", "password": "", "sync": False, "standalone": False, "test_commands": False, "keep": False,
               "disk_mib": 0}  # not 0: the data is on a file system of its own, of that size

    def __init__(self, name, folder, **options):
        unknown = set(options) - set(self.OPTIONS)
        assert name in NAMES and not unknown, f"no such server or option: {name} {unknown}"
        self.name, self.folder = name, pathlib.Path(folder).resolve()
        self.options = {**self.OPTIONS, **options}
        self.options["port"] = self.options["port"] or free_port()
        self.processes = {}  # pid: when it began
        self.children, self.guard = [], None
        self.data = self.folder / ("postgres" if name == "ferretdb" else "data")

    @classmethod
    def load(cls, folder):
        """The server that a `start` left in the folder."""
        state = json.loads((pathlib.Path(folder) / "server.json").read_text())
        server = cls(state["name"], folder, **state["options"])
        server.processes = {int(pid): began for pid, began in state["processes"].items()}
        return server

    def save(self):
        new = self.folder / "server.json.new"
        new.write_text(json.dumps({"name": self.name, "options": self.options, "processes": self.processes}))
        new.chmod(0o600)
        new.rename(self.folder / "server.json")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        self.disk_drop()

    # ---- what a client needs ----

    def url(self, database="", user=None, password=None):
        user, password = user or self.options["user"], password or self.options["password"]
        login = f"{user}:{password}@" if user else ""
        return f"mongodb://{login}127.0.0.1:{self.options['port']}/{database}" + ("?authSource=admin" if user else "")

    def client(self, timeout_ms=5000, **more):
        return pymongo.MongoClient(self.url(**more), serverSelectionTimeoutMS=timeout_ms, socketTimeoutMS=timeout_ms)

    # ---- life ----

    def start(self):
        """Starts the server, or starts it again on what it left; returns when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = not (self.folder / "made").exists()
        if fresh and self.options["disk_mib"]:
            self.disk_make()
        try:
            {"mongod": self.mongod, "secantus": self.secantus, "ferretdb": self.ferretdb}[self.name](fresh)
        except BaseException:
            self.kill()
            if fresh:
                self.disk_drop()
            raise
        (self.folder / "made").touch()
        return self

    def spawn(self, what, *command):
        with open(self.folder / f"{what}.log", "a") as log:
            child = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                                     start_new_session=True)
        self.children.append(child)
        self.processes[child.pid] = started_at(child.pid)
        self.save()
        if not self.options["keep"] and not self.guard:
            self.guard = subprocess.Popen([sys.executable, HERE / "server", "guard", "--dir", self.folder], stdin=subprocess.PIPE,
                                          start_new_session=True)

    def wait(self, what, probe):
        end = time.monotonic() + START_S * PATIENCE
        while not probe():
            if any(child.poll() is not None for child in self.children) or time.monotonic() > end:
                log = (self.folder / f"{what}.log").read_text(errors="replace").splitlines()[-5:]
                raise install.Unavailable(f"{self.name} did not start: {' / '.join(log)}")
            time.sleep(0.05)

    def answers(self, **login):
        with self.client(1000, **login) as client, contextlib.suppress(pymongo.errors.PyMongoError):
            return client.admin.command("ping")["ok"] == 1

    def takes_writes(self):
        with self.client() as client, contextlib.suppress(pymongo.errors.PyMongoError):
            for _ in range(20):
                client.zt_written.things.insert_one({"text": "x" * 100000})
            client.drop_database("zt_written")
            return True
        return False

    def signal(self, number):
        """Sends a signal to every process of the server, parents first."""
        sent = []
        for pid, began in self.processes.items():
            for process in tree(pid) if began is not None and started_at(pid) == began else []:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
                    sent.append(process)
        return sent

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """kill -9, all of it; the data stays."""
        self.gone(self.signal(signal.SIGKILL))

    def stop(self):
        """An orderly stop; the data stays. The clients' side goes first."""
        for pid, began in reversed(list(self.processes.items())):
            if started_at(pid) == began:
                self.signal(signal.SIGCONT)
                for process in tree(pid)[:2]:  # unshare waits for the one that it started
                    os.kill(process, signal.SIGINT)
                self.gone([pid], 20, required=False)
        self.kill()
        if self.guard:
            self.guard.stdin.close()
            self.guard.wait(20 * PATIENCE)
            self.guard = None

    def gone(self, pids, seconds=20, required=True):
        end = time.monotonic() + seconds * PATIENCE
        while True:
            # a process whose other threads still end is a zombie already, and not yet to be had as a child that ended
            left = [pid for pid in pids if started_at(pid) is not None]
            left += [child.pid for child in self.children if child.poll() is None and child.pid in pids]
            if not left:
                break
            if time.monotonic() > end:
                assert not required, f"{self.name} does not die: {left}"
                return
            time.sleep(0.02)
        self.children = [child for child in self.children if child.returncode is None]
        self.processes = {pid: began for pid, began in self.processes.items() if started_at(pid) == began}
        if self.folder.exists():
            self.save()

    # ---- its disk ----

    def disk_make(self):
        self.data.mkdir(mode=0o700, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.options['disk_mib']}m,mode=0700", "zmart-test", self.data],
                              capture_output=True, text=True)
        if done.returncode:
            raise install.Unavailable(f"no file system for {self.name} can be mounted here: {done.stderr.strip()}")

    def disk_drop(self):
        if self.options["disk_mib"]:
            subprocess.run(["umount", "-l", self.data], capture_output=True)

    def disk_resize(self, mib):
        subprocess.run(["mount", "-o", f"remount,size={mib}m", self.data], check=True)

    def disk_left(self):
        """Bytes that can still be written."""
        return shutil.disk_usage(self.data).free

    def disk_used_mib(self):
        return -(-shutil.disk_usage(self.data).used // (1 << 20))

    # ---- the servers ----

    def login_make(self, *roles):
        with self.client(user="", password="") as client:
            client.admin.command("createUser", self.options["user"], pwd=self.options["password"],
                                 roles=[{"role": role, "db": "admin"} for role in roles])

    def mongod(self, fresh):
        program = shutil.which("mongod")
        if not program:
            raise install.Unavailable("there is no mongod on the PATH")
        self.data.mkdir(exist_ok=True)
        self.with_login(fresh, [program, "--dbpath", self.data, "--port", self.options["port"], "--bind_ip", "127.0.0.1", "--nounixsocket",
                                *(["--setParameter", "enableTestCommands=1"] if self.options["test_commands"] else [])])

    def secantus(self, fresh):
        program = install.ready("secantus") / "venv/bin/secantusd-py"
        flags = {"sync": "--sync-on-commit", "standalone": "--standalone", "test_commands": "--enable-test-commands"}
        self.with_login(fresh, [program, "--host", "127.0.0.1", "--port", self.options["port"], "--storage-path", self.data,
                                "--cache-size", "256M", *[flag for name, flag in flags.items() if self.options[name]]])

    def with_login(self, fresh, command):
        """The first account is made on a server that asks for none yet."""
        if self.options["user"] and fresh:
            self.spawn("server", *command)
            self.options["user"], user = "", self.options["user"]
            self.wait("server", self.answers)
            self.options["user"] = user
            with pymongo.MongoClient(f"mongodb://127.0.0.1:{self.options['port']}/") as client:
                client.admin.command("createUser", user, pwd=self.options["password"], roles=[{"role": "root", "db": "admin"}])
            self.gone(self.signal(signal.SIGINT))
        self.spawn("server", *command, *(["--auth"] if self.options["user"] else []))
        self.wait("server", self.answers)

    def ferretdb(self, fresh):
        installed = install.ready("ferretdb")
        data, programs = self.data, f"/usr/lib/postgresql/{install.POSTGRES}/bin"
        inside = [*UNSHARE, INSIDE, "sh", installed / "debian/root", data]
        database = self.options.get("database") or free_port()
        if fresh:
            if not os.path.ismount(data):
                shutil.rmtree(data, ignore_errors=True)
                data.mkdir(mode=0o700)
            os.chown(data, NOBODY, NOBODY)
            self.must(*inside, f"{programs}/initdb", "-D", "/srv", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8",
                      "--no-sync")
        flags = {"shared_preload_libraries": "pg_cron,pg_documentdb_core,pg_documentdb", "cron.database_name": "postgres",
                 "cron.host": "127.0.0.1", "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": database,
                 "max_connections": 300, "fsync": "on" if self.options["sync"] else "off", "restart_after_crash": "off"}
        self.spawn("postgres", *inside, f"{programs}/postgres", "-D", "/srv", *[f"--{name}={value}" for name, value in flags.items()])
        ask = [*inside, f"{programs}/psql", "-h", "127.0.0.1", "-p", database, "-U", "postgres", "-qc"]
        self.wait("postgres", lambda: subprocess.run([*map(str, ask), "SELECT 1"], capture_output=True).returncode == 0)
        if fresh:
            self.must(*ask, "CREATE EXTENSION documentdb CASCADE")
        if fresh and self.options["user"]:
            self.must(*ask, f"CREATE ROLE {self.options['user']} LOGIN SUPERUSER PASSWORD '{self.options['password']}'")
        self.spawn("server", installed / "ferretdb", f"--postgresql-url=postgres://postgres@127.0.0.1:{database}/postgres",
                   "--auth" if self.options["user"] else "--no-auth", "--telemetry=disable", "--log-level=WARN", "--debug-addr=-",
                   f"--listen-addr=127.0.0.1:{self.options['port']}", f"--state-dir={self.folder}")
        self.wait("server", self.answers)

    def must(self, *command):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=START_S * PATIENCE)
        if done.returncode:
            raise install.Unavailable(f"{self.name} did not start: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
