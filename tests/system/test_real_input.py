"""A real event log through collector, ZeroMQ and aggregator gives its published reference numbers."""
import json
import math
import subprocess

import system
from system import COLLECTOR, POISE, SOURCE, Aggregator, Case, run

EXAMPLES = SOURCE / "examples" / "collector"
# Reference numbers of the data set, by an independent program (see the data's README).
JANUARY = {"reject_ratio": 0.005278743401570748, "rework": 16, "span": 2.9695541591861163, "rows": 1377, "spans": 1114,
           "completed": 23178, "rejected": 123}
FEBRUARY = {"reject_ratio": 0.0071989715754892155, "rework": 8, "span": 2.8709909228441752, "rows": 1575,
            "spans": 1322, "completed": 34753, "rejected": 252}


class RealInput(Case):
    def setUp(self):
        super().setUp()
        self.data = system.needs_shared("data", "production")
        self.card = EXAMPLES / "production-scorecard.yaml"
        self.aggregator = Aggregator(self.folder, [self.card]).start()

    def collect(self, path, check=0):
        text = (EXAMPLES / "production.yaml").read_text()
        for key, value in (("aggregator", self.aggregator.ingest), ("spool", self.folder / "spool"),
                           ("dead_letters", self.folder / "dead.jsonl")):
            text = system.re.sub(rf"^{key}:.*$", f"{key}: {value}", text, flags=system.re.M)
        text = system.re.sub(r"path: *[^,}\n]+", f"path: {path}", text, count=1)
        return run(COLLECTOR, "--config", self.write("collector.yaml", text), "--once", check=check)

    def measures(self, *arguments):
        states = self.aggregator.get(*arguments)
        return {state["node"].split("/")[-1]: state for state in states if state["kind"] == "measure"}

    def check_month(self, as_of, reference):
        measures = self.measures("--as-of", as_of)
        self.assertLess(abs(measures["reject_ratio"]["value"] / reference["reject_ratio"] - 1), 1e-12)
        self.assertLess(abs(measures["span"]["value"] / reference["span"] - 1), 1e-9)
        for name in ("rework", "rows", "completed", "rejected"):
            self.assertEqual(measures[name]["value"], reference[name], name)
        self.assertEqual(measures["span"]["count"], reference["spans"])

    def test_reference_numbers(self):
        done = self.collect(self.data / "production_2012_01_02.csv")
        self.assertIn("2952", done.stdout)
        self.check_month("2012-02-01T00:00:00Z", JANUARY)
        self.check_month("2012-03-01T00:00:00Z", FEBRUARY)
        self.check_live(FEBRUARY)

    def check_live(self, reference):
        measures = self.measures()
        self.assertLess(abs(measures["reject_ratio"]["value"] / reference["reject_ratio"] - 1), 1e-12)
        self.assertEqual(measures["rows"]["value"], reference["rows"])

    def test_damaged_times_are_refused_line_by_line(self):
        done = self.collect(self.data / "damaged_times.csv", check=1)
        dead = [json.loads(line) for line in (self.folder / "dead.jsonl").read_text().splitlines()]
        self.assertEqual([entry["line"] for entry in dead], list(range(2, 202)))
        for entry in dead:
            self.assertIn("Complete Timestamp", entry["reason"])
        self.assertRegex(done.stderr, r"damaged_times.csv.*2.*Complete Timestamp")
        self.assertIn("nothing", run(POISE, "get", "--from", self.aggregator.query, check=1).stderr)

    def test_get_equals_eval_to_the_bit(self):
        """What the collector makes of the log, printed by it instead of sent, and evaluated offline."""
        self.collect(self.data / "production_2012_01_02.csv")
        rows = run(COLLECTOR, "--config", self.folder / "collector.yaml", "--dry-run", "--from-start").stdout
        measurements = self.write("measurements.csv", rows)
        for as_of in ("2012-02-01T00:00:00Z", "2012-02-14T12:00:00Z", "2012-03-01T00:00:00Z"):
            live = self.aggregator.get("--as-of", as_of, "--all-orgs")
            offline = json.loads(run(POISE, "eval", "--scorecard", self.card, "--measurements", measurements, "--as-of",
                                     as_of, "--all-orgs", "--format", "json").stdout)
            self.assertGreater(len(live), 100)
            self.same_states(live, offline)


if __name__ == "__main__":
    system.main()
