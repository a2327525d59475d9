"""F6. The network between a gateway and a broker, or a worker and a broker, swallows everything, or one direction only.

Holds: a silent broker's requests go again through the other one, a silent worker's are sent again; when the network is back
all are back without a restart, and every request has had its one effect."""
import bus1
from proxy import DOWN, UP
from scenario import Stage, longest_s, nothing_failed, wait_for

SEED = 106


def of_gateway(stage, people, direction):
    before, accepted = stage.resent(), lambda: bus1.books(stage.rack.bases[0])["accepted"]
    proxy = stage.rack.proxies["gateway-0", 0]
    proxy.blackhole(direction)
    wait_for("requests to go through the other broker", lambda: stage.resent() > before, 30, 0.05)
    stage.progress(people, 10)
    proxy.heal()
    # what asks here is itself a request each time
    start = accepted()
    wait_for("the gateway to use the broker again", lambda: accepted() > start + 200, 30, 0.01)


def of_worker(stage, people, direction):
    before, proxy = stage.redelivered(), stage.rack.proxies["order-svc", 0]
    proxy.blackhole(direction)
    wait_for("requests to be sent again", lambda: stage.redelivered() > before, 30, 0.05)
    proxy.heal()
    stage.rack.wait_whole()
    stage.progress(people, 10)


def run(seed):
    cases = [(of_gateway, d) for d in ("both", UP, DOWN)] + [(of_worker, d) for d in ("both", UP, DOWN)]
    with Stage(seed, brokers=2, heartbeat_ms=300, links={"gateway-0": [0], "order-svc": [0]}) as stage:
        stage.random.shuffle(cases)
        with stage.load(6) as people:
            for what, direction in cases:
                what(stage, people, direction)
        swallowed = {name: proxy.counts["swallowed"] for (name, _), proxy in stage.rack.proxies.items()}
        assert all(swallowed.values()), f"nothing was swallowed: {swallowed}"
        return (f"{stage.resent():.0f} sent again by the gateway, {stage.redelivered()} by the broker, swallowed {swallowed}, "
                f"slowest {longest_s(people):.1f} s; {stage.check()}")
