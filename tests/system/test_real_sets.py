"""Public data sets, mapped by the collector and scored by `poise eval`: the numbers that others published of them."""
import collections
import csv
import datetime
import itertools
import json
import math
import statistics

import system
from system import COLLECTOR, HEADER, POISE, SOURCE, Case, run

HEAD = "producer: tests\naggregator: tcp://127.0.0.1:5570\nspool: spool\ndead_letters: dead.jsonl\nlog_level: warn\n"
ESTIMATE = 0.0101  # a percentile of more than 64: within 1 % of the nearest rank
DAY_MS = 86400000


def card_of(*measures, head=""):
    """A scorecard of measures, for their values: most have no score worth the name."""
    lines = "\n".join(f"          - {{{measure}{'' if 'score' in measure else ', score: {binary: {}}'}}}" for measure in measures)
    return f"scorecard: set\n{head}\nperspectives:\n  - id: internal\n    objectives:\n      - id: all\n        measures:\n{lines}\n"


def nearest_rank(values, percent):
    return sorted(values)[math.ceil(percent * len(values) / 100) - 1]


class RealSets(Case):
    def mapped(self, sources, path):
        """What the collector makes of a file, by a configuration's text."""
        config = self.write("collector.yaml", HEAD + sources)
        return self.write("measurements.csv", run(COLLECTOR, "--config", config, "--input", path, "--dry-run").stdout)

    def example(self, name, path, *measures):
        """Some of the measures that a configuration of the examples makes."""
        text = (SOURCE / "examples" / "collector" / name).read_text()
        header, *lines = self.mapped(text[text.index("sources:"):], path).read_text().splitlines(keepends=True)
        return self.write("some.csv", header + "".join(line for line in lines if line.split(",")[1] in measures))

    def eval(self, card, measurements, *arguments):
        """States by (org, measure, as of); a state's time ends in .000Z."""
        done = run(POISE, "eval", "--scorecard", self.write("card.yaml", card), "--measurements", measurements, "--strict",
                   "--format", "json", *arguments)
        return {(state["org"], state["node"].split("/")[-1], state["as_of"]): state for state in json.loads(done.stdout)}

    def value(self, states, measure, as_of, org=""):
        return states[org, measure, as_of + "T00:00:00.000Z"]["value"]

    def near(self, value, reference, relative=1e-12):
        self.assertLessEqual(abs(value - reference), relative * abs(reference), f"{value}, not {reference}")

    # ---- means, ratios, counts ----

    def test_jira(self):
        for name, count, mean, median in (("log4j2", 754, 56.3195, 3.5689), ("math", 418, 56.6336, 3.0513),
                                          ("lang", 264, 88.4240, 6.0137), ("compress", 189, 42.0260, 2.8728),
                                          ("mahout", 592, 44.9892, 4.1485)):
            path = system.needs_shared("data", "apache_jira", name + ".csv")
            measurements = self.example("jira.yaml", path, "days_to_resolve", "urgent_share")
            days = "input: days_to_resolve, aggregate:"
            states = self.eval(card_of(f"id: n, {days} count, rolling: 3660d", f"id: mean, {days} mean, rolling: 3660d",
                                       f"id: median, {days} p50, rolling: 3660d", f"id: month, {days} p50, carry: 0",
                                       "id: urgent_share, aggregate: mean, rolling: 3660d"),
                               measurements, "--as-of", "2019-01-01T00:00:00Z", "--history")
            end, months = "2019-01-01", {}
            self.assertEqual(self.value(states, "n", end), count)
            self.near(self.value(states, "mean", end), mean, 0.00005 / mean)
            with open(path, newline="") as file:
                for row in csv.DictReader(file, delimiter=";"):
                    to, from_ = (datetime.datetime.strptime(row[name], "%Y-%m-%dT%H:%M:%S.%f%z")
                                 for name in ("ResolutionDate", "CreationDate"))
                    months.setdefault((to.year, to.month), []).append((to - from_) / datetime.timedelta(days=1))
            every = sum(months.values(), [])
            self.assertLess(abs(statistics.median(every) - median), 0.00005)  # of two in the middle theirs is the mean, ours the lower
            self.near(self.value(states, "median", end), nearest_rank(every, 50), ESTIMATE)
            exact = 0
            for (year, month), values in months.items():
                as_of = f"{year + month // 12}-{month % 12 + 1:02}-01"
                exact += len(values) <= 64
                self.near(self.value(states, "month", as_of), nearest_rank(values, 50), 1e-12 if len(values) <= 64 else ESTIMATE)
            self.assertGreater(exact, 50)

    def test_helpdesk(self):
        cases = {}
        with open(system.needs_shared("data", "helpdesk", "helpdesk.csv"), newline="") as file:
            for row in csv.DictReader(file):
                cases.setdefault(row["CaseID"], []).append(datetime.datetime.fromisoformat(row["CompleteTimestamp"]))
        day = datetime.timedelta(days=1)
        rows = "".join(f"{max(times).isoformat()}Z,days,,{(max(times) - min(times)) / day!r},,{case},,,\n"
                       for case, times in cases.items())
        measurements = self.write("cases.csv", HEADER + rows)
        states = self.eval(card_of(*(f"id: {id_}, input: days, aggregate: {id_}, rolling: 3660d" for id_ in ("count", "mean", "p50"))),
                           measurements, "--as-of", "2014-01-01T00:00:00Z")
        self.assertEqual(self.value(states, "count", "2014-01-01"), 3804)
        self.near(self.value(states, "mean", "2014-01-01"), 8.798157698889083)
        self.near(self.value(states, "p50", "2014-01-01"), 3.9278125, ESTIMATE)

    def test_secom(self):
        damaged = system.needs_shared("data", "secom", "secom_labels.data").read_bytes()  # twice from LF to CR LF
        measurements = self.mapped("""
sources:
  - csv: {path: labels, delimiter: ' ', columns: [label, when]}
    time: {column: when, format: '%d/%m/%Y %H:%M:%S'}
    measurements:
      - {measure: fails, value: {column: label, values: {'1': 1, '-1': 0}}}
""", self.write("labels", damaged.replace(b"\r", b"").decode()))
        states = self.eval(card_of("id: fails, aggregate: sum", "id: rows, input: fails, aggregate: count",
                                   "id: share, input: fails, aggregate: ratio"), measurements, "--history",
                           "--as-of", "2008-11-01T00:00:00Z")
        for month, fails, rows in ((8, 14, 63), (9, 51, 555), (10, 17, 590), (11, 22, 359)):
            as_of = f"2008-{month:02}-01"
            self.assertEqual([self.value(states, name, as_of) for name in ("fails", "rows", "share")], [fails, rows, fails / rows])

    # ---- spread and percentiles ----

    def test_machine_temperature(self):
        path = system.needs_shared("data", "nab", "machine_temperature_system_failure.csv")
        measurements = self.mapped("""
sources:
  - csv: {path: series.csv}
    time: {column: timestamp, format: '%Y-%m-%d %H:%M:%S'}
    measurements: [{measure: degrees, value: {column: value}}]
""", path)
        states = self.eval(card_of(*(f"id: {id_}, input: degrees, aggregate: {id_}, rolling: 400d" for id_ in ("count", "mean", "stddev")),
                                   "id: day, input: degrees, aggregate: stddev, period: day"),
                           measurements, "--as-of", "2014-03-01T00:00:00Z", "--history")
        self.assertEqual(self.value(states, "count", "2014-03-01"), 22695)
        self.near(self.value(states, "mean", "2014-03-01"), 85.926498, 1e-8)
        self.near(self.value(states, "stddev", "2014-03-01"), 13.746912, 1e-7)
        with open(path, newline="") as file:
            day = [float(row["value"]) for row in csv.DictReader(file) if row["timestamp"].startswith("2014-01-31")]
        self.near(self.value(states, "day", "2014-02-01"), statistics.stdev(day))

    def test_certified_numbers(self):
        """Mean and standard deviation of NIST's sets that floating point gets wrong easily."""
        for name, mean, deviation in (("Lew", -177.435, 277.332168044316), ("Lottery", 518.958715596330, 291.699727470969),
                                      ("NumAcc1", 10000002, 1)):
            lines = system.needs_shared("data", "nist_strd", name + ".txt").read_text().splitlines()
            values = itertools.takewhile(lambda text: text.lstrip("-").isdigit(), map(str.strip, reversed(lines)))
            rows = "".join(f"2026-01-01T00:00:00Z,x,,{value},,,,,\n" for value in values)
            states = self.eval(card_of("id: mean, input: x, aggregate: mean", "id: spread, input: x, aggregate: stddev"),
                               self.write("nist.csv", HEADER + rows), "--as-of", "2026-02-01T00:00:00Z")
            self.near(self.value(states, "mean", "2026-02-01"), mean, 1e-14)
            self.near(self.value(states, "spread", "2026-02-01"), deviation, 1e-14)

    def test_production(self):
        path = system.needs_shared("data", "production", "production_2012_01_02.csv")
        measurements = self.example("production.yaml", path, "span")
        states = self.eval(card_of("id: n, input: span, aggregate: count", "id: p90, input: span, aggregate: p90, carry: 0",
                                   "id: median, input: span, aggregate: p50"),
                           measurements, "--all-orgs", "--history", "--as-of", "2012-03-01T00:00:00Z")
        for as_of, count, p90, median in (("2012-02-01", 1114, 7.633333333333333, 1.6667),
                                          ("2012-03-01", 1322, 7.866666666666667, 1.6167)):
            self.assertEqual(self.value(states, "n", as_of), count)
            self.near(self.value(states, "p90", as_of), p90, ESTIMATE)
            self.near(self.value(states, "median", as_of), median, ESTIMATE)
        machines = collections.defaultdict(list)
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                if row["Report Type"] == "D" and row["Complete Timestamp"].startswith("2012/02") and "/" not in row["Span"]:
                    hours, minutes = row["Span"].split(":")
                    machines["shop/" + row["Resource"].replace("/", "_")].append(int(hours) + int(minutes) / 60)
        exact = {org: spans for org, spans in machines.items() if len(spans) <= 64}
        self.assertGreater(len(exact), 10)
        for org, spans in exact.items():
            self.near(self.value(states, "p90", "2012-03-01", org), nearest_rank(spans, 90))

    # ---- levels and targets that change ----

    def test_lounge_reviews(self):
        """A scale of 1 to 5 became one of 1 to 10 on 2015-06-09: each day is judged by the scale of its own."""
        path = system.needs_shared("data", "surveys", "lounge_reviews.csv")
        measurements = self.mapped("""
sources:
  - csv: {path: reviews.csv}
    time: {column: date, format: '%Y-%m-%d'}
    key: '{review_id}'
    when: {column: overall_rating, present: true}
    measurements: [{measure: rating, value: {column: overall_rating}}]
""", path)
        scales = "score: [{linear: {from: 1, to: 5}}, {from: 2015-06-09, linear: {from: 1, to: 10}}]"
        states = self.eval(card_of(f"id: day, input: rating, aggregate: mean, period: day, carry: 0, {scales}",
                                   f"id: month, input: rating, aggregate: mean, period: month, carry: 0, weight: 0, {scales}",
                                   head="period: day"),
                           measurements, "--as-of", "2015-08-03T00:00:00Z", "--history")
        days = collections.defaultdict(list)
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                if row["overall_rating"]:
                    days[datetime.date.fromisoformat(row["date"])].append(float(row["overall_rating"]))
        for day, ratings in days.items():
            state = states["", "day", f"{day + datetime.timedelta(days=1)}T00:00:00.000Z"]
            mean = statistics.fmean(ratings)
            self.near(state["value"], mean)
            top = 5 if day <= datetime.date(2015, 6, 8) else 10
            self.assertLess(abs(state["score"] - 100 * (mean - 1) / (top - 1)), 1e-9, day)
        for as_of, top in (("2015-06-01", 5), ("2015-06-08", 10), ("2015-07-01", 10)):  # a change within June judges all of it
            state = states["", "month", as_of + "T00:00:00.000Z"]
            self.assertLess(abs(state["score"] - 100 * (state["value"] - 1) / (top - 1)), 1e-9, as_of)

    # ---- control charts ----

    def chart(self, name, of_row):
        """Samples as days, from 2026-01-01; `of_row` says (value, of) of a record's fields."""
        rows, numbers = "", []
        header, *lines = system.needs_shared("data", "spc", name + ".txt").read_text().split("\n")
        columns = header.split()
        for line in filter(None, lines):
            row = dict(zip(columns, line.split()))
            number = int(row["sample"])
            if row["trial"] == "TRUE":
                day = datetime.date(2026, 1, 1) + datetime.timedelta(days=number - 1)
                value, of = of_row(row)
                rows += f"{day}T12:00:00Z,x,,{value},{of},,,,\n"
                numbers.append(number)
        return self.write(name + ".csv", HEADER + rows), max(numbers)

    def days(self, card, measurements, count):
        end = datetime.date(2026, 1, 1) + datetime.timedelta(days=count)
        states = self.eval(card, measurements, "--as-of", f"{end}T00:00:00Z", "--history")
        ends = [datetime.date(2026, 1, 2) + datetime.timedelta(days=day) for day in range(count)]
        return lambda measure: [states["", measure, f"{day}T00:00:00.000Z"] for day in ends]

    def outside(self, aggregate, measurements, count, low, high):
        """The samples that a band with the published limits scores 0."""
        band = f"score: {{band: {{low_zero: {low}, low: {low}, high: {high}, high_zero: {high}}}}}"
        states = self.days(card_of(f"id: x, aggregate: {aggregate}, {band}", head="period: day"), measurements, count)("x")
        self.assertEqual({state["score"] for state in states}, {0, 100})
        return [number for number, state in enumerate(states, 1) if state["score"] == 0]

    def test_p_chart(self):
        measurements, count = self.chart("orangejuice", lambda row: (row["D"], row["size"]))
        self.assertEqual(count, 30)
        whole = self.days(card_of("id: x, aggregate: ratio, period: year", head="period: day"), measurements, count)("x")[-1]
        p = whole["value"]
        for limit, sign in ((0.05242755, -1), (0.4102391, 1)):
            self.near(p + sign * 3 * math.sqrt(p * (1 - p) / 50), limit, 1e-6)
        self.assertEqual(self.outside("ratio", measurements, count, 0.05242755, 0.4102391), [15, 23])

    def test_c_chart(self):
        measurements, count = self.chart("circuit", lambda row: (row["x"], 1))
        self.assertEqual(count, 26)
        mean = self.days(card_of("id: x, aggregate: mean, period: year", head="period: day"), measurements, count)("x")[-1]["value"]
        for limit, sign in ((6.481447, -1), (33.21086, 1)):
            self.near(mean + sign * 3 * math.sqrt(mean), limit, 1e-6)
        self.assertEqual(self.outside("sum", measurements, count, 6.481447, 33.21086), [6, 20])

    def test_x_bar_chart(self):
        """The range of a sample is a formula."""
        measurements, count = self.chart("pistonrings", lambda row: (row["diameter"], 1))
        states = self.days(card_of("id: x, aggregate: mean", "id: most, input: x, aggregate: max", "id: least, input: x, aggregate: min",
                                   "id: range, formula: most - least", "id: whole, input: x, aggregate: mean, period: year",
                                   head="period: day"), measurements, count)
        ranges = [state["value"] for state in states("range")]
        self.assertEqual(len(ranges), 25)
        center, sigma = states("whole")[-1]["value"], statistics.fmean(ranges) / 2.326
        for limit, sign in ((73.98805, -1), (74.0143, 1)):
            self.near(center + sign * 3 * sigma / math.sqrt(5), limit, 1e-7)
        self.assertEqual(self.days(card_of("id: x, aggregate: mean, score: {band: {low_zero: 73.98805, low: 73.98805, high: 74.0143, "
                                           "high_zero: 74.0143}}", head="period: day"), measurements, count)("x")[0]["score"], 100)


if __name__ == "__main__":
    system.main()
