"""Values of measures are those of exact arithmetic, rounded once, to the bit."""
import math

from hypothesis import strategies as st

import generators
from generators import ANCHORS, DAY, Row, rows
from harness import Property, holds_for, main

FORMS = [{"linear": {"from": 0, "to": 1}}, {"goal_red": {"goal": 1e-100, "red": -1e100}}, {"binary": {}},
         {"band": {"low_zero": -1e100, "low": -1, "high": 1e-100, "high_zero": 1e100}}]
wide = st.one_of(generators.numbers, generators.doubles.flatmap(generators.texts_of))


@st.composite
def mixed(draw):
    """Rows of many sizes, so that nothing but exact sums is right."""
    size = draw(st.integers(1, 60))
    values, ofs = (draw(st.lists(wide, min_size=size, max_size=size)) for _ in range(2))
    return [Row(ANCHORS[0] + at % 7, "a", "p" * (at % 2), *each) for at, each in enumerate(zip(values, ofs))]


@st.composite
def overflowing(draw):
    """Sums of products of 1e200 over a sum of weights of 1e-116, now, in the month before or in both."""
    return draw(rows(generators.ordinary_numbers, inputs=["a"], max_size=9, when=st.sampled_from(ANCHORS[:2]))) + [
        Row(time_ms, "a", "p", value, of) for time_ms in draw(st.lists(st.sampled_from(ANCHORS[:2]), min_size=1))
        for value, of in (("1e100", "1e100"), ("0", "-1e100"), ("0", repr(math.nextafter(1e-99, 1))), ("0", "-1e-99"))]


class Values(Property):
    @holds_for(120, some=st.one_of(mixed(), generators.cancelling(),
                                   rows(wide, inputs=["a"], when=st.sampled_from(ANCHORS)),
                                   generators.many(st.sampled_from(ANCHORS), ["a"]),
                                   overflowing()),
               form=st.sampled_from(FORMS),
               more=st.one_of(generators.some_of(min_count=st.integers(0, 70), roll_up=st.just("none"), carry=st.just(0)),
                              st.fixed_dictionaries({"across_orgs": st.sampled_from(["sum", "mean", "min", "max"])})))
    def test_every_aggregate(self, some, form, more):
        measures = [{"id": aggregate, "input": "a", "aggregate": aggregate, "period": "month", "score": form, **more}
                    for aggregate in generators.AGGREGATES]
        card = {"scorecard": "card", "timezone": "UTC",
                "perspectives": [{"id": "p", "objectives": [{"id": "o", "measures": measures}]}]}
        self.check_scene(card, some, ANCHORS[1] + 1)


if __name__ == "__main__":
    main()
