"""The oracle itself: it must pass the conformance vectors, and find the published numbers of real data."""
import csv
import datetime
import json
import math
import re

from harness import Case, main
from system import needs_shared

import oracle

LINE = {"linear": {"from": 0, "to": 1}}
YEARS = {"rolling": "1000d"}
DECEMBER = oracle.ms_of("2014-12-01T00:00:00Z")


def same(got, wanted, tolerance):
    if isinstance(wanted, float) and isinstance(got, float):
        return abs(got - wanted) <= tolerance * max(1, abs(wanted))
    return got == wanted and isinstance(got, bool) == isinstance(wanted, bool)


class Vectors(Case):
    def check_case(self, case, tolerance):
        scored = oracle.Oracle(case["scorecard"], oracle.rows_of(case["measurements"]))
        states = {state["node"]: state for state in scored.states(oracle.ms_of(case["as_of"]), case["org"])}
        self.assertEqual(states.keys(), case["expect"].keys())
        for node, expected in case["expect"].items():
            for key, wanted in expected.items():
                self.assertTrue(same(states[node][key], wanted, tolerance), (node, key, states[node][key], wanted))

    def test_all(self):
        contents = json.loads(needs_shared("conformance", "vectors.json").read_text(encoding="utf-8"))
        self.assertGreaterEqual(len(contents["cases"]), 112)
        for case in contents["cases"]:
            with self.subTest(case["name"], why=case["why"]):
                self.check_case(case, contents["tolerance"])


def row(time_ms, value, of=1, measure="m", **more):
    return oracle.Row(time_ms, measure, more.pop("org", ""), repr(value), repr(of), **more)


def scored(rows, aggregates, **card):
    """An oracle with a measure of the input m by each aggregate, or by `formula: ...`."""
    measures = [{"id": f"f{at}", "formula": each[9:], "score": LINE} if each.startswith("formula: ") else
                {"id": each, "input": "m", "aggregate": each, "score": LINE, **card.pop(each, {})}
                for at, each in enumerate(aggregates)]
    return oracle.Oracle({"scorecard": "card", "perspectives": [{"id": "p", "objectives": [
        {"id": "o", "measures": measures}]}], **card}, rows)


def values(states):
    return [state["value"] for state in states if state["kind"] == "measure"]


def utc_ms(text, form):
    return oracle.ms_of(datetime.datetime.strptime(text, form).isoformat() + "Z")


def lines_of(*parts, **options):
    with needs_shared("data", *parts).open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines, **options))


class Published(Case):
    """What is above 64 values has its quantile from the histogram, within 1 % of the published one."""

    def near(self, got, wanted, tolerance=1e-12):
        for one, other in zip(got, wanted, strict=True):
            self.assertLessEqual(abs(one - other), tolerance * max(1, abs(other)), (got, wanted))

    def test_certified_means_and_deviations(self):
        for name, mean, deviation in (("Lew", -177.435, 277.332168044316), ("NumAcc1", 10000002, 1),
                                      ("Lottery", 518.958715596330, 291.699727470969)):
            text = needs_shared("data", "nist_strd", f"{name}.txt").read_text()
            rows = [row(DECEMBER, float(line)) for line in text.splitlines() if re.fullmatch(r" *-?[0-9.]+ *", line)]
            self.near(values(scored(rows, ["mean", "stddev"]).states(DECEMBER + 1)), [mean, deviation], 1e-14)

    def test_machine_shop(self):
        rejects, spans = [], []
        for line in lines_of("production", "production_2012_01_02.csv"):
            at = utc_ms(line["Complete Timestamp"], "%Y/%m/%d %H:%M:%S")
            rejected = int(line["Qty Rejected"])
            rejects.append(row(at, rejected, int(line["Qty Completed"]) + rejected))
            if line["Report Type"] == "D" and "/" not in line["Span"]:  # a spreadsheet made a date of one
                hours, minutes = map(int, line["Span"].split(":"))
                spans.append(row(at, hours + minutes / 60))
        ends = [oracle.ms_of(f"2012-0{month}-01T00:00:00Z") for month in (2, 3)]
        ratios = [values(scored(rejects, ["ratio", "count"]).states(end)) for end in ends]
        self.assertEqual(ratios, [[0.005278743401570748, 1377], [0.0071989715754892155, 1575]])
        for end, mean, *ranks in zip(ends, (2.9695541591861163, 2.8709909228441752), (1.6667, 1.6167),
                                     (7.633333333333333, 7.866666666666667)):
            found = values(scored(spans, ["mean", "p50", "p90"]).states(end))
            self.near(found[:1], [mean])
            self.near(found[1:], ranks, 0.01)

    def test_bug_fixes(self):
        form = "%Y-%m-%dT%H:%M:%S.%f+0000"
        for project, n, mean, median in (("log4j2", 754, 56.3195, 3.5689), ("math", 418, 56.6336, 3.0513),
                                         ("lang", 264, 88.4240, 6.0137), ("compress", 189, 42.0260, 2.8728),
                                         ("mahout", 592, 44.9892, 4.1485)):
            took = [utc_ms(line["ResolutionDate"], form) - utc_ms(line["CreationDate"], form)
                    for line in lines_of("apache_jira", f"{project}.csv", delimiter=";")]
            rows = [row(DECEMBER, each / oracle.DAY) for each in took]
            found = values(scored(rows, ["count", "mean", "p50"]).states(DECEMBER + 1))
            self.near(found[:2], [n, mean], 1e-6)
            self.near(found[2:], [median], 0.03)  # the median is between two values, the rank is one's

    def test_corrections_of_incidents(self):
        """Each event of an incident says anew whether its agreement is kept; the last one stands."""
        form, rows = "%d-%m-%Y %H:%M", []
        for line in lines_of("itsm", "incident_events.csv"):
            at = utc_ms(line["sys_updated_at"], form)
            rows.append(row(at, int(line["made_sla"] == "TRUE"), key=line["number"]))
        states = scored(rows, ["sum", "count"], sum=YEARS, count=YEARS).states()
        self.assertEqual(values(states), [495, 890])

    def test_semiconductors(self):
        text = needs_shared("data", "secom", "secom_labels.data").read_text()
        rows = [row(utc_ms(" ".join(at).strip('"'), "%d/%m/%Y %H:%M:%S"), int(verdict == "1"))
                for verdict, *at in map(str.split, filter(None, text.splitlines()))]
        states = scored(rows, ["sum", "count"]).states(oracle.ms_of("2008-11-01T00:00:00Z"), history=True)
        self.assertEqual(values(states), [14, 63, 51, 555, 17, 590, 22, 359])

    def test_machine_temperature(self):
        rows = [row(utc_ms(line["timestamp"], "%Y-%m-%d %H:%M:%S"), float(line["value"]))
                for line in lines_of("nab", "machine_temperature_system_failure.csv")]
        states = scored(rows, ["count", "mean", "stddev"], count=YEARS, mean=YEARS, stddev=YEARS).states()
        self.near(values(states), [22695, 85.926498, 13.746912], 5e-8)

    def test_control_charts(self):
        text = needs_shared("data", "spc", "orangejuice.txt").read_text().splitlines()[1:31]
        juice = [row(DECEMBER, int(d), int(size)) for _, d, size, _ in map(str.split, text)]
        share, = values(scored(juice, ["ratio"]).states(DECEMBER + 1))
        self.near(limits(share, math.sqrt(share * (1 - share) / 50)), [0.05242755, 0.4102391], 1e-7)
        text = needs_shared("data", "spc", "circuit.txt").read_text().splitlines()[1:27]
        circuit = [row(DECEMBER, int(x)) for _, x, _, _ in map(str.split, text)]
        count, = values(scored(circuit, ["mean"]).states(DECEMBER + 1))
        self.near(limits(count, math.sqrt(count)), [6.481447, 33.21086], 1e-7)

    def test_piston_rings(self):
        """A sample of five rings is an org, and the range within it a formula."""
        text = needs_shared("data", "spc", "pistonrings.txt").read_text().splitlines()[1:126]
        rings = [row(DECEMBER, float(diameter), org=f"s{sample}") for diameter, sample, _ in map(str.split, text)]
        states = scored(rings, ["mean", "max", "min", "formula: max - min"]).states(DECEMBER + 1, oracle.ALL)
        centre = values(states)[0]
        ranges = [state["value"] for state in states if state["name"] == "f3" and state["org"]]
        self.assertEqual(len(ranges), 25)
        d2 = 2.32593  # the mean range of five of a standard normal distribution
        self.near(limits(centre, sum(ranges) / 25 / d2 / math.sqrt(5)), [73.98805, 74.0143], 1e-7)


def limits(centre, deviation):
    return centre - 3 * deviation, centre + 3 * deviation


if __name__ == "__main__":
    main()
