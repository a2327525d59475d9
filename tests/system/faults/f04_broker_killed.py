"""F4. A broker is killed with -9 under load and started again: one of two, then the only one.

Holds: what it had goes again through the other broker, or through its next life; no request fails, nothing is done twice."""
import time

from scenario import Stage, longest_s, nothing_failed

SEED = 104
ROUNDS_MAX = 8


def kill_round(stage, people, n):
    """Frozen for a moment first, so that requests pile up in it and die with it."""
    broker = stage.rack[f"broker-{n}"]
    broker.freeze()
    time.sleep(0.05 + stage.random.random() / 10)
    broker.kill()
    if len(stage.rack.bases) > 1:
        stage.progress(people)
    broker.start()
    stage.rack.wait_whole()
    stage.progress(people)


def case(seed, brokers):
    with Stage(seed, brokers=brokers, heartbeat_ms=300) as stage:
        rounds = 0
        with stage.load(6) as people:
            while rounds < ROUNDS_MAX and (rounds < 2 or stage.resent() == 0):
                kill_round(stage, people, rounds % brokers)
                rounds += 1
        resent = stage.resent()
        assert resent > 0, "nothing was under way when the broker died"
        nothing_failed(people)
        return f"{brokers} broker(s), {rounds} kills, {resent:.0f} sent again, slowest {longest_s(people):.2f} s; {stage.check()}"


def run(seed):
    return "\n     ".join(case(seed + n, n) for n in (2, 1))
