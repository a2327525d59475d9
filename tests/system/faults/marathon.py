"""Everything at random. Two brokers, two gateways, a proxy on every link to broker 0; people with and without patience shop
while processes are killed, frozen and restarted and links are cut, slowed and reset, several at a time.

Holds: what holds for each fault alone. Afterwards everything heals, and what lived through all of it has not grown."""
import collections
import time

from history import Balancer
from rack import running
from scenario import Stage, wait_for

SEED = 200
LINKED = ("gateway-0", "order-svc", "product-svc", "event-svc")


class Nemesis:
    def __init__(self, stage):
        self.stage, self.rack, self.dice = stage, stage.rack, stage.random
        self.done = collections.Counter()
        self.undo = []  # (whether it is time, process or None, what)
        self.tormented = set()

    def process(self):
        free = [p for p in self.rack.processes_by_name.values() if p.instance not in self.tormented]
        return self.dice.choice(free) if len(self.tormented) < 3 else None

    def later(self, process, what):
        when = time.monotonic() + 0.05 + 3 * self.dice.random() ** 2
        self.undo.append((lambda: time.monotonic() >= when, process, what))

    def kill(self):
        process = self.process()
        if process:
            self.tormented.add(process.instance)
            process.kill()
            self.later(process, lambda: process.start(wait=False))

    def freeze(self):
        process = self.process()
        if process:
            self.tormented.add(process.instance)
            process.freeze()
            self.later(process, process.thaw)

    def restart(self):
        process = self.process()
        if process:
            self.tormented.add(process.instance)
            process.child.terminate()
            self.undo.append((lambda: not process.alive(), process, lambda: (process.stop(40, check=False), process.start(wait=False))))

    def link(self):
        proxy = self.dice.choice(list(self.rack.proxies.values()))
        direction = self.dice.choice(("up", "down", "both"))
        self.dice.choice((lambda: proxy.hold(direction), lambda: proxy.blackhole(direction), proxy.reset, proxy.half_open,
                          lambda: proxy.delay(self.dice.randrange(5, 400), direction), proxy.silence, proxy.refuse,
                          lambda: proxy.throttle(self.dice.randrange(500, 50000), direction)))()
        self.later(None, proxy.heal)

    def act(self):
        what = self.dice.choice((self.kill, self.freeze, self.restart, self.link, self.link, self.link))
        self.done[what.__name__] += 1
        what()

    def heal(self, everything=False):
        for entry in list(self.undo):
            is_time, process, what = entry
            if everything or is_time():
                self.undo.remove(entry)
                what()
                if process:
                    self.tormented.discard(process.instance)


def run(seed, seconds=40):
    with Stage(seed, brokers=2, gateways=2, tcp=seed % 2 == 0, heartbeat_ms=300, links={name: [0] for name in LINKED}) as stage:
        nemesis, balancer = Nemesis(stage), Balancer(stage.rack)
        end = time.monotonic() + seconds
        with running(balancer), stage.load(3, urls=balancer.urls) as patient, \
                stage.load(5, urls=balancer.urls, patient=False) as impatient:
            while time.monotonic() < end:
                nemesis.act()
                pause = time.monotonic() + 0.02 + stage.random.random()
                while time.monotonic() < pause:
                    time.sleep(0.02)
                    nemesis.heal()
            nemesis.heal(everything=True)
            for proxy in stage.rack.proxies.values():
                proxy.heal()
            stage.rack.wait_whole(60)
            stage.progress(patient + impatient, 20)
        statuses = collections.Counter()
        for person in patient + impatient:
            statuses.update(person.statuses)
        assert sum(nemesis.done.values()) >= seconds / 2 and nemesis.done["link"], nemesis.done
        for process in stage.rack.processes_by_name.values():
            wait_for(f"{process.instance} to let go of descriptors", lambda: process.descriptors() < 250, 30)
        return f"{dict(nemesis.done)}, answers {dict(statuses)}; {stage.check()}"
