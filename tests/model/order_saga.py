#!/usr/bin/python3
"""The order saga as a state machine, every interleaving of small sets of processes tried.

    order_saga.py                explores every scene; exit status 1 on a violation
    order_saga.py --break N      leaves out rule N and exits 0 only if some scene finds a violation (1 to 8)
    order_saga.py --all          explores every scene, then breaks every rule: what the test suite runs
    order_saga.py --trace ...    prints the way to a violation

Each step touches one document once, which is all that the saga may assume (a store without transactions). Any process
may stand still for ever (a crash) or go on much later (a frozen worker, a request sent again), so every reachable state
is also a state in which all of them died: from each, a lone sweeper must end with the books right.

Documents
    product  avail, pending = entries (order, kind) not yet mirrored in a hold document, and a version for compare-and-set
    hold     one per (order, product): absent -> held -> released; never back
    order    one per order id: absent -> placed -> cancelled, or absent -> refused (a tombstone with its answer),
             or absent -> void (a tombstone without one)

Rules
    1 A product changes only by compare-and-set on its version, and that was read before the hold documents were.
    2 A pending entry is dropped only when the hold document already says the same.
    3 Nothing is released before the order is durably void, refused or cancelled.
    4 An order is placed by inserting a document whose id follows from the request; tombstones use the same id.
    5 A PUT that sets the stock is such a compare-and-set too, of the whole document.
    6 A mirror that comes late inserts a hold document only where there is none: released never becomes held again.
    7 A repeat goes on to the next id only past a void; a refusal is an answer, and is given again.
    8 A lost insert answers by what is there, never by what this worker had meant to do.

Mirrors are nobody's step here: any entry that was ever pending may reach its hold document at any later moment, or
not at all. Reserves that are decided together change a product once: that is the same as one after the other with nobody
between, and a change of two products in one message is two steps, so neither adds a state. A product's version is not counted either: whoever has read the product is marked stale when it changes,
which is what a compare of versions finds out, without endless states.
"""
import sys

READ, HOLDS, CAS, VOID, END = "read", "holds", "cas", "void", "end"


class Scene:
    """stock: by product. wants: products by order id, one piece each. chain: the id after a void, by order id.
    procs: (kind, order, first step)."""

    def __init__(self, name, stock, wants, procs, chain=None, put=None):
        self.name, self.stock, self.wants, self.procs = name, stock, wants, procs
        self.chain, self.put = chain or {}, put
        self.names = tuple(stock)
        self.index = {n: i for i, n in enumerate(self.names)}
        self.request = {o: o[0] for o in wants}  # "A", "A1" are tries of request A


SCENES = (
    Scene("rivals", {"p": 1, "q": 1}, {"A": ("p", "q"), "B": ("q",)}, (
        ("create", "A", "look"),   # a request
        ("create", "A", "look"),   # the same request, sent again to another worker
        ("create", "B", "look"),   # a rival for the last piece of q
        ("sweep", "A", VOID),      # the sweeper loses patience with A at any moment
        ("cancel", "B", "cancel"))),  # B is cancelled at any moment
    Scene("opposite", {"p": 1, "q": 1}, {"A": ("p", "q"), "B": ("q", "p")}, (
        ("create", "A", "look"),   # two orders take the same products the other way round
        ("create", "B", "look"),
        ("sweep", "A", VOID),
        ("sweep", "B", VOID))),
    Scene("restock", {"q": 1}, {"A": ("q",), "B": ("q",)}, (
        ("create", "A", "look"),
        ("create", "A", "look"),
        ("create", "B", "look"),
        ("put", "q", READ),        # an administrator sets the stock at any moment
        ("cancel", "A", "cancel"),
        ("sweep", "B", VOID)), put=2),
    Scene("restock twice", {"q": 1}, {"A": ("q",), "B": ("q",)}, (
        ("create", "A", "look"),
        ("create", "B", "look"),
        ("put", "q", READ),        # two administrators set it, and one of them gets a 412
        ("put", "q", READ),
        ("cancel", "A", "cancel"),
        ("sweep", "B", VOID)), put=2),
    Scene("repeats", {"q": 1}, {"A": ("q",), "A1": ("q",), "B": ("q",)}, (
        ("create", "A", "look"),   # what is void moves them on to A1
        ("create", "A", "look"),
        ("create", "B", "look"),
        ("sweep", "A", VOID),
        ("cancel", "B", "cancel")), chain={"A": "A1"}),
)

# A state is (products, holds, orders, processes, promises).
#   products  ((avail, pending, supply), ...): supply is what the books say there is, avail and sold together
#   holds     frozenset of ((order, product), state); orders: frozenset of (order, state)
#   process   (kind, order, step, line, seen): seen is (product, holds, stale), or the planned product and stale
#   promises  frozenset of (order, answer) that some client has heard


class Machine:
    def __init__(self, scene, broken):
        self.scene, self.broken = scene, broken
        self.settled_states = {}

    # ---- documents ----

    @staticmethod
    def hold(holds, order, product):
        if ((order, product), "held") in holds:
            return "held"
        return "released" if ((order, product), "released") in holds else None

    @staticmethod
    def with_hold(holds, order, product, state):
        kept = {h for h in holds if h[0] != (order, product)}
        kept.add(((order, product), state))
        return frozenset(kept)

    @staticmethod
    def order(orders, order):
        for o, state in orders:
            if o == order:
                return state
        return None

    @staticmethod
    def with_order(orders, order, state):
        return frozenset({o for o in orders if o[0] != order} | {(order, state)})

    def mirrored(self, holds, entry, product):
        """Rule 2: the hold document already says what the entry says."""
        order, kind = entry
        state = self.hold(holds, order, product)
        return state == "released" if kind == "undo" else state is not None

    def kept(self, pending, holds, product):
        if self.broken == 2:
            return frozenset()
        return frozenset(e for e in pending if not self.mirrored(holds, e, product))

    def reserve_plan(self, order, product, seen, holds):
        """-> (verdict, new product or None)"""
        avail, pending, supply = seen
        state = self.hold(holds, order, product)
        if (order, "undo") in pending or state == "released":
            return "refused", None
        if (order, "hold") in pending or state == "held":
            return "ok", None
        if avail < 1:
            return "refused", None
        return "ok", (avail - 1, self.kept(pending, holds, product) | {(order, "hold")}, supply)

    def undo_plan(self, order, product, seen, holds):
        avail, pending, supply = seen
        state = self.hold(holds, order, product)
        if (order, "undo") in pending or state == "released":
            return None
        if (order, "hold") not in pending and state != "held":
            return None
        kept = self.kept(pending, holds, product) - {(order, "hold")}
        return (avail + 1, kept | {(order, "undo")}, supply)

    def stored(self, state, i, product, plan, seen, stale, **go):
        """Compare-and-set, rule 1; whoever else has read this product is stale from now on. None: it was stale."""
        products, holds, orders, procs, promises = state
        at = self.scene.index[product]
        now = products[at]
        guard = 5 if procs[i][0] == "put" else 1
        if stale:
            if self.broken != guard:
                return None
            if guard == 1:  # the change is applied to what is there now, as an unguarded $inc would
                plan = (now[0] + plan[0] - seen[0], now[1] | plan[1], now[2])
        if procs[i][0] == "put":  # the books: what the administrator saw, and what was set instead
            plan = (plan[0], plan[1], now[2] + plan[0] - seen[0])
        products = products[:at] + (plan,) + products[at + 1:]
        procs = tuple(self.made_stale(p, product) if j != i else p for j, p in enumerate(procs))
        return self.go((products, holds, orders, procs, promises), i, **go)

    def product_of(self, proc):
        kind, order, step, line, seen = proc
        if kind == "put":
            return order
        lines = self.scene.wants[order]
        return lines[line] if seen is not None and line < len(lines) else None

    def made_stale(self, proc, product):
        kind, order, step, line, seen = proc
        if seen is None or seen[-1] or self.product_of(proc) != product:
            return proc
        if step in (CAS, "u-cas") and self.broken not in (1, 5):
            seen = (None, None, True)  # it will fail, whatever the plan was
        else:
            seen = seen[:-1] + (True,)
        return (kind, order, step, line, seen)

    @staticmethod
    def go(state, i, holds=None, orders=None, promise=None, order=None, step=END, line=None, seen=None):
        products, old_holds, old_orders, procs, promises = state
        kind, old_order, _, old_line, _ = procs[i]
        if step == END:
            proc = (kind, old_order, END, 0, None)
        else:
            proc = (kind, order or old_order, step, old_line if line is None else line, seen)
        return (products, old_holds if holds is None else holds, old_orders if orders is None else orders,
                procs[:i] + (proc,) + procs[i + 1:], promises | {promise} if promise else promises)

    # ---- steps ----

    def answer(self, state, i, order, found):
        """What is under the id is the answer: an order, a refusal; a void moves on."""
        request = self.scene.request[order]
        if found in ("placed", "cancelled"):
            return self.go(state, i, promise=(request, order, "placed"))
        after = self.scene.chain.get(order)
        if found == "refused" and self.broken != 7:
            return self.go(state, i, promise=(request, order, "refused"))
        return self.go(state, i, order=after, step="look", line=0) if after else self.go(state, i)

    def step(self, state, i):
        """The state after process i's next step; None if it has ended."""
        kind, order, step, line, seen = state[3][i]
        if step == END:
            return None
        if kind == "put":
            return self.step_put(state, i)
        if step in ("look", READ, HOLDS, CAS, "place", "refuse"):
            return self.step_create(state, i)
        return self.step_release(state, i)

    def next_line(self, state, i, order, line, first, done):
        if line + 1 < len(self.scene.wants[order]):
            return self.go(state, i, step=first, line=line + 1)
        return done()

    def step_create(self, state, i):
        products, holds, orders, procs, _ = state
        kind, order, step, line, seen = procs[i]
        product = self.scene.wants[order][line]
        found = self.order(orders, order)
        if step == "look":
            return self.go(state, i, step=READ, line=0) if found is None else self.answer(state, i, order, found)
        if step == READ:
            return self.go(state, i, step=HOLDS, seen=(products[self.scene.index[product]], None, False))
        if step == HOLDS:
            verdict, plan = self.reserve_plan(order, product, seen[0], holds)
            if verdict == "refused":
                if self.broken == 3:
                    return self.go(state, i, step="u-read", line=0)
                return self.go(state, i, step="refuse")
            if plan is not None:
                return self.go(state, i, step=CAS, seen=(plan, seen[0], seen[2]) if not seen[2] or
                               self.broken in (1, 5) else (None, None, True))
            return self.next_line(state, i, order, line, READ, lambda: self.go(state, i, step="place", line=0))
        if step == CAS:
            last = line + 1 == len(self.scene.wants[order])
            after = dict(step="place", line=0) if last else dict(step=READ, line=line + 1)
            return (self.stored(state, i, product, seen[0], seen[1], seen[2], **after) or
                    self.go(state, i, step=READ))
        if step == "place":
            if found is None or self.broken == 4:
                return self.go(state, i, orders=self.with_order(orders, order, "placed"),
                               promise=(self.scene.request[order], order, "placed"))
            if self.broken == 8:
                return self.go(state, i, promise=(self.scene.request[order], order, "placed"))
            return self.answer(state, i, order, found)
        # refuse: the tombstone first, then everything that may be held goes back
        if found is None:
            return self.go(state, i, orders=self.with_order(orders, order, "refused"), step="u-read", line=0,
                           promise=(self.scene.request[order], order, "refused"))
        if self.broken == 8:
            return self.go(state, i, promise=(self.scene.request[order], order, "refused"))
        return self.answer(state, i, order, found)

    def step_release(self, state, i):
        products, holds, orders, procs, _ = state
        kind, order, step, line, seen = procs[i]
        found = self.order(orders, order)
        if step == VOID:
            if found is None:
                return self.go(state, i, orders=self.with_order(orders, order, "void"), step="u-read", line=0)
            return self.go(state, i) if found == "placed" else self.go(state, i, step="u-read", line=0)
        if step == "cancel":
            if found == "placed":
                return self.go(state, i, orders=self.with_order(orders, order, "cancelled"), step="u-read", line=0)
            return self.go(state, i, step="u-read", line=0) if found == "cancelled" else self.go(state, i)
        product = self.scene.wants[order][line]
        if step == "u-read":
            return self.go(state, i, step="u-holds", seen=(products[self.scene.index[product]], None, False))
        if step == "u-holds":
            plan = self.undo_plan(order, product, seen[0], holds)
            if plan is not None:
                return self.go(state, i, step="u-cas", seen=(plan, seen[0], seen[2]) if not seen[2] or
                               self.broken in (1, 5) else (None, None, True))
            return self.next_line(state, i, order, line, "u-read", lambda: self.go(state, i))
        if step == "u-cas":
            last = line + 1 == len(self.scene.wants[order])
            after = dict(step=END) if last else dict(step="u-read", line=line + 1)
            return (self.stored(state, i, product, seen[0], seen[1], seen[2], **after) or
                    self.go(state, i, step="u-read"))
        raise AssertionError(step)

    def step_put(self, state, i):
        """PUT sets what can be sold now, whatever is held; If-Match is the version, so a stale one is asked again."""
        products, _, _, procs, _ = state
        kind, product, step, line, seen = procs[i]
        if step == READ:
            return self.go(state, i, step=CAS, seen=(products[self.scene.index[product]], None, False))
        plan = (self.scene.put, seen[0][1], None) if seen[0] else None
        return self.stored(state, i, product, plan, seen[0], seen[-1]) or self.go(state, i)  # 412: gives up

    def mirrors(self, state):
        """The states after one hold document was written, by whoever got round to it."""
        products, holds, orders, procs, promises = state
        for product, (avail, pending, supply) in zip(self.scene.names, products):
            for order in self.scene.wants:
                if product not in self.scene.wants[order]:
                    continue
                said = self.hold(holds, order, product)
                if (order, "undo") in pending and said != "released":
                    yield (products, self.with_hold(holds, order, product, "released"), orders, procs, promises)
                was_held = (order, "hold") in pending or (order, "undo") in pending
                if (said is None and was_held) or (self.broken == 6 and said == "released"):
                    yield (products, self.with_hold(holds, order, product, "held"), orders, procs, promises)

    # ---- what must hold ----

    def wrong(self, state):
        products, holds, orders, procs, promises = state
        live = dict.fromkeys(self.scene.names, 0)
        placed = set()
        for order, found in orders:
            if found in ("placed", "cancelled"):
                if self.scene.request[order] in placed:
                    return f"request {self.scene.request[order]} has two orders"
                placed.add(self.scene.request[order])
            if found == "placed":
                for product in self.scene.wants[order]:
                    live[product] += 1
        for product, (avail, pending, supply) in zip(self.scene.names, products):
            if avail < 0:
                return f"{product}: stock below zero"
            if avail + live[product] > supply:
                return f"{product}: oversold ({avail} left, {live[product]} sold of {supply})"
        answers = {}
        for request, order, answer in promises:
            found = self.order(orders, order)
            if answer == "placed" and found not in ("placed", "cancelled") or answer == "refused" and found != "refused":
                return f"order {order} was answered {answer} and is {found}"
            if answers.setdefault(request, (order, answer)) != (order, answer):
                return f"request {request} was answered {answers[request]} and {(order, answer)}"
        return None

    def settle(self, products, holds, orders, promises):
        """Everybody died here. A lone sweeper mirrors what is pending and settles every order that left a trace; then
        the books must balance."""
        for order, lines in self.scene.wants.items():
            trace = self.order(orders, order) or any(h[0][0] == order for h in holds) or any(
                e[0] == order for p in products for e in p[1])
            if not trace:
                continue
            state = (products, holds, orders, (("sweep", order, VOID, 0, None),), promises)
            while state[3][0][2] != END:
                state = self.step(state, 0)
                bad = self.wrong(state)
                if bad:
                    return "while settling: " + bad
            products, holds, orders, _, promises = state
        for product, (avail, pending, supply) in zip(self.scene.names, products):
            for order, kind in sorted(pending):  # hold before undo
                if kind == "undo":
                    holds = self.with_hold(holds, order, product, "released")
                elif self.hold(holds, order, product) is None:
                    holds = self.with_hold(holds, order, product, "held")
        for product, (avail, pending, supply) in zip(self.scene.names, products):
            live = sum(1 for o, found in orders if found == "placed" and product in self.scene.wants[o])
            if avail + live != supply:
                return f"{product}: {avail} left + {live} sold is not {supply}"
        for order, found in orders:
            for product in self.scene.wants[order]:
                said = self.hold(holds, order, product)
                if said not in (("held",) if found == "placed" else ("released", None)):
                    return f"order {order} is {found}, its hold on {product} is {said}"
        return self.wrong((products, holds, orders, (), promises))

    def settled(self, state):
        key = (state[0], state[1], state[2], state[4])
        if key not in self.settled_states:
            self.settled_states[key] = self.wrong(state) or self.settle(*key)
        return self.settled_states[key]

    # ---- exploring ----

    def explore(self, trace):
        products = tuple((n, frozenset(), n) for n in self.scene.stock.values())
        procs = tuple((kind, order, step, 0, None) for kind, order, step in self.scene.procs)
        start = (products, frozenset(), frozenset(), procs, frozenset())
        seen, todo, count = {start: None}, [start], 0
        while todo:
            state = todo.pop()
            count += 1
            bad = self.settled(state)
            if bad:
                if trace:
                    self.tell(seen, state)
                return count, bad
            for i in range(len(procs)):
                after = self.step(state, i)
                if after is not None and after not in seen:
                    seen[after] = state if trace else None
                    todo.append(after)
            for after in self.mirrors(state):
                if after not in seen:
                    seen[after] = state if trace else None
                    todo.append(after)
        return count, None

    @staticmethod
    def tell(seen, state):
        path = []
        while state is not None:
            path.append(state)
            state = seen[state]
        for products, holds, orders, procs, promises in reversed(path):
            print("  ", [f"{p[0][0]} {p[1]} {p[2]}{p[3]}" for p in procs], [(a, sorted(e), n) for a, e, n in products],
                  sorted(holds), sorted(orders))


RULES = range(1, 9)


def explore_all(trace):
    failed = False
    for scene in SCENES:
        count, bad = Machine(scene, 0).explore(trace)
        print(f"{scene.name}: {count} states, {bad or 'no violation'}", flush=True)
        failed = failed or bad is not None
    return not failed


def break_rule(rule, trace):
    for scene in SCENES:
        count, bad = Machine(scene, rule).explore(trace)
        if bad:
            print(f"without rule {rule}: {scene.name}, after {count} states: {bad}", flush=True)
            return True
    print(f"without rule {rule}: no scene finds a violation", flush=True)
    return False


def main(arguments):
    trace = "--trace" in arguments
    arguments = [a for a in arguments if a != "--trace"]
    if not arguments:
        return 0 if explore_all(trace) else 1
    if arguments == ["--all"]:
        return 0 if explore_all(trace) and all([break_rule(rule, trace) for rule in RULES]) else 1
    if len(arguments) == 2 and arguments[0] == "--break" and arguments[1].isdigit() and int(arguments[1]) in RULES:
        return 0 if break_rule(int(arguments[1]), trace) else 1
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
