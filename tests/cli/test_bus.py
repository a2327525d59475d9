#!/usr/bin/python3
"""test_bus.py ZMART: zmart bus against real shops, as one process and as many, with dead letters that a worker of ours makes."""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import bus1  # noqa: E402

ZMART = sys.argv.pop(1)
PATIENCE = float(os.environ.get("ZMART_TEST_PATIENCE", "1"))
SERVICES = {"event", "mail", "order", "product", "user", "webhook"}


def killed_by_it(base, stopped):
    """A worker that every request kills: it leaves without an answer, and another one like it comes."""
    while not stopped.is_set():
        with bus1.Peer(base, "worker", bus1.WORKERS, [("poison", 1)]) as peer:
            got = None
            while not got and not stopped.is_set():
                got = peer.receive(0.02)
            peer.send(bus1.Head(bus1.BYE, epoch=peer.epoch))


class Bus(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="zmart-bus-"))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("ZMART_")}
        self.env["XDG_RUNTIME_DIR"] = str(self.folder)
        self.env["MONGOC_DISABLE_SHM"] = "1"  # the driver tells when a killed process has left its counters under our pid
        self.process = None

    def tearDown(self):
        if self.process:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def up(self, *flags):
        self.process = subprocess.Popen([ZMART, "up", "--data", str(self.folder / "data"), "--port", "0", "--events", "", *flags],
                                        stdout=subprocess.PIPE, env=self.env, text=True)
        self.assertTrue(select.select([self.process.stdout], [], [], 30 * PATIENCE)[0], "no ready line")
        self.assertIn("zmart ready", self.process.stdout.readline())

    def down(self):
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(30 * PATIENCE), 0)

    def bus(self, *words, status=0):
        """-> what stands on stdout; on stderr there is one line if it fails, else none."""
        run = subprocess.run([ZMART, "bus", *words, "--data", str(self.folder / "data")], env=self.env, capture_output=True,
                             text=True, timeout=60)
        self.assertEqual(run.returncode, status, run.stderr)
        self.assertEqual(len(run.stderr.splitlines()), 1 if status else 0, run.stderr)
        return run.stdout if status == 0 else run.stderr

    def json(self, *words):
        return json.loads(self.bus(*words, "--json"))["brokers"]

    def look(self, broker_count):
        table = self.bus("status")
        self.assertEqual(len(re.findall(r"^broker ipc://\S+: answered in [\d.]+ ms$", table, re.M)), broker_count)
        for service in SERVICES:
            self.assertRegex(table, rf"(?m)^{service} +1 +[1-9]")
        self.assertIn("product-svc-", self.bus("workers"))
        self.assertIn("no dead letters", self.bus("dlq"))
        for broker in self.json("status"):
            self.assertEqual({q["service"] for q in broker["queues"]["queues"]}, SERVICES)
            self.assertEqual(len(broker["workers"]["workers"]), len(SERVICES))
            self.assertEqual(broker["dead_letters"], {"count": 0, "letters": [], "partial": None})
        self.assertEqual(set(self.json("queues")[0]), {"address", "answered_us", "queues"})

    def test_one_process(self):
        self.up()
        self.look(1)
        self.down()
        self.assertEqual(list(self.folder.glob("zmart-*")), [], "the runtime folder is gone")

    def test_processes(self):
        self.up("--processes", "--broker", "2")
        self.look(2)
        self.down()

    def test_nobody_answers(self):
        self.assertIn("no shop runs over", self.bus("status", status=1))
        lost = self.folder / "lost"
        lost.mkdir()
        self.assertIn(f"no broker answers at ipc://{lost}",
                      self.bus("status", "--bus", f"ipc://{lost}", "--timeout-ms", "200", status=1))
        run = subprocess.run([ZMART, "bus", "queues", "--bus", f"ipc://{lost}", "--timeout-ms", "200", "--json"],
                             capture_output=True, text=True, env=self.env)
        self.assertEqual(run.returncode, 1)
        self.assertIn("no broker answers", json.loads(run.stdout)["brokers"][0]["error"])
        self.assertIn("takes status", self.bus("nonsense", status=2))
        self.up()
        self.process.kill()  # its socket stays where it was
        self.process.wait()
        self.assertIn("no broker answers", self.bus("status", "--timeout-ms", "200", status=1))

    def test_watch(self):
        self.up()
        watch = subprocess.Popen([ZMART, "bus", "status", "--json", "--watch", "1", "--data", str(self.folder / "data")], env=self.env,
                                 stdout=subprocess.PIPE, text=True)
        seen = [json.loads(watch.stdout.readline()) for _ in range(3)]
        self.assertTrue(all("queues" in s["brokers"][0] for s in seen))
        self.assertLess(seen[0]["brokers"][0]["queues"]["accepted"], seen[2]["brokers"][0]["queues"]["accepted"])
        watch.terminate()
        watch.wait()
        watch.stdout.close()
        self.down()

    def test_dead_letters(self):
        self.up("--processes", "--broker", "2")
        base = self.json("status")[1]["address"]  # they die at the second one
        stopped = threading.Event()
        worker = threading.Thread(target=killed_by_it, args=(base, stopped))
        worker.start()
        try:
            with bus1.Client(base) as client:
                for number in (1, 2):
                    answer = client.ask("poison.take", request_id=bytes([number] * 16), budget_ms=20000)
                    self.assertEqual(answer.status, 502)
        finally:
            stopped.set()
            worker.join()
        first, second = "01" * 16, "02" * 16
        end = time.monotonic() + 20 * PATIENCE
        while [b["dead_letters"]["count"] for b in self.json("dlq")] != [2, 2] and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual([b["dead_letters"]["count"] for b in self.json("dlq")], [2, 2])  # they are in the store by now
        self.assertTrue(all(l["stored"] for b in self.json("dlq") for l in b["dead_letters"]["letters"]))
        table = self.bus("dlq", "list")
        self.assertRegex(table, rf"{first} +poison.take +3 .* in the store +yes")
        self.assertIn(f"dropped {first}; dead letters left: 1", self.bus("dlq", "drop", first))
        self.assertIn("no broker has", self.bus("dlq", "drop", first, status=1))
        other = self.json("status")[0]["address"]
        answer = lambda head, body: (200, {})  # noqa: E731
        with bus1.Worker(base, [("poison", 1)], answer) as cured, bus1.Worker(other, [("poison", 1)], answer) as too:
            self.assertIn(f"requeued {second}; dead letters left: 0", self.bus("dlq", "requeue", second))
            end = time.monotonic() + 20 * PATIENCE
            while not cured.seen + too.seen and time.monotonic() < end:
                time.sleep(0.02)
            self.assertEqual([h.request_id.hex() for h in cured.seen + too.seen], [second])
        self.assertIn("no dead letters", self.bus("dlq"))
        self.down()


if __name__ == "__main__":
    unittest.main(verbosity=2)
