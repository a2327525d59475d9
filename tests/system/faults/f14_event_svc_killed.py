"""F14. event-svc, and order-svc whose events it keeps, are killed at every step: before and after the commit of an append, between
the parts of the answer and of what is published, before and after the outbox is cleared. A second event-svc is started beside the first.

Holds: the log has every change once, without a gap; what is published twice is the same, byte for byte; the second one refuses."""
import collections

import bus1
from listener import Listener, Raw
from rack import Process, running
from scenario import Stage, wait_for

SEED = 114
STEPS, KILLS = 26, 12  # one event takes event-svc fewer steps than that


def repeated(stage):
    lists = bus1.mmi(stage.rack.bases[0], "metrics")["processes"]
    return sum(s["value"] for p in lists for s in p["series"] if s["name"] == "zmart_events_repeated_total")


def killed(stage, people, name, after_steps):
    process, shim = stage.rack[name], stage.rack.shims[name]
    before = shim.steps()
    shim.kill_after(after_steps)
    wait_for(f"{name} to die at step {after_steps}", lambda: not process.alive(), 30, 0.005)
    assert shim.steps() - before >= after_steps
    shim.kill_after(0)
    process.start()
    stage.progress(people, 2)


def killed_when_told(stage, listener):
    """After an event is out, and before the log remembers that it is."""
    process = stage.rack["event-svc"]
    for _ in range(3):
        before = len(listener.events)
        stage.finish(stage.once(1))
        wait_for("its event", lambda: len(listener.events) > before, 20, 0.001)
        process.kill()
        process.start()


def a_second_one(stage):
    rack = stage.rack
    second = Process(rack.folder, "event-svc", "event-svc-2", rack["event-svc"].flags).start(wait=False)
    wait_for("the second one to refuse", lambda: not second.alive(), 30)
    assert second.child.returncode != 0 and rack["event-svc"].alive()
    assert "another process writes" in second.log_path.read_text()


def twice(listener, log):
    """How often something came again; all that came is what the log has."""
    for event in listener.events:
        assert log[event.seq] == event, (event, log[event.seq])
    counts = collections.Counter(e.seq for e in listener.events)
    return sum(n - 1 for n in counts.values())


def run(seed):
    with Stage(seed, heartbeat_ms=300, shimmed=("event-svc", "order-svc")) as stage:
        listener = Listener(f"ipc://{stage.rack.run_folder}/tap0")
        with running(listener):
            listener.hears()
            with stage.load(4) as people:
                for step in stage.random.sample(range(1, STEPS), KILLS):
                    killed(stage, people, "event-svc", step)
                a_second_one(stage)
                for step in stage.random.sample(range(1, STEPS), KILLS):
                    killed(stage, people, "order-svc", step)
                stage.progress(people, 10)
                again = repeated(stage)
            killed_when_told(stage, listener)
            found = stage.check()
            with Raw(stage.rack.bases[0]) as client:
                log = {e.seq: e for e in client.replay(0)}
                wait_for("it to be told again", lambda: twice(listener, log), 20)
            newest = max(e.seq for e in log.values() if e.type.startswith("order."))
            wait_for("the newest event", lambda: listener.events and listener.events[-1].seq == newest, 30)
        duplicates = twice(listener, log)
        assert again >= 1, "nothing was handed over again"
        return f"{2 * KILLS} killed; {duplicates} events published twice, {again} handed over twice; {found}"
