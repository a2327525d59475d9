#!/usr/bin/python3
"""Telling of changed stock on MongoDB (product-svc/store_mongo_stock.c) as a state machine, every interleaving tried.

    stock_news.py            explores it; exit status 1 on a violation
    stock_news.py --break N  leaves out rule N and exits 0 only if that is found (1 to 4)
    stock_news.py --all      both: what the test suite runs

One document: changes (how often the stock has changed), told (the change that was told last), news (a mark), and its
events in the order in which they were written. A sale counts a change and sets the mark. A teller may be any process, at
any time, two at once, and may stand still for ever anywhere; each of its steps touches the document once:
    read     the mark is there: what changes is then
    settle   nothing has changed since: the event is written, the mark goes
    between  it has: the event is written, the mark stays
    drop     what was read was told by then, and is still the last: the mark goes

Rules
    1 The mark goes with an event only if nothing has changed since the read.
    2 An event that lies between is never older than what was told already.
    3 The mark alone goes only if nothing has changed since the read.
    4 The mark goes with an event only if that change was not told already.
Whatever happens, events tell later and later changes, each once, and a lone teller ends with the last one told.
"""
import sys

SALES, TELLERS, ROUNDS = 3, 2, 2  # each teller runs so often


def steps(state, broken):
    """The states one step away."""
    changes, told, news, events, sales, tellers = state
    if sales:
        yield changes + 1, told, True, events, sales - 1, tellers
    for i in range(len(tellers)):
        after = teller_step((changes, told, news, events), tellers[i], broken)
        if after:
            yield (*after[0], sales, tellers[:i] + (after[1],) + tellers[i + 1:])


def teller_step(document, teller, broken):
    changes, told, news, events = document
    step, seen, rounds = teller
    done = ("read", 0, rounds - 1)
    if rounds == 0:
        return None
    if step == "read":
        return document, ("settle", changes, rounds) if news else done
    if step == "settle":
        if (told < seen or broken == 4) and (changes == seen or broken == 1):
            return (changes, seen, False, events + (seen,)), done
        return document, ("between", seen, rounds)
    if step == "between":
        if told < seen or broken == 2:
            document = (changes, seen, news, events + (seen,))
        return document, ("drop", seen, rounds)
    if told == seen and (changes == seen or broken == 3):
        document = (changes, told, False, events)
    return document, done


def wrong(state, broken):
    events = state[3]
    if any(a >= b for a, b in zip(events, events[1:])):
        return f"told in the order {events}"
    document, teller = state[:4], ("read", 0, 1)  # everybody else stands still for ever
    while teller[2]:
        document, teller = teller_step(document, teller, broken)
    changes, _, news, events = document
    if changes and (not events or events[-1] != changes or news):
        return f"change {changes} is the last, told were {events}, and the mark is {'there' if news else 'gone'}"
    return None


def explore(broken=0):
    """The number of states, and what is wrong with the first that is."""
    start = (0, 0, False, (), SALES, (("read", 0, ROUNDS),) * TELLERS)
    seen, todo = {start}, [start]
    while todo:
        state = todo.pop()
        problem = wrong(state, broken)
        if problem:
            return len(seen), problem
        for after in steps(state, broken):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return len(seen), None


def main():
    every = "--all" in sys.argv
    if "--break" not in sys.argv:
        count, problem = explore()
        print(f"{count} states, {problem or 'no violation'}")
        if problem:
            return 1
    rules = range(1, 5) if every else [int(sys.argv[sys.argv.index("--break") + 1])] if "--break" in sys.argv else []
    for rule in rules:
        _, problem = explore(rule)
        print(f"without rule {rule}: {problem or 'nothing is found'}")
        if not problem:
            return 1
    return 0


sys.exit(main())
