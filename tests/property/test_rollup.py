"""What holds of every roll-up, whatever the definition and the measurements."""
import copy
import itertools
import math

from hypothesis import strategies as st

import generators
from generators import children, csv_of, descendants, rows, scorecards
from harness import Property, holds_for, main

AS_OF = ("--all-orgs", "--as-of", "2021-04-02T12:00:00Z")
NUMBERS = ("value", "score", "attainment", "lo", "hi", "coverage", "filled", "status", "uncertain", "count", "flags")
some_rows = rows(generators.ordinary_numbers)
some_cards = scorecards(aggregates=["sum", "count", "mean", "min", "max", "last"])


def numbers_of(states):
    return {(state["org"], state["node"]): [state[key] for key in NUMBERS] for state in states}


def mean(pairs):
    """As the specification says it: in the definition's order, in plain doubles."""
    sum_ = weight_sum = 0.0
    for weight, score in pairs:
        sum_ += weight * score
        weight_sum += weight
    return sum_ / weight_sum


class RollUp(Property):
    def check_bounds(self, state):
        self.assertTrue(0 <= state["lo"] <= state["hi"] <= 100, state)
        self.assertTrue(0 <= state["coverage"] <= state["filled"] + 1e-12 and state["filled"] <= 1 + 1e-12, state)
        if state["score"] is not None:
            self.assertTrue(state["lo"] <= state["score"] <= state["hi"], state)
        self.assertEqual(state["status"] == "no_data", state["score"] is None, state)

    def check_parent(self, node, state, below):
        """A parent from the states of its children (those there are at this org)."""
        weighed = [child for child in below if child["weight"] > 0]
        scored = [child for child in weighed if child["score"] is not None]
        least = node.get("min_coverage", 0.5)
        if not scored or abs(state["filled"] + 1e-9 - least) > 1e-12:
            wanted = bool(scored) and state["filled"] + 1e-9 >= least
            self.assertEqual(state["score"] is not None, wanted, (state, below))
        if not weighed:
            self.assertEqual((state["lo"], state["hi"], state["coverage"], state["filled"]), (0, 100, 0, 0))
            return
        whole = lambda key: [(child["weight"], child[key] if child["score"] is not None else 0) for child in weighed]
        self.assertAlmostEqual(state["filled"], mean(whole("filled")), delta=1e-12)
        self.assertAlmostEqual(state["coverage"], mean(whole("coverage")), delta=1e-12)
        if state["score"] is None:
            return
        pairs = [(child["weight"], child["score"]) for child in scored]
        self.assertAlmostEqual(state["score"], self.combined(node, pairs), delta=1e-9)
        if node.get("rollup", "mean") == "mean":
            self.assertEqual(state["score"], min(max(mean(pairs), 0), 100))

    def combined(self, node, pairs):
        rollup = node.get("rollup", "mean")
        scores = [score for _, score in pairs]
        if rollup == "geometric":
            return math.exp(mean((weight, math.log(max(score, 1))) for weight, score in pairs))
        if isinstance(rollup, dict):
            return mean(pairs) * (1 - rollup["penalised_mean"] * (1 - min(scores) / 100))
        return {"mean": lambda: mean(pairs), "min": lambda: min(scores), "max": lambda: max(scores)}[rollup]()

    @holds_for(120, card=scorecards(max_children=3), some=some_rows)
    def test_bounds_and_parents(self, card, some):
        states = self.states(self.write_card(card), csv_of(some), *AS_OF)
        nodes = {card["scorecard"]: card}
        inherit(card, nodes, card["scorecard"])
        for _, of_org in itertools.groupby(states, lambda state: state["org"]):
            of_org = list(of_org)
            for state in of_org:
                self.check_bounds(state)
                below = [child for child in of_org if child["node"].rpartition("/")[0] == state["node"]]
                if state["kind"] != "measure":
                    self.check_parent(nodes[state["node"]], state, below)

    @holds_for(60, card=some_cards, some=some_rows, factor=st.sampled_from([2.0 ** -40, 0.5, 2, 2.0 ** 30]))
    def test_scaled_weights_change_nothing(self, card, some, factor):
        for node in descendants(card):
            node["weight"] = min(max(node.get("weight", 1), 1e-60), 1e60) if node.get("weight", 1) else 0
        scaled = copy.deepcopy(card)
        for node in descendants(scaled):
            node["weight"] *= factor
        one, other = (self.states(self.write_card(each), csv_of(some), *AS_OF) for each in (card, scaled))
        self.assertEqual(numbers_of(one), numbers_of(other))

    @holds_for(60, card=some_cards, some=some_rows, data=st.data())
    def test_weight_0_counts_nothing(self, card, some, data):
        """Children of weight 0 renamed and moved among their siblings; their input is named, so they read the same."""
        changed = copy.deepcopy(card)
        for node in [changed, *descendants(changed)]:
            for child in [child for child in children(node) if child.get("weight") == 0]:
                children(node).remove(child)
                children(node).insert(data.draw(st.integers(0, len(children(node)))), child)
                child["id"] += "-renamed"
                child["name"] = "Another ‘name’"
        one, other = (numbers_of(self.states(self.write_card(each), csv_of(some), *AS_OF)) for each in (card, changed))
        self.assertEqual(len(one), len(other))
        weighed = {node: numbers for node, numbers in one.items() if not is_below_0(card, node[1])}
        self.assertEqual(weighed, {node: other.get(node) for node in weighed})


def inherit(node, nodes, path):
    """By path: every node with the rollup and min_coverage that hold for it."""
    for child in children(node):
        for key in ("rollup", "min_coverage"):
            if key in node:
                child.setdefault(key, node[key])
        nodes[f"{path}/{child['id']}"] = child
        inherit(child, nodes, f"{path}/{child['id']}")


def is_below_0(card, path):
    """Whether a node, or one above it, has weight 0."""
    node = card
    for id_ in path.split("/")[1:]:
        node = next(child for child in children(node) if child["id"] == id_)
        if node.get("weight") == 0:
            return True
    return False


if __name__ == "__main__":
    main()
