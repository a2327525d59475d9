"""The short form of every fault scenario, each with its own seed. Names choose: test_faults.py f01 f17."""
import importlib
import pathlib
import sys

from scenario import run_round
from shop import run

FILES = sorted(p.stem for p in (pathlib.Path(__file__).parent / "faults").glob("f[0-9]*.py"))


def short_form(name):
    scenario = importlib.import_module(f"faults.{name}")
    print(f"     {name}: {run_round(scenario, scenario.SEED)}", flush=True)


if __name__ == "__main__":
    sys.argv[1:] = [f for f in FILES if any(f.startswith(chosen) for chosen in sys.argv[1:])]
    run({name: (lambda name=name: short_form(name)) for name in FILES})
