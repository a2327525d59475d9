"""F5. The broker is stopped (SIGSTOP) for less than the heartbeats allow, then for ten seconds, and goes on.

Holds: after the short stop every session is what it was and no request has failed. After the long one nothing whose budget
was over is begun, and all find their way back."""
import time

import bus1
from history import Checker
from scenario import Stage, nothing_failed, wait_for

SEED, FROZEN_S = 105, 10


def sessions(rack):
    return {w["instance"]: w["epoch"] for w in bus1.mmi(rack.bases[0], "workers")["workers"]}


def short_stop(seed):
    with Stage(seed, heartbeat_ms=2000) as stage:
        broker = stage.rack["broker-0"]
        before = sessions(stage.rack)
        with stage.load(4) as people:
            broker.freeze()
            time.sleep(2 + stage.random.random())  # under 3.5 heartbeats
            broker.thaw()
            stage.progress(people)
        assert max(p.slowest_s for p in people) >= 1.5, "nobody noticed the stop"
        nothing_failed(people)
        assert sessions(stage.rack) == before, "somebody was thought dead"
        assert not broker.log("worker.lost") and not broker.log("client.lost"), "somebody was thought dead"
        return f"short: {stage.check()}"


def long_stop(seed):
    with Stage(seed, heartbeat_ms=300) as stage:
        rack, broker = stage.rack, stage.rack["broker-0"]
        stage.hear_beacons()
        stage.buyers(1)[0].order()
        people = stage.buyers(6, limit=1, patient=False, think_s=0)
        broker.freeze()
        frozen = time.monotonic()
        for person in people:
            person.start()
        stage.finish(people)  # each has waited for its budget's end
        told = [e for e in stage.history.read() if e["type"] in ("fail", "info")]
        assert [e["status"] for e in told] == [504] * 6, told
        time.sleep(max(0, FROZEN_S - (time.monotonic() - frozen)))
        broker.thaw()
        dropped = lambda: stage.counter('zmart_broker_requests_total{outcome="expired"}') + stage.counter("zmart_broker_stray_frames_total")
        wait_for("the broker to find the stale requests", lambda: dropped() >= 1, 20)
        rack.wait_whole()
        assert not broker.log("worker.lost"), "it took its own stop for its workers' silence"
        with stage.load(3):
            pass
        found = stage.check()
        stale = [e["key"] for e in stage.history.read() if e["type"] == "info"]
        assert len(stale) == 6
        checker = Checker(rack, stage.history, stage.stock)
        checker.read_stores()
        assert not [key for key in stale if checker.by_note.get(key)], "begun after its time"
        return f"long: {dropped()} stale frames dropped; {found}"


def run(seed):
    return short_stop(seed) + "\n     " + long_stop(seed + 1)
