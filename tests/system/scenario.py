"""What the fault scenarios share. A scenario is a file in faults/: its text says what happens and what must hold, SEED is
the one of the short form, run(seed) does it, asserts that the fault took effect, and returns what was found."""
import contextlib
import random
import threading
import time

import bus1
import zmq
from history import Checker, History, buyers, stocked
from rack import Rack, running
from shop import SLOW, wait_for

GOOD = {200, 201, 409}
FORM = {"full": False}  # soak runs scenarios in full length, the test run in a short form with the same checks


def lasts(short_s, full_s):
    return full_s if FORM["full"] else short_s


class Stage:
    """A rack with stocked products, a history and a checker.

    with Stage(seed, brokers=2) as stage: ..."""

    def __init__(self, seed, **rack):
        self.seed, self.random = seed, random.Random(seed)
        self.rack = Rack(**rack)
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.rack)
            self.admin, self.stock = stocked(self.rack)
            self.history = History(self.rack.folder / "history.jsonl")
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        return self.stack.__exit__(*error)

    def buyers(self, count, **more):
        more.setdefault("seed", self.random.randrange(1 << 30))
        return buyers(self.rack, count, list(self.stock), self.history, **more)

    @contextlib.contextmanager
    def load(self, count=4, **more):
        """Buyers at work while the block runs; in the end each of them must have come through."""
        people = self.buyers(count, **more)
        with running(*people):
            self.progress(people)
            yield people
        self.came_through(people)

    def progress(self, people, more=3):
        """Waits until some further requests have been answered with success."""
        before = self.history.counts["ok"]
        wait_for("requests to be answered", lambda: self.history.counts["ok"] >= before + more or self.came_through(people), 60, 0.02)

    @staticmethod
    def came_through(people):
        failures = [p.failure for p in people if p.failure]
        if failures:
            raise failures[0]
        endless = [b for p in people for b in p.broken if "timed out" in b.lower()]
        assert not endless, f"requests that did not end within six budgets: {endless[:3]}"

    def once(self, count, **more):
        """So many buyers with one order each, in flight at once; join them with finish."""
        people = self.buyers(count, limit=1, think_s=0, **more)
        for person in people:
            person.start()
        return people

    def finish(self, people):
        for person in people:
            person.join(120 * SLOW)
            assert not person.is_alive(), f"{person.name} did not end"
        self.came_through(people)

    def check(self):
        return Checker(self.rack, self.history, self.stock).check()

    def counter(self, name, n=0):
        return bus1.broker_metrics(self.rack.bases[n]).get(name, 0)

    def hear_beacons(self):
        """Waits until gateways hear the event stream: before, they ask user-svc about each token."""
        context = zmq.Context()
        with context.socket(zmq.SUB) as tap:
            tap.subscribe(b"_head.")
            tap.connect(f"ipc://{self.rack.run_folder}/tap0")
            for _ in range(2):
                assert tap.poll(20000 * SLOW), "no beacon"
                tap.recv_multipart()
        context.term()

    def redelivered(self, n=0):
        return self.counter("zmart_broker_redelivered_total", n)

    def resent(self, instance="gateway-0"):
        n = int(instance.rsplit("-", 1)[1])
        return self.rack.metric(n, "zmart_bus_resent_total", f'instance="{instance}"')


def nothing_failed(people):
    bad = {s: n for p in people for s, n in p.statuses.items() if s not in GOOD}
    assert not bad, f"answers that are failures: {bad} {[b for p in people for b in p.broken][:3]}"


def longest_s(people):
    return max(p.slowest_s for p in people)


class Watch(threading.Thread):
    """Notices when the whole machine stands still: budgets end meanwhile, and what a scenario has seen proves nothing."""

    STILL_S = 1.0

    def __init__(self):
        super().__init__(name="watch", daemon=True)
        self.ending, self.still_s = threading.Event(), 0.0

    def run(self):
        before = time.monotonic()
        while not self.ending.wait(0.05):
            now = time.monotonic()
            if now - before > self.STILL_S:
                self.still_s += now - before
            before = now


def run_round(scenario, seed, tries=3):
    """What the scenario found; begun anew when it failed while the machine stood still."""
    for left in reversed(range(tries)):
        watch = Watch()
        with running(watch):
            try:
                return scenario.run(seed)
            except Exception:
                if left == 0 or watch.still_s == 0:
                    raise
                print(f"     the machine stood still for {watch.still_s:.1f} s: once more", flush=True)
