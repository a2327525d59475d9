"""F17. Every process is stopped with SIGTERM and started again as another version, one after the other, while people shop at
half the pace that the shop could keep. Half of them begin as the next version, whose records have fields more (tests/system/next).

Holds: no request fails, whoever is older. Clients stand behind a balancer that sends to gateways whose /readyz says yes. In full
length every process goes forth and back."""
import time

import bus1
from history import Balancer
from rack import running
from scenario import Stage, lasts, longest_s, nothing_failed, wait_for

SEED, PEOPLE = 117, 4


def pace(stage, balancer):
    """Requests a second when nobody pauses."""
    people = stage.buyers(PEOPLE, urls=balancer.urls, think_s=0)
    with running(*people):
        stage.progress(people, 20)
        before, begin = stage.history.counts["ok"], time.monotonic()
        time.sleep(2)
        rate = (stage.history.counts["ok"] - before) / (time.monotonic() - begin)
    stage.came_through(people)
    assert rate > 0
    return rate


def versions(rack):
    return {w["version"] for base in rack.bases for w in bus1.mmi(base, "workers")["workers"]}


def restart(rack, name):
    pid = rack[name].pid
    rack[name].stop()
    rack[name].version_change()
    rack[name].start()
    assert rack[name].pid != pid
    rack.wait_whole()


def begin_mixed(stage, names):
    """Each second process begins as the next version: of brokers and gateways one each."""
    for name in [n for n in names if n.endswith("-1")] + [n for n in names if n.endswith("-svc")][::2]:
        restart(stage.rack, name)
    assert len(versions(stage.rack)) == 2, versions(stage.rack)


def run(seed):
    with Stage(seed, brokers=2, gateways=2, heartbeat_ms=400, flags={"gateway": ["--drain-ms", "1000"]}) as stage:
        rack = stage.rack
        names = list(rack.processes_by_name)
        stage.random.shuffle(names)
        begin_mixed(stage, names)
        balancer, mixed = Balancer(rack), set()
        with running(balancer):
            wait_for("both gateways", lambda: len(balancer.good) == 2, 20)
            rate = pace(stage, balancer)
            with stage.load(PEOPLE, urls=balancer.urls, patient=False, think_s=PEOPLE / rate) as people:
                begin, before = time.monotonic(), stage.history.counts["ok"]
                for name in names * lasts(1, 2):
                    mixed |= versions(rack)
                    restart(rack, name)
                    stage.progress(people, 4)
                at_rate = (stage.history.counts["ok"] - before) / (time.monotonic() - begin)
        nothing_failed(people)
        counts = stage.history.counts
        assert counts["fail"] == counts["info"] == 0, counts
        assert len(mixed) == 2, f"only {mixed} met"
        return (f"{len(names) * lasts(1, 2)} processes restarted as another version, {at_rate:.0f} of {rate:.0f} requests/s, "
                f"slowest {longest_s(people):.2f} s; {stage.check()}")
