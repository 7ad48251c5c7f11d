"""`poise eval` equals the oracle: whatever the definition, the measurements and the time."""
from hypothesis import strategies as st

import generators
import oracle
from generators import DAY, HOUR, scenes
from harness import Property, holds_for, main

HISTORY_MAX = 12


class Oracle(Property):
    @holds_for(160, scene=scenes())
    def test_any_definition(self, scene):
        self.check_scene(*scene)

    @holds_for(40, scene=scenes())
    def test_history(self, scene):
        """The first rows are left out where they would make it too long for a slow oracle."""
        card, some, as_of_ms = scene
        calendar = oracle.Calendar(card["timezone"], card.get("fiscal_year_start", 1))
        first_ms = as_of_ms
        for _ in range(HISTORY_MAX):
            first_ms, _ = calendar.holding(card.get("period", "month"), first_ms)
        self.check_scene(card, [row for row in some if row.time_ms >= first_ms], as_of_ms, True)

    @holds_for(40, moment=generators.moments(), month=st.integers(1, 12), data=st.data(),
               shift=st.sampled_from([0, 0, HOUR // 2, DAY // 2]))
    def test_periods(self, moment, month, shift, data):
        """Of every kind at once, around the moments at which clocks are set, with rows at their edges."""
        zone, as_of_ms = moment[0], moment[1] + shift
        measures = [{"id": f"{period}-{basis}", "input": "a", "aggregate": "count", "empty": 0, "period": period,
                     "basis": basis, "score": {"linear": {"from": 0, "to": 30}}}
                    for period in generators.PERIODS for basis in ("open", "closed")]
        card = {"scorecard": "card", "timezone": zone, "fiscal_year_start": month, "period": "day",
                "perspectives": [{"id": "p", "objectives": [{"id": "o", "measures": measures}]}]}
        edges = generators.edges(card, as_of_ms)
        some = [generators.Row(edge + by, "a", "", "1") for edge in edges for by in (-1, 0, 1)]
        for at in (as_of_ms, data.draw(st.sampled_from(edges)) + data.draw(st.integers(0, 1))):
            self.check_scene(card, some, at)


if __name__ == "__main__":
    main()
