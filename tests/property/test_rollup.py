"""Roll-ups equal the oracle's, and what must change nothing changes nothing."""
import copy

from hypothesis import strategies as st

import generators
from generators import Row, children, csv_of, descendants, leaves_of, ms_of, rows, scorecards
from harness import Property, holds_for, main

AT_MS = ms_of("2021-04-02T12:00:00Z")
AS_OF = ("--all-orgs", "--as-of", "2021-04-02T12:00:00Z")
NUMBERS = ("value", "score", "attainment", "lo", "hi", "coverage", "filled", "status", "uncertain", "count", "flags")
some_rows = rows(generators.ordinary_numbers)
some_cards = scorecards(aggregates=["sum", "count", "mean", "min", "max", "last"], but=("formula",))  # it names others
STATUS_SCORES = ["-20", "0", "33.333333333333336", "33.3333333", "49.999999999", "50", "66.66666666666667", "80", "100",
                 "120"]


def numbers_of(states):
    return {(state["org"], state["node"]): [state[key] for key in NUMBERS] for state in states}


@st.composite
def trees(draw):
    """A larger scorecard whose measures are given their scores, and the rows that give them."""
    card = draw(scorecards(max_children=3, aggregates=["last"], but=("levels", "milestone", "formula"),
                           **{"period": "month", "basis": "open", "score": {"linear": {"from": 0, "to": 100}}}))
    some = []
    for leaf in leaves_of(card):
        for key in leaf.keys() & {"rolling", "max_age", "stale", "across_orgs"}:
            del leaf[key]
        leaf["input"] = leaf["id"]
        score = draw(st.one_of(st.none(), st.integers(0, 100).map(str), st.sampled_from(STATUS_SCORES)))
        if score is not None:
            some.append(Row(AT_MS, leaf["id"], draw(st.sampled_from(["", "p"])), score))
    return card, some


class RollUp(Property):
    @holds_for(100, tree=trees())
    def test_trees(self, tree):
        self.check_scene(*tree, AT_MS + 1)

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
