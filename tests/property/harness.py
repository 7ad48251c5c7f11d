"""How the properties run the programs, and how many examples they try: see CMakeLists.txt."""
import json
import os
import pathlib
import sys

from hypothesis import HealthCheck, Phase, given, settings

sys.path.insert(0, str(pathlib.Path(os.environ["POISE_SOURCE"]) / "tests" / "system"))

from system import POISE, Aggregator, Case, main, run  # noqa: E402,F401

import generators  # noqa: E402

FACTOR = int(os.environ.get("POISE_PROPERTY_FACTOR", "1"))


def holds_for(examples, shrinks=True, **strategies):
    """A test method as a property of so many examples; a failing one is made small, which can take minutes."""
    def decorate(test):
        phases = [phase for phase in Phase if phase != Phase.shrink or shrinks or FACTOR > 1]
        return settings(max_examples=examples * FACTOR, derandomize=FACTOR == 1, database=None, deadline=None,
                        phases=phases, print_blob=FACTOR > 1,
                        suppress_health_check=list(HealthCheck))(given(**strategies)(test))
    return decorate


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
