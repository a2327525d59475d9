"""F17. Every process is stopped with SIGTERM and started again, one after the other, while people shop.

Holds: no request fails. Clients stand behind a balancer that sends to gateways whose /readyz says yes."""

from history import Balancer
from rack import running
from scenario import Stage, longest_s, nothing_failed

SEED = 117


def run(seed):
    with Stage(seed, brokers=2, gateways=2, heartbeat_ms=400, flags={"gateway": ["--drain-ms", "1000"]}) as stage:
        rack = stage.rack
        names = list(rack.processes_by_name)
        stage.random.shuffle(names)
        balancer = Balancer(rack)
        with running(balancer), stage.load(4, urls=balancer.urls, patient=False) as people:
            for name in names:
                pid = rack[name].pid
                rack[name].stop()
                rack[name].start()
                assert rack[name].pid != pid
                rack.wait_whole()
                stage.progress(people, 4)
        nothing_failed(people)
        counts = stage.history.counts
        assert counts["fail"] == counts["info"] == 0, counts
        return f"{len(names)} processes restarted, slowest {longest_s(people):.2f} s; {stage.check()}"
