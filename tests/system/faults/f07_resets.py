"""F7. A storm of TCP resets, peers that lose their power without a word, and connections that never say anything.

Holds: every request has its one effect; silent sessions end, half-made connections are dropped, descriptors and memory go
back to what they were."""
import contextlib
import socket

import bus1
from proxy import endpoint
from scenario import Stage, wait_for

SEED = 107
RESETS, MUTE = 12, 150


def storm(stage, people, proxies):
    for _ in range(RESETS):
        for proxy in proxies:
            proxy.reset()
        stage.progress(people, 2)
    assert sum(proxy.counts["resets"] for proxy in proxies) >= RESETS, "nothing was reset"


def power_loss(stage, people, proxies):
    base = stage.rack.bases[0]
    ended = lambda: sum(len(stage.rack["broker-0"].log(e)) for e in ("client.lost", "worker.lost", "client.gone", "worker.gone"))
    before = ended()
    for proxy in proxies:
        proxy.half_open()
    assert sum(proxy.counts["half_open"] for proxy in proxies), "no connection was cut in half"
    wait_for("the sessions of those that lost their power to end", lambda: ended() > before, 30, 0.05)
    stage.rack.wait_whole()
    stage.progress(people, 5)
    workers = [w["instance"] for w in bus1.mmi(base, "workers")["workers"]]
    wait_for("one session a worker", lambda: len(workers) == len(set(workers)) or
             workers.clear() or workers.extend(w["instance"] for w in bus1.mmi(base, "workers")["workers"]), 30, 0.1)


def never_a_word(stage):
    """Twice, so that the second time shows what the first has cost for good."""
    broker, memory = stage.rack["broker-0"], []
    for _ in range(2):
        before = broker.descriptors()
        with contextlib.ExitStack() as stack:
            for n in range(MUTE):
                family, address = endpoint(bus1.plane_address(stage.rack.bases[0], bus1.PLANES[n % 3]))
                mute = stack.enter_context(socket.socket(family))
                mute.connect(address)
                if n % 2:
                    mute.send(b"\xff" + bytes(8) + b"\x7f\x03")  # the beginning of a ZMTP greeting
            wait_for("the broker to hold them", lambda: broker.descriptors() >= before + MUTE * 9 // 10, 20, 0.02)
            wait_for("the broker to drop them", lambda: broker.descriptors() <= before + 10, 30, 0.1)
        memory.append(broker.memory_kib())
    assert memory[1] <= memory[0] * 1.2 + 2048, f"memory grows: {memory} KiB"
    return memory


def run(seed):
    with Stage(seed, tcp=True, heartbeat_ms=400, links={"gateway-0": [0], "order-svc": [0], "product-svc": [0]}) as stage:
        proxies = list(stage.rack.proxies.values())
        with stage.load(4) as people:
            storm(stage, people, proxies)
            power_loss(stage, people, proxies)
            memory = never_a_word(stage)
        counts = {k: sum(p.counts[k] for p in proxies) for k in ("resets", "half_open")}
        return f"{counts}, the broker has {memory} KiB after {MUTE} mute peers, twice; {stage.check()}"
