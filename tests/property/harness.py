"""How the properties run the programs, and how many examples they try: see CMakeLists.txt."""
import json
import math
import os
import re

from hypothesis import HealthCheck, Phase, given, settings

import generators
import oracle
from system import POISE, Aggregator, Case, main, run  # noqa: F401

FACTOR = float(os.environ.get("POISE_PROPERTY_FACTOR", "1"))


def holds_for(examples, shrinks=True, **strategies):
    """A test method as a property of so many examples; a failing one is made small, which can take minutes."""
    def decorate(test):
        phases = [phase for phase in Phase if phase != Phase.shrink or shrinks or FACTOR > 1]
        return settings(max_examples=math.ceil(examples * FACTOR), derandomize=FACTOR <= 1, database=None, deadline=None,
                        phases=phases, print_blob=FACTOR > 1,
                        suppress_health_check=list(HealthCheck))(given(**strategies)(test))
    return decorate


def is_near(got, wanted):
    if got is None or wanted is None:
        return got is wanted
    return got == wanted or abs(got - wanted) <= 1e-9 * max(1, abs(wanted))


def is_same_value(got, wanted, leaf):
    """Sums are exact and rounded where the specification says, so values are equal to the bit, unless computed."""
    if got is None or wanted is None:
        return got is wanted
    if "formula" in leaf or leaf["aggregate"] in generators.QUANTILES:
        return got == wanted or abs(got - wanted) <= 1e-9 * abs(wanted)
    return got == wanted and math.copysign(1, got) == (-1 if wanted < 0 else 1)  # -0 is 0


def is_on_edge(state, bounds):
    """Whether rounding may decide a status."""
    return any(x is not None and abs(x + 1e-9 - bound) < 1e-10
               for x in (state["score"], state["lo"], state["hi"]) for bound in bounds)


NEAR = {"attainment", "score", "lo", "hi", "coverage", "filled", "weight", "trend"}


def differences(card, got, wanted):
    """What is wrong with states, which must be of the nodes that are wanted."""
    leaves = {leaf["id"]: leaf for leaf in generators.leaves_of(card)}
    bounds = list(card.get("status", {"green": 200 / 3, "amber": 100 / 3}).values())
    on_edge = {(state["org"], state["as_of"]) for state in wanted if is_on_edge(state, bounds)}
    for one, other in zip(got, wanted):
        for key in other.keys() - ({"status", "uncertain"} if (other["org"], other["as_of"]) in on_edge else set()):
            if key == "value" and other["kind"] == "measure":
                same = is_same_value(one[key], other[key], leaves[other["node"].rpartition("/")[2]])
            else:
                same = is_near(one[key], other[key]) if key in NEAR else one[key] == other[key]
            if not same:
                yield f"{other['org']!r} {other['node']} at {other['as_of']}: {key} is {one[key]!r}, not {other[key]!r}"


def place(state):
    return state["as_of"], state["org"], state["node"]


class Property(Case):
    def write_card(self, card, name="card.yaml"):
        return self.write(name, generators.yaml_of(card))

    def evaluate_text(self, card, csv, *arguments, check=0, name="rows.csv"):
        """`poise eval` of CSV text (or bytes) as JSON; the finished process."""
        rows = self.folder / name
        rows.write_bytes(csv.encode(errors="surrogateescape") if isinstance(csv, str) else csv)
        return run(POISE, "eval", "--scorecard", card, "--measurements", rows, "--format", "json", *arguments,
                   check=check)

    def states(self, card, csv, *arguments):
        return json.loads(self.evaluate_text(card, csv, *arguments).stdout)

    def check_scene(self, card, some, as_of_ms, history=False):
        """`poise eval` of the rows, and what it refuses, equals the oracle's."""
        scored = oracle.Oracle(card, some)
        done = self.evaluate_text(self.write_card(card), generators.csv_of(some), "--all-orgs", "--as-of",
                                  oracle.time_text(as_of_ms), *(["--history"] if history else []))
        refused = [int(line) - 1 for line in re.findall(r"rows\.csv:(\d+): refused: ", done.stderr)]
        self.assertEqual(refused, scored.journal.refused, done.stderr)
        self.check_states(card, json.loads(done.stdout), scored.states(as_of_ms, oracle.ALL, history))

    def check_states(self, card, got, wanted):
        self.assertEqual(list(map(place, got)), list(map(place, wanted)))
        self.assertEqual(list(differences(card, got, wanted)), [])
