"""`keep`: measurements of frozen periods are dropped, scores stay; what would change them is refused; kills, other definitions and
questions find the same before and after."""
import datetime
import json
import time
from random import Random

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
WEEKLY = "          - {id: weekly, input: m, aggregate: max, period: week, score: {linear: {from: 0, to: 100}}}\n"
FOREVER = "          - {id: always, input: n, aggregate: count, keep: 3650d, score: {linear: {from: 0, to: 9}}}\n"
WIDE = """
scorecard: %s
period: month
timezone: Europe/Berlin
grace: 1d
lock_after: 5d
keep: 100d
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
"""
KINDS = ("sum", "count", "min", "max", "mean", "weighted_mean", "ratio", "first", "last", "stddev", "p50", "p90")
PERIODS = ("period: month", "period: week", "period: day", "period: year, carry: 0", "rolling: 45d", "period: quarter, basis: closed",
           "period: month, roll_up: none", "period: month, across_orgs: mean")
SETTINGS = "checkpoint: 100ms\ncompact: 20KiB\ncompact_after: 1s\njournal: 64KiB"
MONTHS = 6


def row(month, day, value, measure="m", org="", key=""):
    return f"2026-{month:02d}-{day:02d}T10:00:00.000Z,{measure},{org},{value},1,{key},,s,\n"


def history(months):
    """Of each month two keyed rows a day and one without, some of them corrected, of two lines."""
    text = "2026-01-20T10:00:00.000Z,m,,50,1,s1,5,s,\n"
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

    def frozen_rows(self):
        """How many of them are dropped in the end: days before March, of m."""
        return 1 + 2 * (2 * 28 + 5)

    def freeze(self):
        self.send(history(range(1, MONTHS)))
        self.await_dropped(self.frozen_rows())

    def check(self, all_rows, trends=True):
        live = self.aggregator.get("plant", "--all-orgs")
        offline = self.evaluate(self.card, all_rows, "--all-orgs")
        for state in [] if trends else live + offline:
            del state["trend"]
        self.same_states(live, offline)
        run(POISE, "verify", "--from", self.aggregator.query)

    def check_past(self, all_rows):
        """As of ends of frozen periods, and all of the history."""
        for month in range(2, MONTHS):
            when = ["--all-orgs", "--as-of", f"2026-{month:02d}-01T00:00:00Z"]
            self.same_states(self.aggregator.get("plant", *when), self.evaluate(self.card, all_rows, *when))
        self.same_states(self.aggregator.get("plant", "--all-orgs", "--history"),
                         self.evaluate(self.card, all_rows, "--all-orgs", "--history"))

    def command(self, name, *arguments, check=0):
        done = run(POISE, name, "--from", self.aggregator.query, *arguments, check=check)
        return done.stderr if check else done.stdout

    def test_what_is_frozen_stays_as_it_was(self):
        self.freeze()
        all_rows = history(range(1, MONTHS))
        self.check(all_rows)
        before = self.aggregator.get("plant", "--all-orgs")
        for text in (row(1, 9, 1), row(2, 28, 10 ** 6, key="new"), row(5, 9, 1, key="k1-3"), row(2, 1, 1, key="k5-3"),
                     row(5, 9, 1, key="k2-7"), f",m,,,,k1-3,,s,true\n"):
            self.assertIn("frozen", self.send(text, check=1).stderr, text)
        again = row(1, 9, 9, key="k1-9") + row(2, 7, 7, key="k2-7")  # as they were: nothing is counted anew
        self.assertIn("0 counted, 2 refused", self.send(again, check=1).stdout)
        self.assertEqual(self.stats()['poise_refusals{reason="frozen"}'], 8)
        self.assertEqual(self.aggregator.get("plant", "--all-orgs"), before)
        self.send(row(1, 9, 5, "n", "line-1") + row(3, 9, 10 ** 6), check=1)  # kept for longer, and so only locked
        self.check(all_rows)
        less = "2026-05-20T10:00:00.000Z,m,line-0,9,1,s1,4,s,\n"  # than what stood, which is dropped
        self.send(less)
        all_rows += less
        self.check(all_rows)
        # what was held by a lock before it froze is not let in
        self.assertIn("1 let in, 0 refused", self.command("restate", "m", "--reason", "late", "--since", "2026-03-01T00:00:00Z"))
        all_rows += row(3, 9, 10 ** 6)
        self.check(all_rows)
        self.assertIn("frozen", run(POISE, "rescore", "--at", self.aggregator.query, "--from",
                                    "2026-02-01T00:00:00Z", "--reason", "x", check=1).stderr)
        self.check_past(all_rows)
        for when in (["2026-01-20T00:00:00Z"], ["2026-03-01T00:00:00Z", "--as-known-at", "2026-06-01T00:00:00Z"]):
            self.assertIn("dropped", self.command("get", "plant", "--as-of", *when, check=1))
        audited = [json.loads(line) for line in (self.folder / "store" / "audit.jsonl").read_text().splitlines()]
        self.assertEqual([line["about"] for line in audited if line["what"] == "freeze"], ["m before 2026-03-01T00:00:00.000Z"])
        self.aggregator.stop()
        run(POISE, "verify", "--store", self.folder / "store")

    def test_sums_of_frozen_periods(self):
        """All aggregates over all kinds of periods, as of ends of frozen periods, are those of all rows; also with another
        scorecard that wants more of the same sums, and over a kill and another definition."""
        self.aggregator.stop()
        cards = [WIDE % name + "".join(
            f"          - {{id: x{n}, input: m, aggregate: {kind}, {period}, score: {{linear: {{from: 0, to: 300}}}}}}\n"
            for n, (kind, period) in enumerate((kind, period) for kind in kinds for period in PERIODS))
                 for name, kinds in (("plant", KINDS[::2]), ("other", KINDS[1::2]))]
        paths = [self.write(f"{name}.yaml", card) for name, card in zip(("plant", "other"), cards)]
        self.aggregator = Aggregator(self.folder, paths, settings=SETTINGS).start()
        random = Random(7)
        rows = ""
        for at in range(0, 900, 4):  # 2023-05 to 2025-10
            when = (datetime.datetime(2023, 5, 3, 21, 59) + datetime.timedelta(days=at)).isoformat()
            for org in random.sample(("", "a", "a/b", "c"), 2):
                for source in random.sample(("zoe", "adam", "mia"), 2):  # ties of first and last
                    rows += f"{when}.000Z,m,{org},{random.randint(-50, 900) / 8},{random.randint(1, 4)},{random.choice(('', f'{at}'))},,{source},\n"
        self.send(rows)
        # Whole years, and the week before: 2025 is wanted for what is scored now.
        self.await_dropped(sum(line < "2024-12-29" for line in rows.splitlines()))

        def check():
            for name, path in zip(("plant", "other"), paths):
                self.same_states(self.aggregator.get(name, "--all-orgs", "--history"),
                                 self.evaluate(path, rows, "--all-orgs", "--history"))
                when = ["--as-of", "2024-03-31T22:00:00Z", "--org", "a"]
                self.same_states(self.aggregator.get(name, *when), self.evaluate(path, rows, *when))
        check()
        self.aggregator.kill()
        self.aggregator.start()
        check()
        # By another definition from now on: closed periods keep theirs.
        before = [state for state in self.aggregator.get("plant", "--all-orgs", "--history") if state["as_of"] < "2025-09"]
        self.aggregator.stop()
        paths[0].write_text(cards[0].replace("to: 300", "to: 200").replace("aggregate: p50", "aggregate: mean"))
        self.aggregator.start()
        self.same_states(self.aggregator.get("plant", "--all-orgs", "--history")[:len(before)], before)

    def test_a_dump_has_what_is_left(self):
        self.send(history(range(1, MONTHS)) + row(2, 3, 1, key="back") + row(4, 3, 2, key="to-february"))
        self.send(row(5, 3, 3, key="back") + row(2, 3, 4, key="to-february"), check=1)  # locked
        self.command("restate", "--reason", "late")
        now = self.await_dropped(self.frozen_rows())
        self.assertEqual(now["poise_lsn"], now["poise_journal_records"])
        self.check_dump()  # where the journal has them still
        for at in range(4):  # so much that the journal is trimmed
            self.send("".join(row(5, 28, n + at, "n", f"line-{n % 50}") for n in range(2500)))
        self.await_stats(lambda now: now["poise_lsn"] - now["poise_journal_records"] > 5)
        self.check_dump()
        run(POISE, "verify", "--from", self.aggregator.query)

    def check_dump(self):
        for more in ([], ["--standing"]):
            dump = run(POISE, "dump", "--from", self.aggregator.query, *more)
            self.assertIn("from before 2026-03-01T00:00:00.000Z", dump.stderr)
            self.assertNotRegex(dump.stdout, "2026-0[12]-.*,m,")
            self.assertIn("2026-03-01T10:00:00.000Z,m", dump.stdout)
            self.same_states(self.aggregator.get("plant", "--all-orgs"),
                             self.evaluate(self.card, dump.stdout.split("\n", 1)[1], "--all-orgs"))

    def test_room_of_what_is_dropped_is_used_again(self):
        """The same amount comes, and goes, again: the file has room for it."""
        self.aggregator.stop()
        self.card.write_text(CARD % ("20d", ""))
        self.aggregator.start()
        random, seen, a_month = Random(7), [], 28 * 1000
        for months in ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12)):  # of which the last three stay
            self.send("".join(f"2020-{month:02d}-{day:02d}T{n % 24:02d}:00:00Z,m,line-{n % 7},{random.random()},,,,,\n"
                              for month in months for day in range(1, 29) for n in range(1000)))
            seen.append(self.await_dropped(months[0] * a_month))
        dropped = seen[2]["poise_bytes_dropped"] - seen[1]["poise_bytes_dropped"]
        self.assertGreater(dropped, 4 * 8 * a_month)  # numbers that take eight bytes, each
        self.assertLess(seen[2]["tables"]["chunks"]["bytes"], 1.2 * dropped)
        self.assertLess(seen[2]["poise_file_bytes"] - seen[1]["poise_file_bytes"], 0.8 * dropped)

    def test_kill_and_other_definitions(self):
        all_rows = ""
        for at in range(6):  # whatever was frozen, checkpointed, in runs or dropped by then
            month = MONTHS - 1 + at
            more = "".join(row(month, day, 3 * day) for day in range(1, 29)) + row(month, 28, 1, "n")
            more = more if at else history(range(1, MONTHS))
            self.send(more)
            all_rows += more
            time.sleep(0.15 * at)
            self.aggregator.kill()
            self.aggregator.start()
            self.check(all_rows)
        self.await_stats(lambda now: now["tables"]["runs"]["entries"] <= 28 * (MONTHS - 1) + 28 * 4)
        self.aggregator.kill()
        # other weights, targets and inputs: what was scored of frozen periods stays
        self.card.write_text(CARD % ("30d", DAILY % 50 + FOREVER + FOREVER.replace("always", "most").replace("count", "max") +
                                     FOREVER.replace("always", "other").replace("input: n", "input: o")))
        self.aggregator.start()
        self.check(all_rows, trends=False)
        self.aggregator.kill()
        self.aggregator.start()
        self.check(all_rows, trends=False)
        self.assertIn("frozen", self.send(row(1, 9, 1), check=1).stderr)
        # sums that are gone: refused, and nothing is changed by that
        self.aggregator.stop()
        text = self.card.read_text()
        self.card.write_text(text.replace("aggregate: max", "aggregate: stddev"))
        with self.assertRaisesRegex(AssertionError, "wants sums of the measurements 'm'"):
            self.aggregator.start()
        self.card.write_text(text)
        self.aggregator.start()
        self.check(all_rows, trends=False)
        self.aggregator.stop()
        run(POISE, "verify", "--store", self.folder / "store")

    def test_erasing_beside_what_is_frozen(self):
        self.aggregator.stop()
        self.card.write_text(CARD % ("20d", WEEKLY + FOREVER))
        self.aggregator.start()
        all_rows = history(range(1, MONTHS))
        self.send(all_rows)
        self.await_dropped(sum(line[:10] < "2026-02-23" and line.split(",")[1] == "m" for line in all_rows.splitlines()))
        # The last days of February are there still, but their month has lost others.
        before = self.aggregator.get("plant", "--all-orgs")
        for since, until in (("02-23", "02-24"), ("02-28", "05-01")):
            self.assertIn("erase those since 2026-03-01T00:00:00.000Z", self.command(
                "erase", "m", "--since", f"2026-{since}T00:00:00Z", "--until", f"2026-{until}T00:00:00Z", "--reason", "x", check=1))
        self.assertEqual(self.aggregator.get("plant", "--all-orgs"), before)
        # What an order takes out behind a checkpoint is not in the state that other definitions find.
        self.aggregator.stop()
        config = self.aggregator.config.read_text()
        self.aggregator.config.write_text(config.replace("checkpoint: 100ms", "checkpoint: 1h"))
        self.aggregator.start()
        erased = self.command("erase", "m", "--since", "2026-04-03T00:00:00Z", "--until", "2026-05-09T00:00:00Z", "--reason", "x")
        left = "".join(line + "\n" for line in all_rows.splitlines()
                       if line.split(",")[1] != "m" or not "2026-04-03" <= line[:10] < "2026-05-09")
        self.assertEqual(erased.split()[0], str(len(all_rows.splitlines()) - len(left.splitlines())))
        self.check(left)
        self.aggregator.kill()
        self.card.write_text(CARD % ("30d", WEEKLY.replace("100}", "50}") + FOREVER +
                                     FOREVER.replace("always", "most").replace("count", "max")))
        for _ in range(2):
            self.aggregator.start()
            self.check(left, trends=False)
            self.aggregator.kill()
        self.aggregator.config.write_text(config)
        self.aggregator.start()
        self.await_stats(lambda now: now["poise_erasures_pending"] == 0)
        self.check(left, trends=False)
        self.aggregator.stop()
        run(POISE, "verify", "--store", self.folder / "store")


if __name__ == "__main__":
    system.main()
