"""A real log of incidents, each event a correction of the one before: its published numbers, and every state between."""
import csv
import datetime
import random
from fractions import Fraction

import system
from system import COLLECTOR, POISE, SOURCE, Aggregator, Case, run
from wire import Producer, View

# Reference numbers of the data set, by an independent program (see the data's README).
EVENTS, INCIDENTS, MADE, MISSED, HOURS = 5998, 890, 495, 395, 485.8258

CARD = """
scorecard: desk
perspectives:
  - id: customer
    objectives:
      - id: service
        measures:
          - {id: made, input: made_sla, aggregate: sum, rolling: 400d, score: {linear: {from: 0, to: 890}}}
          - {id: incidents, input: made_sla, aggregate: count, rolling: 400d, score: {linear: {from: 0, to: 890}}}
          - {id: missed, aggregate: count, rolling: 400d, score: {linear: {from: 890, to: 0}}}
          - {id: hours, input: hours_to_close, aggregate: mean, rolling: 400d, score: {linear: {from: 1000, to: 0}}}
          - {id: share, input: made_sla, aggregate: mean, score: {linear: {from: 0, to: 1}}}
          - {id: before, input: made_sla, aggregate: mean, basis: closed, score: {linear: {from: 0, to: 1}}}
          - {id: worst, input: made_sla, aggregate: last, period: week, critical: true, score: {binary: {}}}
          - {id: spread, input: hours_to_close, aggregate: stddev, period: week, score: {linear: {from: 500, to: 0}}}
          - {id: usual, input: hours_to_close, aggregate: p50, rolling: 30d, score: {linear: {from: 500, to: 0}}}
          - {id: slow, input: hours_to_close, aggregate: p90, period: quarter, score: {linear: {from: 2000, to: 0}}}
          - {id: excess, formula: hours - usual, score: {linear: {from: 300, to: 0}}}
"""

# An event counts when it was written: then T, the latest of these times, moves with the log, and a correction takes its
# incident along to the period of its last word. Ties (492 events have the minute of the one before) and five numbers
# (sys_mod_count) that came twice leave only the log's own order to say which event stands: so there is no `seq`.
COLLECTED = """
producer: service-desk
aggregator: {ingest}
spool: spool
dead_letters: dead.jsonl
log_level: warn
sources:
  - csv: {{path: events.csv}}
    missing: ['?']
    time: {{column: sys_updated_at, format: '%d-%m-%Y %H:%M'}}
    source: incidents
    key: '{{number}}'
    measurements:
      - {{measure: made_sla, value: {{column: made_sla, values: {{'TRUE': 1, 'FALSE': 0}}}}}}
      - {{measure: missed, value: 1, when: {{column: made_sla, is: 'FALSE'}}}}
      - {{measure: hours_to_close, value: {{from: opened_at, to: closed_at, unit: hours}}}}
"""



def milliseconds(text):
    return round(datetime.datetime.fromisoformat(text).timestamp() * 1000)


class Incidents(Case):
    def setUp(self):
        super().setUp()
        self.data = system.needs_shared("data", "itsm", "incident_events.csv")
        self.lines = self.data.read_text().splitlines(keepends=True)
        self.card = self.write("desk.yaml", CARD)
        self.aggregator = Aggregator(self.folder, [self.card]).start()
        self.config = self.write("collector.yaml", COLLECTED.format(ingest=self.aggregator.ingest))

    def append(self, lines):
        with open(self.folder / "events.csv", "a") as file:
            file.writelines(lines)

    def collect(self, *more, config=None):
        return run(COLLECTOR, "--config", config or self.config, "--once", *more).stdout

    def measurements(self):
        """What the collector makes of each event: the lines of its own dry run."""
        lines = run(COLLECTOR, "--config", self.config, "--input", self.data, "--dry-run").stdout.splitlines(keepends=True)
        events = []
        for line in lines[1:]:
            if ",made_sla," in line:
                events.append([])
            events[-1].append(line)
        self.assertEqual(len(events), EVENTS)
        return events

    def values(self, *arguments):
        return {state["node"].split("/")[-1]: state["value"] for state in self.aggregator.get("desk", *arguments)}

    def published(self, values):
        self.assertEqual([values[name] for name in ("made", "incidents", "missed")], [MADE, INCIDENTS, MISSED])
        self.assertLess(abs(values["hours"] - HOURS), 5e-5)

    def test_the_log_as_it_grows(self):
        """The collector follows the file; now and then `poise get` is compared with `poise eval` of what was there."""
        events = self.measurements()
        ends = sorted(random.Random(498).sample(range(2, EVENTS), 60)) + [EVENTS]
        self.append(self.lines[:2])
        for before, end in zip([1] + ends, ends):
            self.append(self.lines[before + 1:end + 1])
            self.collect()
            rows = "".join(line for event in events[:end] for line in event)
            self.same_states(self.aggregator.get("desk"), self.evaluate(self.card, rows))
        self.published(self.values())
        self.assertFalse((self.folder / "dead.jsonl").exists())
        past = ["--history", "--as-of", "2017-03-01T00:00:00Z"]
        self.same_states(self.aggregator.get("desk", *past), self.evaluate(self.card, rows, *past))
        run(POISE, "verify", "--from", self.aggregator.query)

    def test_the_log_goes_on_to_another_store(self):
        """Dumped and imported, all of it or what stands of it: the same scores, to the bit."""
        self.append(self.lines)
        self.collect()
        live, first = self.aggregator.get("desk"), self.aggregator
        for name, more in (("all.csv", []), ("all.jsonl", []), ("standing.csv", ["--standing"])):
            run(POISE, "dump", "--from", first.query, "--output", self.folder / name, *more)
            folder = self.folder / name.replace(".", "-")
            folder.mkdir()
            other = Aggregator(folder, [self.card]).start()
            try:
                run(POISE, "import", "--to", other.ingest, "--spool", folder / "spool", self.folder / name)
                again = other.get("desk")
            finally:
                other.stop()
            self.same_states(again, live)
        self.published({state["node"].split("/")[-1]: state["value"] for state in again})

    def test_every_event(self):
        """A commit an event: what a subscriber sees after each is what the events so far say, by exact fractions."""
        producer, view = Producer(self.aggregator.ingest, "log"), View(self.aggregator.query)
        producer.hello()
        view.until(lambda: view.complete)
        said = {"made_sla": {}, "missed": {}, "hours_to_close": {}}
        totals = dict.fromkeys(said, Fraction(0))
        fallen = 0
        for event in self.measurements():
            rows = []
            for row in csv.reader(event):
                time_ms, measure, value, key = milliseconds(row[0]), row[1], float(row[3]), row[5]
                rows.append((measure, "", time_ms, value, 1.0, key))
                before = said[measure].get(key, 0)
                fallen += measure == "made_sla" and value < before
                totals[measure] += Fraction(value) - Fraction(before)
                said[measure][key] = value
            self.assertEqual(producer.put(producer.batch(rows)), [])
            expected = {"made": totals["made_sla"], "incidents": len(said["made_sla"]), "missed": len(said["missed"]) or None,
                        "hours": float(totals["hours_to_close"]) / len(said["hours_to_close"])}
            view.until(lambda: self.seen(view, expected))
        self.assertEqual(fallen, MISSED, "each change is a correction of the same key")
        self.published(self.values())
        producer.close()
        view.peer.close()

    @staticmethod
    def seen(view, expected):
        for name, value in expected.items():
            state = view.states.get(("", "desk/customer/service/" + name))
            if value is None and state is None:
                continue
            if state is None or (state.value != value if value is not None else state.value == state.value):
                return False
        return True

    def test_the_example_in_any_order(self):
        """With a seq the order does not matter: examples/collector/incidents.yaml over the shuffled log."""
        text = (SOURCE / "examples" / "collector" / "incidents.yaml").read_text()
        config = self.write("example.yaml", system.re.sub("(?m)^aggregator:.*$", "aggregator: " + self.aggregator.ingest, text))
        events = self.lines[1:]
        for seed in range(3):
            random.Random(seed).shuffle(events)
            path = self.write(f"shuffled{seed}.csv", self.lines[0] + "".join(events))
            spool = self.folder / f"spool{seed}"
            self.collect("--input", path, "--spool", spool, config=config)
            values = self.values("--as-of", "2016-03-03T00:00:00Z")
            self.assertEqual([values["made"], values["incidents"]], [MADE, INCIDENTS])


if __name__ == "__main__":
    system.main()
