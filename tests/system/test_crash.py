"""kill -9 of every process under load: what was acknowledged is counted once, and the scores are those of all of it."""
import random
import subprocess
import time

import system
from system import POISE, Aggregator, Case, run

CARD = """
scorecard: plant
period: month
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: rows, input: m, aggregate: count, score: {linear: {from: 0, to: 100000}}}
          - {id: total, input: m, aggregate: sum, score: {linear: {from: 0, to: 100000}}}
          - {id: top, input: m, aggregate: max, score: {linear: {from: 0, to: 100000}}}
"""


def rows(start, count):
    return "".join(f"2026-03-{at % 28 + 1:02d}T10:00:00Z,m,line-{at % 7},{at},,,,,\n" for at in range(start, start + count))


class Crash(Case):
    def setUp(self):
        super().setUp()
        self.card = self.write("plant.yaml", CARD)
        self.aggregator = Aggregator(self.folder, [self.card], settings="checkpoint: 300ms").start()

    def values(self):
        states = self.aggregator.get("plant")
        return {state["node"].split("/")[-1]: state["value"] for state in states if state["kind"] == "measure"}

    def expected(self, count):
        return {"rows": count, "total": count * (count - 1) / 2, "top": count - 1}

    def start_sender(self, start, count):
        path = self.write(f"rows-{start}.csv", system.HEADER + rows(start, count))
        return self.spawn(POISE, "send", "--to", self.aggregator.ingest, "--spool", self.folder / f"spool-{start}",
                          "--csv", path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def test_aggregator_killed_under_load(self):
        random_ = random.Random(1)
        senders = [self.start_sender(0, 300000), self.start_sender(300000, 300000)]
        for at in range(6):
            self.assertTrue(at > 1 or any(sender.poll() is None for sender in senders), "killed too late to prove anything")
            time.sleep(random_.random() * 0.25)  # not to wait for something: to be killed at a random moment
            self.aggregator.kill()
            self.aggregator.start()
        for sender in senders:
            self.assertEqual(sender.wait(90), 0)
        self.assertEqual(self.values(), self.expected(600000))
        before = self.aggregator.get("plant", "--all-orgs")
        self.aggregator.kill()
        self.aggregator.start()
        self.assertEqual(before, self.aggregator.get("plant", "--all-orgs"))

    def test_acknowledged_survives_kill_at_once(self):
        for at in range(5):
            self.send(rows(at * 10, 10))
            self.aggregator.kill()
            self.aggregator.start()
            self.assertEqual(self.values(), self.expected(at * 10 + 10))

    def test_collector_killed_under_load(self):
        """A followed file, a collector killed again and again: every row once."""
        count, source = 60000, self.folder / "source.csv"
        config = self.write("collector.yaml", f"""
producer: line
aggregator: {self.aggregator.ingest}
spool: {self.folder}/collector-spool
dead_letters: {self.folder}/dead.jsonl
batch_rows: 200
sources:
  - csv: {{path: {source}, follow: true}}
    time: {{column: time, format: rfc3339}}
    measurements:
      - measure: m
        org: '{{org}}'
        value: {{column: value}}
""")
        text = "time,org,value\n" + "".join(
            f"2026-03-{at % 28 + 1:02d}T10:00:00Z,line-{at % 7},{at}\n" for at in range(count))
        source.write_text("")
        random_ = random.Random(2)
        written = 0
        while written < len(text):
            collector = self.spawn(system.COLLECTOR, "--config", config, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
            with open(source, "a") as out:  # cut anywhere, also within a line
                for _ in range(3):
                    piece = text[written:written + random_.randrange(1, len(text) // 12)]
                    out.write(piece)
                    out.flush()
                    written += len(piece)
                    time.sleep(random_.random() * 0.1)
            collector.kill()
            collector.wait()
        done = run(system.COLLECTOR, "--config", config, "--once")
        self.assertIn("refused", done.stdout)
        self.assertEqual(self.values(), self.expected(count))


if __name__ == "__main__":
    system.main()
