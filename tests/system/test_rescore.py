"""Changed scorecards: closed periods keep what they were scored by, until an operator has them rescored."""
import re
import time

import system
from system import POISE, Aggregator, Case, run
from wire import Producer, View, pb

CARD = """
scorecard: plant
period: month
grace: 2d
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: defects, aggregate: sum, score: {linear: {from: 20, to: 0}}}
          - {id: scrap, aggregate: sum, score: {linear: {from: 10, to: 0}}}
"""
STRICT = CARD.replace("from: 20", "from: 10")  # the same values have other scores
NO_SCRAP = CARD.replace("          - {id: scrap, aggregate: sum, score: {linear: {from: 10, to: 0}}}\n", "")
DEFECTS, SCRAP = "plant/internal/quality/defects", "plant/internal/quality/scrap"
JANUARY, FEBRUARY, MARCH, APRIL = (f"2026-{month:02}-01T00:00:00.000Z" for month in range(2, 6))
ENDS = {JANUARY: 1769904000000, FEBRUARY: 1772323200000, MARCH: 1775001600000}


def row(time, value, measure="defects", org="", key=""):
    return f"2026-{time}Z,{measure},{org},{value},,{key},,s,\n"


MONTHS = "".join(row(f"{month:02}-10T00:00:00", 4 + month, "defects", "p1") + row(f"{month:02}-11T00:00:00", month, "scrap")
                 for month in range(1, 4)) + row("04-10T00:00:00", 2)


class Rescore(Case):
    def setUp(self):
        super().setUp()
        self.card = self.write("plant.yaml", CARD)
        self.aggregator = Aggregator(self.folder, [self.card]).start()

    def change(self, text, kill=False):
        """The aggregator again, with another definition."""
        (self.aggregator.kill if kill else self.aggregator.stop)()
        self.card.write_text(text)
        self.aggregator.start()

    def history(self, *more):
        return {(state["org"], state["node"], state["as_of"]): state
                for state in self.aggregator.get("plant", "--all-orgs", "--history", *more)}

    def verify(self):
        run(POISE, "verify", "--from", self.aggregator.query)

    def rescore(self, since, *more, check=0):
        done = run(POISE, "rescore", "--at", self.aggregator.query, "--from", since, *more, check=check)
        return done.stdout.strip() if check == 0 else done.stderr

    def offline(self, text, rows):
        """The whole history by one definition."""
        path = self.write("offline.yaml", text)
        states = self.evaluate(path, rows, "--all-orgs", "--history", "--as-of", "2026-04-10T00:00:00.001Z")
        return {(state["org"], state["node"], state["as_of"]): state for state in states}

    def same(self, got, wanted, ends, but=()):
        """Numbers of periods, but for those of definition and revision."""
        keys = {key for key in wanted if key[2] in ends}
        self.assertEqual({key for key in got if key[2] in ends}, keys)
        for key in keys:
            for name in wanted[key]:
                if name not in ("definition", "revision", *but):
                    self.assertEqual(got[key][name], wanted[key][name], (key, name))

    def test_closed_periods_keep_their_definition(self):
        self.send(MONTHS)
        before = self.history()
        self.assertEqual({state["definition"] for state in before.values()}, {1})
        self.change(STRICT)
        after = self.history()
        now = max(key[2] for key in after)
        self.same(after, self.offline(CARD, MONTHS), [JANUARY, FEBRUARY, MARCH])
        self.assertEqual({state["definition"] for key, state in after.items() if key[2] != now}, {1})
        self.same(after, self.offline(STRICT, MONTHS), [now], but=["trend"])
        self.assertEqual({state["definition"] for key, state in after.items() if key[2] == now}, {2})
        trend = after["", DEFECTS, now]["score"] - after["", DEFECTS, MARCH]["score"]
        self.assertEqual(after["", DEFECTS, now]["trend"], trend, "against what March was scored by")
        self.assertIn("defined scorecard=plant definition=2 after=2026-04-01T00:00:00.000Z",
                      self.aggregator.log.read_text())
        live = {(state["org"], state["node"]): state for state in self.aggregator.get("plant", "--all-orgs")}
        self.assertEqual(live["", DEFECTS]["definition"], 2)
        self.assertEqual(live["", DEFECTS]["trend"], trend)
        inside = self.aggregator.get("plant", "--as-of", "2026-02-15T00:00:00Z")
        self.assertEqual({state["definition"] for state in inside}, {1}, "a time within a period belongs to its end")
        self.verify()
        self.change(STRICT, kill=True)
        self.assertEqual(self.history(), after)

    def test_a_period_that_is_not_closed_is_rescored_at_once(self):
        self.send(MONTHS.replace("04-10", "04-02"))  # March ended, and has not been over for two days
        self.change(STRICT)
        history = self.history()
        self.assertEqual([history["", DEFECTS, end]["definition"] for end in (JANUARY, FEBRUARY, MARCH)], [1, 1, 2])
        self.verify()

    def test_a_rescore_revises(self):
        self.send(MONTHS)
        self.change(STRICT)
        before = self.history()
        view = View(self.aggregator.query)
        view.until(lambda: view.complete)
        self.assertIn("no time", self.rescore("March", check=2))
        self.assertIn("--from is missing", run(POISE, "rescore", "--at", self.aggregator.query, check=2).stderr)
        self.assertIn("no scorecard 'other'", self.rescore(FEBRUARY, "--scorecard", "other", check=1))
        self.assertEqual(self.history(), before)
        lsn = view.lsn
        said = self.rescore(FEBRUARY, "--scorecard", "plant", "--reason", "as decided")
        after = self.history()
        changed = {key for key in after if key[2] in ENDS and before[key]["score"] != after[key]["score"]}
        self.assertIn(f"{len(changed)} scores revised, of 1 scorecard", said)
        self.assertEqual({key[2] for key in changed}, {FEBRUARY, MARCH})
        self.same(after, self.offline(STRICT, MONTHS), [MARCH])
        self.same(after, self.offline(STRICT, MONTHS), [FEBRUARY], but=["trend"])  # against January, by the old one
        self.same(after, self.offline(CARD, MONTHS), [JANUARY])
        view.until(lambda: len(view.revisions) >= len(changed))
        seen = {(state.org, state.node, state.as_of_ms): state for state in view.revisions}
        self.assertEqual(len(seen), len(changed))
        for org, node, end in changed:
            state = seen[org, node, ENDS[end]]
            key = org, node, end
            self.assertEqual((state.revision, state.definition, state.cause), (1, 2, 8))
            self.assertEqual((state.replaced, state.score), (before[key]["score"], after[key]["score"]))
            self.assertEqual(after[key]["revision"], 1)
            self.assertEqual(state.trend, after[key]["trend"])
        self.assertGreater(view.lsn, lsn)
        log = self.aggregator.log.read_text()
        self.assertIn("rescored reason=\"as decided\" scorecard=plant from=2026-03-01T00:00:00.000Z", log)
        self.verify()
        self.assertIn("nothing to rescore", self.rescore(FEBRUARY))
        for how in (self.aggregator.kill, self.aggregator.stop):
            how()
            self.aggregator.start()
            self.assertEqual(self.history(), after)
            self.verify()
        # The rest: then no period has the first definition, and it goes.
        self.assertIn("scores revised", self.rescore("1900-01-01T00:00:00Z"))
        self.same(self.history(), self.offline(STRICT, MONTHS), [JANUARY, FEBRUARY, MARCH])
        self.assertEqual({state["definition"] for state in self.history().values()}, {2})
        self.verify()
        self.change(CARD)
        self.same(self.history(), self.offline(STRICT, MONTHS), [JANUARY, FEBRUARY, MARCH])
        self.assertEqual(self.history()["", DEFECTS, MARCH]["revision"], 1, "what subscribers have seen has its number")
        self.rescore(MARCH)
        self.assertEqual(self.history()["", DEFECTS, MARCH]["revision"], 2)
        self.assertEqual(self.history()["", DEFECTS, MARCH]["definition"], 3)
        self.verify()
        view.close()

    def test_late_measurements_by_the_older_definition(self):
        """The measure `scrap` went: what comes of it for a period that has it still counts there, and nowhere else."""
        self.send(MONTHS)
        self.change(NO_SCRAP)
        view = View(self.aggregator.query)
        view.until(lambda: view.complete)
        late = row("02-20T00:00:00", 3) + row("02-21T00:00:00", 1, "scrap", "p2")
        self.send(late)
        history = self.history()
        self.same(history, self.offline(CARD, MONTHS + late), [JANUARY, FEBRUARY, MARCH])
        view.until(lambda: len(view.revisions) >= 8)
        seen = {(state.org, state.node): state for state in view.revisions if state.as_of_ms == ENDS[FEBRUARY]}
        self.assertEqual({state.definition for state in view.revisions}, {1})
        self.assertEqual((seen["", SCRAP].replaced, seen["", SCRAP].score), (80, 70))
        self.assertEqual(history["", SCRAP, FEBRUARY]["revision"], 1)
        self.assertIn("no scorecard here has a measure that reads this", self.send(row("04-11T00:00:00", 1, "scrap"), check=1).stderr)
        self.verify()
        trend = self.live("", "plant")["trend"]
        more = row("03-12T00:00:00", 6, "scrap")  # March, which the trends of April are against
        self.send(more)
        self.assertNotEqual(self.live("", "plant")["trend"], trend)
        self.verify()
        for _ in range(2):
            before = self.history()
            self.same(before, self.offline(CARD, MONTHS + late + more), [JANUARY, FEBRUARY, MARCH])
            self.aggregator.kill()
            self.aggregator.start()
            self.assertEqual(self.history(), before)
            self.verify()
        # Another definition makes all cells anew; then nothing of scrap is left but what is journaled.
        self.change(STRICT)
        self.same(self.history(), self.offline(CARD, MONTHS + late + more), [JANUARY, FEBRUARY, MARCH])
        self.rescore(JANUARY)
        self.same(self.history(), self.offline(STRICT, MONTHS + late + more), [JANUARY, FEBRUARY, MARCH])
        self.verify()
        view.close()

    def live(self, org, node):
        return next(state for state in self.aggregator.get("plant", "--all-orgs")
                    if (state["org"], state["node"]) == (org, node))

    def test_as_known_at(self):
        """By the wall clock T is when something was known: a changed definition and a rescore, too."""
        self.aggregator.stop()
        self.aggregator = Aggregator(self.folder, [self.card], clock="wall").start()
        self.send(row("01-10T00:00:00", 2))
        asked = ("--as-of", JANUARY)
        known = [self.later()]
        self.change(STRICT)
        known.append(self.later())
        self.rescore(JANUARY)
        known.append(self.later())
        self.change(CARD)
        self.rescore(JANUARY)
        known.append(self.later())
        seen = [self.aggregator.get("plant", *asked, "--as-known-at", at)[3] for at in known]
        self.assertEqual([state["definition"] for state in seen], [1, 1, 2, 3])
        self.assertEqual([state["score"] for state in seen], [90, 90, 80, 90])
        self.assertEqual([state["revision"] for state in seen], [1, 1, 2, 3])
        self.assertEqual(self.aggregator.get("plant", *asked)[3], seen[-1])

    def later(self):
        """T as it is, and a later one when this returns."""
        known_at = self.aggregator.get("plant")[0]["as_of"]
        until = time.monotonic() + 30
        while self.aggregator.get("plant")[0]["as_of"] <= known_at and time.monotonic() < until:
            pass
        return known_at

    def test_locked_periods_stay(self):
        locked = CARD.replace("grace: 2d", "grace: 2d\nlock_after: 50d")
        self.change(locked)
        self.send(MONTHS)
        self.change(locked.replace("from: 20", "from: 10"))
        self.assertIn("locked periods stay as they are", self.rescore("1900-01-01T00:00:00Z"))
        history = self.history()
        self.assertEqual([history["", DEFECTS, end]["definition"] for end in (JANUARY, FEBRUARY, MARCH)], [1, 2, 2])
        self.assertIn("nothing to rescore: the current definitions are in force for these periods already, but for locked",
                      self.rescore(JANUARY))
        self.assertEqual(self.history(), history)
        self.verify()

    def test_a_backfill_comes_first(self):
        """While it runs its revisions wait, and a rescore is refused; a changed definition ends it."""
        self.send(MONTHS)
        self.change(STRICT)
        producer = Producer(self.aggregator.ingest, "loader")
        producer.hello()
        producer.put(producer.batch([("defects", "p1", ENDS[MARCH] - 1, 1.0)], backfill=pb.BACKFILL_RUNS))
        self.assertIn("a backfill runs", self.rescore(JANUARY, check=1))
        self.assertEqual(self.history()["p1", DEFECTS, MARCH]["revision"], None)
        producer.close()
        self.change(CARD)
        march = self.history()["p1", DEFECTS, MARCH]
        self.assertEqual((march["revision"], march["definition"], march["value"]), (1, 1, 8))
        self.verify()
        self.assertIn("scores revised", self.rescore(JANUARY))
        self.verify()

    def test_a_rescore_leaves_the_state(self):
        """Two definitions share the sums of an input. When the older one has no period any more the state still serves: a
        start makes nothing anew, and what a backfill has changed is revised when it ends."""
        self.send(MONTHS)
        self.change(CARD.replace("defects, aggregate: sum", "defects, aggregate: p50"))
        self.assertIn("scores revised", self.rescore("1900-01-01T00:00:00Z"))
        self.aggregator.stop()  # with a checkpoint
        self.aggregator.start()
        producer = Producer(self.aggregator.ingest, "loader")
        producer.hello()
        producer.put(producer.batch([("defects", "p1", ENDS[MARCH] - 1, 1.0)], backfill=pb.BACKFILL_RUNS))
        self.aggregator.kill()
        self.aggregator.start()
        generations = set(re.findall("recovered generation=([0-9]+)", self.aggregator.log.read_text()))
        self.assertEqual(generations, {"1", "2"})
        self.assertEqual(self.history()["p1", DEFECTS, MARCH]["revision"], None)
        producer.hello()
        producer.put(producer.batch([], backfill=pb.BACKFILL_ENDS))
        self.assertEqual(self.history()["p1", DEFECTS, MARCH]["revision"], 1)
        self.verify()
        producer.close()

    def test_a_scorecard_that_comes_and_goes(self):
        """It keeps its definitions while it is away."""
        other = self.write("other.yaml", CARD.replace("scorecard: plant", "scorecard: other"))
        self.send(MONTHS)
        self.change(STRICT)
        before = self.history()
        self.aggregator.stop()
        self.aggregator = Aggregator(self.folder, [other]).start()
        self.assertIn("no scorecard 'plant'", run(POISE, "get", "plant", "--from", self.aggregator.query, "--history",
                                                  check=1).stderr)
        self.aggregator.stop()
        self.aggregator = Aggregator(self.folder, [self.card, other]).start()
        self.assertEqual(self.history(), before)
        self.verify()

    def test_kill_in_between(self):
        """A rescore that is killed while it runs is there as a whole, or not at all."""
        rows = MONTHS + "".join(row(f"{at % 3 + 1:02}-05T00:00:00", 1, "defects", f"p{at}") for at in range(200))
        self.send(rows)
        old = self.offline(CARD, rows)
        for attempt, text in enumerate((STRICT, CARD) * 4):
            self.change(text)
            order = self.spawn(POISE, "rescore", "--at", self.aggregator.query, "--from", JANUARY, stdout=-3, stderr=-3)
            time.sleep(0.004 * attempt)
            self.aggregator.kill()
            order.kill()
            self.aggregator.start()
            new = self.offline(text, rows)
            history = self.history()
            done = history["", DEFECTS, JANUARY]["definition"] == history["", DEFECTS, max(key[2] for key in history)]["definition"]
            self.same(history, new if done else old, [JANUARY, FEBRUARY, MARCH])
            self.verify()
            self.rescore(JANUARY)
            self.same(self.history(), new, [JANUARY, FEBRUARY, MARCH])
            self.verify()
            old = new

    def test_too_many_definitions(self):
        """Of a scorecard some 16 are kept; then one has to be rescored."""
        self.send(row("01-10T00:00:00", 2).replace("2026", "2024"))
        texts = [CARD.replace("from: 20", f"from: {20 + at}") for at in range(20)]
        for at in range(1, 16):
            self.change(texts[at])
            self.send(row(f"{at % 12 + 1:02}-10T00:00:00", 1).replace("2026", str(2024 + at // 12)))
        self.aggregator.stop()
        self.card.write_text(texts[16])
        with self.assertRaisesRegex(AssertionError, "poise rescore --scorecard plant"):
            self.aggregator.start()
        self.card.write_text(texts[15])
        self.aggregator.start()
        self.rescore("1900-01-01T00:00:00Z")
        self.verify()
        self.change(texts[16])
        self.verify()


if __name__ == "__main__":
    system.main()
