#!/usr/bin/python3
"""test_up.py ZMART: starts and stops whole shops, as one process and as many, and looks at what is left of them."""
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

ZMART = sys.argv.pop(1)
PATIENCE = float(os.environ.get("ZMART_TEST_PATIENCE", "1"))
ROOMS = {"broker", "gateway", "product-svc", "order-svc", "user-svc", "event-svc", "webhook-svc", "mail-svc"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, probe, seconds=20):
    end = time.monotonic() + seconds * PATIENCE
    while not (got := probe()):
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.02)
    return got


def children(pid):
    """name -> process ids of the running children."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        name, rest = stat.split("(", 1)[1].rsplit(")", 1)
        state, parent = rest.split()[:2]
        if int(parent) == pid and state != "Z":
            found.setdefault(name, []).append(int(entry.name))
    return found


def lives(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status
    except urllib.error.HTTPError as e:
        return e.code
    except OSError:
        return 0


class Up(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="zmart-up-"))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("ZMART_")}
        self.env["XDG_RUNTIME_DIR"] = str(self.folder)
        self.started = []

    def tearDown(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def launch(self, *flags, data="data", port=0):
        args = [ZMART, "up", "--data", str(self.folder / data), "--port", str(port), "--events",
                f"tcp://127.0.0.1:{free_port()}", *flags]
        process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env, text=True)
        self.started.append(process)
        return process

    def ready(self, process):
        """-> URL. The line comes by itself, whole and once."""
        if not select.select([process.stdout], [], [], 30 * PATIENCE)[0]:
            self.fail("no ready line")
        line = process.stdout.readline()
        if not line:
            self.fail("ended: " + process.stderr.read())
        self.assertTrue(line.startswith("zmart ready") and line.endswith("\n"), line)
        self.assertIn("zmart.log", line)
        url = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        self.assertNotEqual(url[1], "0")
        self.assertEqual(status_of(url[0] + "/readyz"), 200)
        return url[0]

    def end(self, process, number=signal.SIGTERM):
        process.send_signal(number)
        self.assertEqual(process.wait(30), 0, process.stderr.read())
        self.assertEqual(process.stdout.read(), "")

    def complaints(self, *flags, **more):
        """-> the lines on stderr of an `up` that does not start."""
        self.env["MONGOC_DISABLE_SHM"] = "1"  # as ./zmart does: no line of the driver's own
        process = self.launch(*flags, **more)
        self.assertNotEqual(process.wait(40), 0)
        self.assertEqual(process.stdout.read(), "")
        return process.stderr.read().splitlines()

    def refused(self, *flags, **more):
        """-> the same, where there is to be one."""
        lines = self.complaints(*flags, **more)
        self.assertEqual(len(lines), 1, lines)
        return lines[0]

    def test_one_process(self):
        process = self.launch()
        self.ready(process)
        self.assertEqual(children(process.pid), {})
        self.assertEqual((self.folder / "data").stat().st_mode & 0o777, 0o700)
        self.assertIn("in use", self.refused())
        other = self.launch(data="other")
        self.ready(other)
        self.end(process)
        self.end(other, signal.SIGINT)
        again = self.launch()
        self.ready(again)
        self.end(again)

    def test_processes(self):
        before = set(os.listdir("/dev/shm"))  # others may have left something under a number that comes again
        process = self.launch("--processes")
        url = self.ready(process)
        first = children(process.pid)
        self.assertEqual(set(first), ROOMS)
        self.assertIn("in use", self.refused("--processes"))
        for name in sorted(ROOMS):
            with self.subTest(killed=name):
                old = children(process.pid)[name][0]
                os.kill(old, signal.SIGKILL)
                wait_for(f"another {name}", lambda: set(children(process.pid).get(name, [])) - {old}, seconds=5)
                self.assertFalse(lives(old))
                self.assertNotIn(f"mongoc-{old}", set(os.listdir("/dev/shm")) - before, "it left something behind")
                wait_for("readiness", lambda: status_of(url + "/readyz") == 200)
        all_pids = [pid for pids in children(process.pid).values() for pid in pids]
        self.assertEqual(len(all_pids), len(ROOMS))
        self.end(process)
        self.assertEqual([pid for pid in all_pids if lives(pid)], [])
        self.assertEqual(list(self.folder.glob("zmart-*")), [], "the runtime folder is gone")

    def test_a_silent_child_is_started_again(self):
        """Stopped, it neither dies nor answers; who is only told that it was stopped with all others is left alone."""
        process = self.launch("--processes", "--child-silence-ms", "2000")
        url = self.ready(process)
        before = children(process.pid)
        stopped = before["order-svc"][0]
        os.kill(stopped, signal.SIGSTOP)
        wait_for("another order-svc", lambda: set(children(process.pid).get("order-svc", [])) - {stopped})
        self.assertFalse(lives(stopped))
        after = children(process.pid)
        self.assertEqual({n: p for n, p in after.items() if n != "order-svc"}, {n: p for n, p in before.items() if n != "order-svc"})
        wait_for("readiness", lambda: status_of(url + "/readyz") == 200)
        log = (self.folder / "data" / "zmart.log").read_text()
        self.assertEqual(log.count('"child.silent"'), 1, "it was silent, and is said to have been")
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)  # longer than any silence that is borne: its children have gone on
        process.send_signal(signal.SIGCONT)
        time.sleep(1)
        self.assertEqual(children(process.pid), after, "its own stop is nobody's silence")
        self.end(process)

    def test_children_die_with_the_supervisor(self):
        process = self.launch("--processes")
        self.ready(process)
        pids = [pid for pids in children(process.pid).values() for pid in pids]
        process.kill()
        process.wait()
        wait_for("the children's end", lambda: not any(lives(pid) for pid in pids))
        again = self.launch("--processes")
        self.ready(again)
        self.end(again)

    def test_side_by_side(self):
        one, two = self.launch("--processes"), self.launch("--processes", data="two")
        self.assertNotEqual(self.ready(one), self.ready(two))
        self.end(two)
        self.end(one)

    def test_several_gateways_and_brokers(self):
        process = self.launch("--processes", "--gateway", "2", "--broker", "2")
        self.ready(process)
        found = children(process.pid)
        self.assertEqual((len(found["gateway"]), len(found["broker"]), len(found["order-svc"])), (2, 2, 1))
        self.end(process)

    def test_refusals(self):
        for mode in ([], ["--processes"]):
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                s.listen()
                taken = s.getsockname()[1]
                self.assertIn(str(taken), self.refused(*mode, port=taken))
                self.assertIn(str(taken), self.refused(*mode, "--events", f"tcp://127.0.0.1:{taken}"))
            self.assertIn("--keys", self.refused(*mode, "--events", "tcp://0.0.0.0:5556"))
            why, which = self.complaints(*mode, "--store", "mongodb://127.0.0.1:1")  # not one of each room that keeps data
            self.assertIn("mongodb://127.0.0.1:1: no server", why)
            self.assertIn("could not start", which)
            self.assertIn("MongoDB", self.refused(*mode, "--order-svc", "2"))
            self.assertIn("--nonsense", self.refused(*mode, "--nonsense"))
            self.assertIn("data folder", self.refused(*mode, data="/dev/null/x"))

    def test_no_half_a_shop_is_left(self):
        """A room that cannot start ends the others."""
        (self.folder / "data").mkdir()
        (self.folder / "data" / "order.db").write_text("this is no database, and long enough to be read as one" * 40)
        for mode in ([], ["--processes"]):
            process = self.launch(*mode)
            self.assertNotEqual(process.wait(40), 0)
            self.assertIn("order-svc", process.stderr.read())
            self.assertEqual(process.stdout.read(), "")
            self.assertEqual(children(process.pid), {})

    def test_words(self):
        run = lambda *args: subprocess.run([ZMART, *args], capture_output=True, text=True, env=self.env)
        self.assertRegex(run("version").stdout, r"^zmart \d+\.\d+\.\d+\n$")
        self.assertIn("up", run("help").stdout)
        helped = run("up", "--help")
        self.assertEqual(helped.returncode, 0)
        self.assertIn("ZMART_RETENTION_DAYS", helped.stdout)
        self.assertNotEqual(run("nonsense").returncode, 0)
        self.assertNotEqual(run().returncode, 0)

    def test_ping(self):
        process = self.launch("--processes")
        self.ready(process)
        ping = lambda name: subprocess.run([ZMART, "ping", name, "--data", str(self.folder / "data")], env=self.env,
                                           capture_output=True, text=True)
        good = ping("product")
        self.assertEqual(good.returncode, 0, good.stderr)
        self.assertIn("product: 1 workers", good.stdout)
        self.assertNotEqual(ping("nonsense").returncode, 0)
        self.end(process)


if __name__ == "__main__":
    unittest.main(verbosity=2)
