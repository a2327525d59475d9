"""Brings MongoDB-compatible servers onto this machine, into the build folder: nothing outside it is touched, and what is there is kept.

Each is a function that fills a folder and returns; `ready(name)` says where the server is, after installing it if need be."""
import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(os.environ.get("ZMART_TEST_SERVER_FOLDER", ROOT / "build-test" / "servers"))
REQUIRED = [name for name in os.environ.get("ZMART_TEST_SERVERS", "").replace(" ", "").split(",") if name]
SHARE_S = int(os.environ.get("ZMART_TEST_SERVER_SHARE", "1200" if REQUIRED else "300"))  # for getting one server
TRIES = 3

SECANTUS = "SecantusDB==0.7.0b3"
FERRETDB = "github.com/FerretDB/FerretDB/v2/cmd/ferretdb@v2.7.0"
RELEASE, POSTGRES = "forky", "18"
PACKAGES = f"postgresql-{POSTGRES},postgresql-{POSTGRES}-documentdb,libc-bin,dash,coreutils"
GO_PACKAGE = "golang-go"


class Unavailable(Exception):
    """The server is not to be had here; the text says why."""


class Clock:
    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        left = self.end - time.monotonic()
        if left <= 0:
            raise Unavailable("its share of the time is over")
        return left


def run(clock, log, *command, tries=TRIES, **more):
    """Runs a command that may need the network: again after a failure, never longer than the time that is left."""
    for number in range(1, tries + 1):
        log.write(f"\n$ {' '.join(map(str, command))}\n")
        log.flush()
        try:
            if subprocess.run(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, timeout=clock.left(), **more).returncode == 0:
                return
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{command[0]} did not end within {SHARE_S} s") from None
        except OSError as error:
            raise Unavailable(f"{command[0]}: {error.strerror}") from None
        if number < tries:
            time.sleep(min(5 * number, clock.left()))
    raise Unavailable(f"{pathlib.Path(command[0]).name} failed {tries} times; see {log.name}")


# ---- SecantusDB: a wheel from PyPI ----

def secantus(folder, clock, log):
    run(clock, log, "/usr/bin/python3", "-m", "venv", folder / "venv", tries=1)
    run(clock, log, folder / "venv/bin/pip", "install", "--quiet", "--pre", SECANTUS)


# ---- FerretDB: Go from the module proxy, PostgreSQL with DocumentDB from a later Debian ----

def packages_fetch(folder, clock, log, packages):
    """Fetches Debian packages with all that they depend on and unpacks them side by side. Their scripts are not run: a
    server needs files only, and so neither mounts nor its services come along."""
    shutil.rmtree(folder, ignore_errors=True)
    fetched = folder / "fetched"
    run(clock, log, "debootstrap", "--download-only", "--variant=minbase", f"--include={packages}", RELEASE, fetched, "",
        "/usr/share/debootstrap/scripts/sid")
    archives = sorted(fetched.glob("var/cache/apt/archives/*.deb"), key=lambda deb: not deb.name.startswith("base-files_"))
    if not archives:
        raise Unavailable(f"debootstrap fetched nothing; see {log.name}")
    root = folder / "root"
    root.mkdir()
    for deb in archives:  # base-files first: it makes /lib and the like links into /usr
        clock.left()
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE, stderr=log) as tar:
            unpacked = subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", root], stdin=tar.stdout, stderr=log)
        if tar.returncode or unpacked.returncode:
            raise Unavailable(f"{deb.name} could not be unpacked; see {log.name}")
    shutil.rmtree(fetched)
    return root


def postgres(folder, clock, log):
    if os.geteuid() != 0:
        raise Unavailable("FerretDB's PostgreSQL lives in a folder of its own (chroot), and that needs root")
    root = packages_fetch(folder / "debian", clock, log, PACKAGES)
    files = {"passwd": "root:x:0:0::/:/bin/sh\npostgres:x:65534:65534::/tmp:/bin/sh\n", "group": "root:x:0:\npostgres:x:65534:\n",
             "hosts": "127.0.0.1 localhost\n", "nsswitch.conf": "hosts: files\n"}
    for name, text in files.items():
        (root / "etc" / name).write_text(text)
    for name in ("srv", "proc", "dev"):
        (root / name).mkdir(exist_ok=True)
    # What update-alternatives would have linked.
    for found in [*root.glob("usr/lib/*/*/libblas.so.3"), *root.glob("usr/lib/*/*/liblapack.so.3")]:
        (found.parents[1] / found.name).symlink_to(f"{found.parent.name}/{found.name}")
    for found in root.glob(f"usr/share/postgresql/{POSTGRES}/extension/*-3.control"):
        found.with_name(found.name.replace("-3.control", ".control")).symlink_to(found.name)
    run(clock, log, "chroot", root, "/sbin/ldconfig", tries=1)


def go_find(folder, clock, log):
    """A Go that can fetch the one that FerretDB asks for (1.21 and later do); else the later Debian's, used from its folder."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        version = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, cwd="/").stdout.strip()
        if tuple(map(int, version.removeprefix("go").split(".")[:2])) >= (1, 21):
            return "go", {}
    root = packages_fetch(folder / "go", clock, log, GO_PACKAGE)
    found = sorted(root.glob("usr/lib/go-1.*/bin/go"))
    if not found:
        raise Unavailable("no Go came with Debian's golang-go")
    return found[-1], {"GOROOT": str(found[-1].parents[1])}


def ferretdb(folder, clock, log):
    if not (folder / "ferretdb").exists():
        go, more = go_find(folder, clock, log)
        environment = {**os.environ, **more, "GOBIN": str(folder / "new"), "GOTOOLCHAIN": "auto", "CGO_ENABLED": "0"}
        run(clock, log, go, "install", FERRETDB, env=environment, cwd="/")
        (folder / "new/ferretdb").rename(folder / "ferretdb")
        shutil.rmtree(folder / "go", ignore_errors=True)
    postgres(folder, clock, log)


KNOWN = {"secantus": secantus, "ferretdb": ferretdb}


def ready(name):
    """The folder of a server that is installed; one of KNOWN is installed at the first call, one caller at a time."""
    if name not in KNOWN:
        program = shutil.which(name)
        if not program:
            raise Unavailable(f"there is no {name} on the PATH")
        return pathlib.Path(program).parent
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "ready").exists():
            return folder
        print(f"zmart: getting {name}, once, into {folder}", file=sys.stderr, flush=True)
        started = time.monotonic()
        with open(folder / "install.log", "a") as log:
            KNOWN[name](folder, Clock(SHARE_S), log)
        (folder / "ready").touch()
        print(f"zmart: got {name} in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return folder
