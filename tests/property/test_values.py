"""Values of measures are those of exact arithmetic, rounded once, to the bit; periods tile time."""
import datetime
import math
import zoneinfo

from hypothesis import strategies as st

import generators
import oracle
from generators import DAY_MS, csv_of, descendants, ms_of, rows, scorecards, time_text
from harness import Property, holds_for, main


@st.composite
def cancelling(draw):
    """Rows whose values nearly cancel: few numbers, their negatives and their neighbours."""
    pool = [float(text) for text in draw(st.lists(generators.numbers, min_size=1, max_size=4))]
    near = [math.nextafter(x, 0) for x in pool if abs(x) > 1e-99]
    texts = [repr(sign * x) for x in pool + near for sign in (1, -1)]
    return draw(rows(st.sampled_from(texts), max_size=20))


class Values(Property):
    def check_measure(self, state, measure, samples, as_of_ms):
        start_ms, end_ms = map(ms_of, state["period"])
        wanted, count = oracle.measure_value(measure, samples, state["org"], start_ms, end_ms, as_of_ms)
        if wanted is not None and math.isinf(wanted):
            self.assertIn("overflow", state["flags"])
            wanted, count = None, 0
        self.assertEqual((state["value"], state["count"]), (wanted, count), (state, measure))
        if wanted is None:
            self.assertNotIn("carried", state["flags"])
        else:
            self.assertEqual(math.copysign(1, state["value"]), -1 if wanted < 0 else 1, "-0 is 0")

    @holds_for(150, card=scorecards(), some=st.one_of(rows(), cancelling()),
               as_of_ms=st.one_of(generators.times, st.just(generators.ANCHORS[-1] + 32 * DAY_MS)))
    def test_exact(self, card, some, as_of_ms):
        states = self.states(self.write_card(card), csv_of(some), "--all-orgs", "--as-of", time_text(as_of_ms))
        measures = {node["id"]: node for node in descendants(card) if "aggregate" in node}
        read = {measure["input"] for measure in measures.values()}
        samples, paths = {}, {""}
        for input_ in read:
            samples[input_], more = oracle.standing(some, input_)
            paths |= {path[:at] for path in more for at, char in enumerate(path + "/") if char == "/"}
        self.assertEqual({state["org"] for state in states}, paths)
        for state in states:
            if state["kind"] == "measure":
                measure = measures[state["node"].split("/")[-1]]
                self.check_measure(state, measure, samples[measure["input"]], as_of_ms)

    @holds_for(100, texts=st.lists(st.one_of(generators.numbers, generators.doubles.flatmap(generators.texts_of)),
                                   min_size=1, max_size=60),
               ofs=st.lists(generators.numbers, min_size=60, max_size=60))
    def test_exact_sums_of_many_sizes(self, texts, ofs):
        some = [generators.Row(generators.ANCHORS[0], "a", "", text, of) for text, of in zip(texts, ofs)]
        form = {"linear": {"from": 0, "to": 1}}
        aggregates = ["sum", "mean", "weighted_mean", "ratio"]
        card = {"scorecard": "card", "perspectives": [{"id": "p", "objectives": [{"id": "o", "measures": [
            {"id": aggregate, "input": "a", "aggregate": aggregate, "score": form} for aggregate in aggregates]}]}]}
        samples, _ = oracle.standing(some, "a")
        for state in self.states(self.write_card(card), csv_of(some))[3:]:
            self.check_measure(state, {"aggregate": state["name"]}, samples, generators.ANCHORS[0] + 1)


def first_instants(zone, day, last):
    """The first instant of every local date from `day` on: where it or a later one is met first, by quarters."""
    at = datetime.datetime.combine(day, datetime.time(), datetime.timezone.utc) - datetime.timedelta(hours=15)
    while day <= last:
        if at.astimezone(zone).date() >= day:
            yield at
            day += datetime.timedelta(days=1)
        else:
            at += datetime.timedelta(minutes=15)


# Months in which a day is missing in Apia, or summer time begins and ends at midnight elsewhere; then any.
months = st.one_of(st.sampled_from([datetime.date(2011, 12, 1), datetime.date(2018, 2, 1), datetime.date(2018, 11, 1),
                                    datetime.date(2010, 9, 1)]),
                   st.dates(datetime.date(1975, 1, 1), datetime.date(2024, 12, 1)))


quarters_ends = st.integers(1, 31 * 96).map(lambda quarter: quarter * 900000 - 1)


class Periods(Property):
    @holds_for(60, zone=st.sampled_from(generators.ZONES), month=months,
               offsets=st.lists(st.one_of(st.integers(0, 31 * DAY_MS - 1), quarters_ends), min_size=1, max_size=40))
    def test_days_tile_the_month(self, zone, month, offsets):
        month = month.replace(day=1)
        following = (month + datetime.timedelta(days=31)).replace(day=1)
        days = [round(at.timestamp() * 1000) for at in first_instants(zoneinfo.ZoneInfo(zone), month, following)]
        times = [days[0] + offset for offset in offsets]
        measures = [{"id": period, "input": "a", "aggregate": "count", "empty": 0, "carry": 0, "period": period,
                     "score": {"binary": {}}} for period in ("hour", "day", "week", "month")]
        card = {"scorecard": "card", "timezone": zone, "period": "day",
                "perspectives": [{"id": "p", "objectives": [{"id": "o", "measures": measures}]}]}
        some = [generators.Row(time, "a", "", "1") for time in times]
        states = self.states(self.write_card(card), csv_of(some), "--history", "--as-of", time_text(days[-1]))
        of = lambda period: [state for state in states if state["name"] == period]
        within = lambda start, end: sum(start <= time < end for time in times)
        self.assertEqual(of("month")[-1]["count"], within(days[0], days[-1]))
        self.assertEqual(sum(state["count"] for state in of("day")), within(days[0], days[-1]))
        seen = [tuple(map(ms_of, state["period"])) for state in of("day")]
        self.assertEqual(seen, [pair for pair in zip(days, days[1:]) if pair[0] < pair[1]][-len(seen):])
        for state in states:
            if state["kind"] == "measure":
                start_ms, end_ms = map(ms_of, state["period"])
                self.assertEqual(state["count"], within(start_ms, min(end_ms, ms_of(state["as_of"]) + 1)))


if __name__ == "__main__":
    main()
