"""F12. The wall clock jumps an hour ahead and back, everywhere at once and in single services.

Holds: no request expires, nobody is thought dead, nothing crashes, the log's seq goes on where its times go back. What people
are told by the wall clock (access tokens) may end: they sign in again."""
from scenario import GOOD, Stage, longest_s

SEED = 112
HOUR_S = 3600
EVERYWHERE = ("broker-0", "gateway-0", "event-svc", "product-svc", "user-svc", "order-svc")


def jump(stage, people, names, seconds):
    for name in names:
        stage.rack.shims[name].wall_offset(seconds)
    stage.progress(people, 15)


def run(seed):
    with Stage(seed, heartbeat_ms=500, shimmed=EVERYWHERE) as stage:
        rack, broker = stage.rack, stage.rack["broker-0"]
        stage.hear_beacons()
        jumps = [(EVERYWHERE, HOUR_S), (EVERYWHERE, 0), (EVERYWHERE, -HOUR_S), (EVERYWHERE, 0), (("event-svc",), HOUR_S), (("event-svc",), -HOUR_S),
                 (("order-svc",), -HOUR_S), (("product-svc",), HOUR_S), (("broker-0",), -HOUR_S), (EVERYWHERE, HOUR_S)]
        with stage.load(4) as people:
            for names, seconds in jumps:
                jump(stage, people, names, seconds)
        bad = {s: n for p in people for s, n in p.statuses.items() if s not in GOOD | {401}}
        assert not bad, f"answers that are failures: {bad} {[b for p in people for b in p.broken][:3]}"
        lost = [l for l in broker.log("worker.lost") + broker.log("client.lost") if not l["instance"].startswith("test-")]
        assert not lost, f"thought dead: {lost}"
        times = [t // 1000 for (t,) in rack.rows("event.db", "SELECT time FROM entry WHERE type LIKE 'order.%' ORDER BY seq")]
        ahead = sum(b - a > HOUR_S / 2 for a, b in zip(times, times[1:]))
        back = sum(a - b > HOUR_S / 2 for a, b in zip(times, times[1:]))
        assert ahead >= 3 and back >= 3, f"the clock hardly jumped: {ahead} times ahead, {back} times back"
        assert all(p.alive() for p in rack.processes_by_name.values())
        return (f"{ahead} jumps ahead and {back} back in the log, {sum(p.logins for p in people)} signed in again, "
                f"slowest {longest_s(people):.1f} s; {stage.check()}")
