"""The journal becomes runs of rows while measurements come, are corrected, and processes are killed: scores, answers about the
past, dumps and backups are those of all measurements."""
import json
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
          - {id: latest, input: m, aggregate: last, score: {linear: {from: 0, to: 100000}}}
%s"""
MORE = "          - {id: spread, input: m, aggregate: stddev, score: {linear: {from: 0, to: 1000}}}\n"
SETTINGS = "checkpoint: 200ms\ncompact: 20KiB\njournal: 64KiB\nbackups: backups"


def rows(start, count):
    """Every third has a key, and says again what an earlier one did; some take it away."""
    text = ""
    for at in range(start, start + count):
        key = f"k{at * 7 % 5000}" if at % 3 == 0 else ""
        retract = "true" if key and at % 33 == 0 else ""
        text += f"2026-{at // 7 % 4 + 1:02d}-{at % 28 + 1:02d}T10:00:00.000Z,m,line-{at % 7},{at % 1000},1,{key},,,{retract}\n"
    return text


class Compaction(Case):
    def setUp(self):
        super().setUp()
        self.card = self.write("plant.yaml", CARD % "")
        self.aggregator = Aggregator(self.folder, [self.card], settings=SETTINGS).start()

    def stats(self):
        return json.loads(run(POISE, "stats", "--json", "--from", self.aggregator.query).stdout)

    def send_apart(self, start):
        """10,000 rows in four records at least: the last one is never trimmed."""
        for piece in range(4):
            self.send(rows(start + 2500 * piece, 2500))

    def await_trimmed(self, since=0):
        """Until records behind `since` are in runs, and trimmed; the last of those."""
        until = time.monotonic() + 60
        while True:
            now = self.stats()
            trimmed = now["poise_lsn"] - now["poise_journal_records"]
            if trimmed > since:
                self.assertEqual(now["poise_compactions_failed"], 0)
                return trimmed
            self.assertLess(time.monotonic(), until, f"trimmed {trimmed}, {now}"[:3000])
            time.sleep(0.05)

    def check(self, card, count, other_trend=False):
        live = self.aggregator.get("plant", "--all-orgs")
        offline = self.evaluate(card, rows(0, count), "--all-orgs")
        for state in live + offline if other_trend else []:  # the month before keeps the definition of then
            del state["trend"]
        self.same_states(live, offline)
        run(POISE, "verify", "--from", self.aggregator.query)

    def check_past(self, card, count):
        for when in ("2026-02-01T00:00:00Z", "2026-03-17T00:00:00Z"):
            self.same_states(self.aggregator.get("plant", "--all-orgs", "--as-of", when),
                             self.evaluate(card, rows(0, count), "--all-orgs", "--as-of", when))

    def test_scores_of_trimmed_rows(self):
        trimmed = 0
        for at in range(6):
            self.send_apart(10000 * at)
            trimmed = self.await_trimmed(trimmed)
            if at % 2:
                self.aggregator.kill()
                self.aggregator.start()
        self.check(self.card, 60000)
        self.check_past(self.card, 60000)
        self.card.write_text(CARD % MORE)  # all is scored again, from runs
        self.aggregator.kill()
        self.aggregator.start()
        self.check(self.card, 60000, other_trend=True)
        self.send(rows(60000, 5000))
        self.check(self.card, 65000, other_trend=True)
        self.aggregator.stop()
        self.assertIn("whole", run(POISE, "verify", "--store", self.folder / "store").stdout)

    def test_dumps_and_backups_of_trimmed_rows(self):
        for start in 0, 10000:
            self.send_apart(start)
        self.await_trimmed()
        feeding = self.write("more.csv", system.HEADER + rows(20000, 20000))
        sender = self.spawn(POISE, "send", "--to", self.aggregator.ingest, "--spool", self.folder / "spool", "--csv", feeding,
                            stdout=subprocess.DEVNULL)
        said = run(POISE, "backup", "one", "--from", self.aggregator.query).stdout
        self.assertIn("one", said)
        self.assertEqual(sender.wait(60), 0)
        dumped = run(POISE, "dump", "--from", self.aggregator.query).stdout
        plain = [line.split(",") for line in rows(0, 40000).splitlines()]
        got = [line.split(",") for line in dumped.splitlines()[1:]]
        self.assertEqual(len(got), len(plain))
        self.assertEqual([line for line in got if not line[8]], [line for line in plain if not line[8]])
        self.assertEqual([line[5] for line in got if line[8]], [line[5] for line in plain if line[8]])  # retractions by their keys
        self.aggregator.stop()
        run(POISE, "restore", self.folder / "backups" / "one", self.folder / "store-2")
        self.assertIn("whole", run(POISE, "verify", "--store", self.folder / "store-2").stdout)

    def test_revisions_go_on_behind_trimmed_ones(self):
        self.send_apart(0)
        self.await_trimmed()
        numbers = []
        for at in range(2):
            self.send(f"2026-02-03T10:00:00.000Z,m,line-1,{at + 5},1,,,,\n")  # late: February is over
            states = self.aggregator.get("plant", "--as-of", "2026-03-01T00:00:00Z")
            numbers.append(max(state["revision"] for state in states if state["node"].endswith("rows")))
        self.assertGreater(numbers[0], 1)
        self.assertEqual(numbers[1], numbers[0] + 1)

    def test_killed_while_compacting(self):
        random_ = random.Random(5)
        path = self.write("rows.csv", system.HEADER + rows(0, 60000))
        sender = self.spawn(POISE, "send", "--to", self.aggregator.ingest, "--spool", self.folder / "spool", "--csv", path,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(8):
            time.sleep(random_.random() * 0.5)  # not to wait for something: to be killed at a random moment
            self.aggregator.kill()
            self.aggregator.start()
        self.assertEqual(sender.wait(90), 0)
        self.await_trimmed()
        self.check(self.card, 60000)
        self.aggregator.kill()
        self.assertIn("whole", run(POISE, "verify", "--store", self.folder / "store").stdout)


if __name__ == "__main__":
    system.main()
