"""`keep`: measurements of frozen periods are dropped, scores stay; what would change them is refused; kills, other definitions and
questions find the same before and after."""
import json
import time

import system
from system import POISE, Aggregator, Case, run

CARD = """
scorecard: plant
period: month
grace: 1d
lock_after: 5d
keep: %s
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: total, input: m, aggregate: sum, score: {linear: {from: 0, to: 100000}}}
          - {id: top, input: m, aggregate: max, score: {linear: {from: 0, to: 10000}}}
%s"""
DAILY = "          - {id: daily, input: m, aggregate: last, period: day, score: {linear: {from: 0, to: %d}}}\n"
FOREVER = "          - {id: always, input: n, aggregate: count, keep: 3650d, score: {linear: {from: 0, to: 9}}}\n"
SETTINGS = "checkpoint: 100ms\ncompact: 20KiB\ncompact_after: 1s\njournal: 64KiB"
MONTHS = 6


def row(month, day, value, measure="m", org="", key=""):
    return f"2026-{month:02d}-{day:02d}T10:00:00.000Z,{measure},{org},{value},1,{key},,s,\n"


def history(months):
    """Of each month two keyed rows a day and one without, some of them corrected, of two lines."""
    text = ""
    for month in months:
        for day in range(1, 29):
            text += row(month, day, day * month, org=f"line-{day % 3}")
            text += row(month, day, day, key=f"k{month}-{day}") + row(month, day, 1, "n", "line-1")
            if day % 5 == 0:
                text += row(month, day - 1, 7 * day, key=f"k{month}-{day}")
    return text


class Retention(Case):
    def setUp(self):
        super().setUp()
        self.card = self.write("plant.yaml", CARD % ("20d", DAILY % 100 + FOREVER))
        self.aggregator = Aggregator(self.folder, [self.card], settings=SETTINGS).start()

    def stats(self):
        return json.loads(run(POISE, "stats", "--json", "--from", self.aggregator.query).stdout)

    def await_stats(self, wanted):
        until = time.monotonic() + 60
        while not wanted(now := self.stats()):
            self.assertEqual(now["poise_compactions_failed"], 0)
            self.assertLess(time.monotonic(), until, f"{now}"[:3000])
            time.sleep(0.1)
        return now

    def await_dropped(self, rows):
        return self.await_stats(lambda now: now["poise_rows_dropped"] >= rows)

    def test_frozen(self):
        all_rows = history(range(1, MONTHS))
        self.send(all_rows)
        before = self.aggregator.get("plant", "--all-orgs")
        self.await_dropped(1)
        time.sleep(3)
        print({k: v for k, v in self.stats().items() if "drop" in k or "froz" in k})
        self.same_states(self.aggregator.get("plant", "--all-orgs"), self.evaluate(self.card, all_rows, "--all-orgs"))
        run(POISE, "verify", "--from", self.aggregator.query)


if __name__ == "__main__":
    system.main()
