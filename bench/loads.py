"""What the benches of whole shops share: a shop without what they do not measure, a load by wrk, and what it did."""
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.setdefault("ZMART_BUILD", str(ROOT / "build")))
sys.path[:0] = [str(ROOT / "tests" / "system"), str(ROOT / "tests" / "mongo")]

from servers import tree  # noqa: E402
from shop import Shop  # noqa: E402

SHOP_PROGRAMS = ("cli/zmart", "broker/broker", "gateway/gateway", "event-svc/event-svc", "order-svc/order-svc", "product-svc/product-svc",
                 "user-svc/user-svc")
ONLY = ("--webhook-svc", "0", "--mail-svc", "0", "--log-level", "warn")
STOCK = 1000000000
LUA = '''
local n, kind, token = 0, "KIND", "TOKEN"
local ids, first = {IDS}, COUNT
math.randomseed(SEED)
function request()
  local id = first and string.format("prd_%026d", math.random(first) - 1) or ids[math.random(#ids)]
  if kind == "read" then return wrk.format("GET", "/api/products/" .. id) end
  local head = {["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. token}
  return wrk.format("POST", "/api/orders", head, '{"items":[{"product_id":"' .. id .. '","quantity":1}]}')
end
function done(summary, latency, requests)
  for i = 1, #latency do
    local us, count = latency(i)
    print(string.format("took %d %d", us, count))
  end
end
'''


def build(*programs):
    subprocess.run(["ninja", "-C", str(BUILD), *programs], check=True, stdout=subprocess.DEVNULL)


def copy_id(n):
    return f"prd_{n:026d}"


def run(*args):
    return subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, text=True, check=True).stdout


def cpu_s(*roots):
    """CPU time that these processes and their children have used."""
    total = 0
    for pid in {p for root in roots for p in tree(root)}:
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def machine_cpu_s():
    fields = [int(f) for f in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")  # without idle and waiting


class Load:
    """What a load did: rate, all latencies in microseconds, and the cores that each part used meanwhile. ids: of the products that are
    read or ordered, or how many of copy_id's first ones."""

    def __init__(self, shop, kind, ids, connections, seconds, watched=None, token=""):
        watched = watched or {}
        script = shop.folder / "load.lua"
        first = ids if isinstance(ids, int) else "nil"
        script.write_text(LUA.replace("KIND", kind).replace("TOKEN", token).replace("SEED", str(time.monotonic_ns() % 1000000))
                          .replace("COUNT", str(first)).replace("IDS", "" if first == ids else ",".join(f'"{i}"' for i in ids)))
        before, whole, begin = {name: cpu_s(*pids) for name, pids in watched.items()}, machine_cpu_s(), time.monotonic()
        text = run("wrk", "-t", "1", "-c", connections, "-d", f"{seconds}s", "--latency", "--timeout", "10s", "-s", script, shop.url)
        passed = time.monotonic() - begin
        self.cores = {name: (cpu_s(*pids) - before[name]) / passed for name, pids in watched.items()}
        self.cores["machine"] = (machine_cpu_s() - whole) / passed
        if "Non-2xx" in text or "Socket errors" in text:
            sys.exit("bench: replies that were no success: " + re.sub(r"took \d+ \d+\n", "", text))
        self.rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
        self.count = int(re.search(r"(\d+) requests in", text)[1])
        self.took_us = [(int(us), int(count)) for us, count in re.findall(r"took (\d+) (\d+)", text)]


def percentile_ms(took_us, share):
    left = share * sum(count for _, count in took_us)
    for us, count in sorted(took_us):
        left -= count
        if left <= 0:
            return us / 1000
    return 0


def shop_of(url, *flags, workers=1):
    shop = Shop(*ONLY, *flags, processes=True, workers=workers)
    shop.mongo = url
    return shop


def stocked(shop):
    """-> an administrator's token, and the id of the product that it was asked to add"""
    token = shop.admin()
    return token, shop.product(token, stock=STOCK)["id"]


def settled(store):
    return not store["orders"].count_documents({"due_at": {"$gte": 0}}, limit=1) and not store["orders"].count_documents(
        {"outbox.at": {"$gte": 0}}, limit=1)


# ---- tables ----

def row(*cells):
    return "| " + " | ".join(str(c) for c in cells) + " |"


def head(*cells):
    return [row(*cells), "|---" * len(cells) + "|"]


def machine(server):
    """One sentence for the head of a table; server: what runs on it beside the shop, or ""."""
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return (f"{os.cpu_count()} cores ({model[1] if model else 'unknown'}) for the shop, {server + ' ' if server else ''}and the clients together; "
            f"load average at the start {os.getloadavg()[0]:.1f}")
