"""F4, second part. A broker takes a request, a worker does it, and the broker falls silent before the reply; the other broker,
which has had no such worker for long, refuses the request when it is sent there.

Holds: the refusal says nothing about what the first broker's worker has done, so the client is not told that nothing was
done: 502 or 504, and the request id tells the truth. A client with a key asks again and gets its order."""
import bus1
from proxy import DOWN
from scenario import Stage, wait_for

SEED = 1041


def run(seed):
    flags = {"broker": ["--service-wait-ms", "500"]}
    with Stage(seed, brokers=2, heartbeat_ms=300, flags=flags, links={"gateway-0": [0], "order-svc": [1]}) as stage:
        rack, of_gateway, of_worker = stage.rack, stage.rack.proxies["gateway-0", 0], stage.rack.proxies["order-svc", 1]
        count = lambda: rack.rows("order.db", "SELECT count(*) FROM orders WHERE kind = 'placed'")[0][0]
        of_worker.hold()
        wait_for("broker 1 to have no order-svc", lambda: "order" not in rack.served(rack.bases[1]), 20)
        with bus1.Client(rack.bases[1]) as client:
            wait_for("it to refuse", lambda: client.ask("order.get", {"id": "x"}, budget_ms=1000).status == 503, 20)
            stage.hear_beacons()
            people = []
            for _ in range(20):  # until one has gone through broker 0: the gateway takes the one that has less to do
                pair, before = stage.buyers(2, limit=1, patient=False), count()
                of_gateway.blackhole(DOWN, [bus1.CLIENTS])
                for person in pair:
                    person.start()
                stage.finish(pair)
                people += pair
                of_gateway.heal()
                wait_for("the gateway to be ready", rack.ready, 20)
                if count() > before:
                    break
        assert count() > 0, "no order was placed"
        assert stage.resent() > 0, "nothing was sent again"
        of_worker.heal()
        rack.wait_whole()
        with stage.load(2):
            pass
        told = sorted(str(s) for p in people for s in p.statuses)
        return f"told {told}, {stage.resent():.0f} sent again; {stage.check()}"
