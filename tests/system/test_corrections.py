"""Closed and locked periods, live: revisions with number and cause, what was known before, restatement, verification."""
import random
import re

import system
from system import POISE, Aggregator, Case, run
from wire import Producer, View, pb

CARD = """
scorecard: plant
period: month
grace: 2d
lock_after: 70d
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: defects, aggregate: sum, score: {linear: {from: 20, to: 0}}}
          - {id: worst, input: defects, aggregate: max, score: {linear: {from: 20, to: 0}}}
          - {id: usual, input: defects, aggregate: p50, rolling: 45d, weight: 0, score: {linear: {from: 20, to: 0}}}
"""
DEFECTS = "plant/internal/quality/defects"
FEBRUARY_ENDS, JANUARY_ENDS = 1772323200000, 1769904000000


def row(time, value, org="", key=""):
    return f"2026-{time}Z,defects,{org},{value},,{key},,s,\n"


class Corrections(Case):
    def setUp(self):
        super().setUp()
        self.card = self.write("plant.yaml", CARD)
        self.aggregator = Aggregator(self.folder, [self.card]).start()

    def history(self, *more):
        return {(state["org"], state["node"], state["as_of"]): state
                for state in self.aggregator.get("plant", "--all-orgs", "--history", *more)}

    def verify(self):
        return run(POISE, "verify", "--from", self.aggregator.query).stdout

    def restate(self, *more, check=0):
        done = run(POISE, "restate", "--from", self.aggregator.query, *more, check=check)
        return done.stdout.strip() if check == 0 else done.stderr

    def lsn(self):
        return int(re.search(r"record (\d+)", self.verify()).group(1))

    def known(self, lsn):
        """The scores at the root as of the end of January, as they were known with a record of the journal."""
        view = View(self.aggregator.query)
        view.peer.send(pb.Query(id=10 ** 9, scorecard="plant", as_of_ms=JANUARY_ENDS, known_lsn=lsn, credit=9))
        result = view.peer.expect(pb.Result)
        view.close()
        return {state.node: state.score for state in result.states}

    def test_a_late_measurement_revises_a_closed_period(self):
        self.send(row("01-10T00:00:00", 2) + row("01-20T00:00:00", 3, "p1", "k") + row("03-02T00:00:00", 1))
        view = View(self.aggregator.query)
        view.until(lambda: view.complete)
        before = self.lsn()
        self.send(row("02-27T00:00:00", 4))  # February has not been over for two days: no revision
        self.assertEqual(self.history()["", DEFECTS, "2026-03-01T00:00:00.000Z"]["revision"], None)
        self.send(row("01-21T00:00:00", 6, "p1", "k"))
        view.until(lambda: len(view.revisions) >= 10)
        seen = {(state.org, state.node, state.as_of_ms): state for state in view.revisions}
        state = seen["", DEFECTS, JANUARY_ENDS]
        self.assertEqual((state.revision, state.replaced, state.score, state.value, state.cause), (1, 75, 60, 8, 5))
        self.assertEqual(state.definition, 1)
        self.assertEqual({key[2] for key in seen}, {JANUARY_ENDS}, "February reads its own, and is not closed")
        self.assertNotIn("plant/internal/quality/usual", {key[1] for key in seen}, "rolling windows never close")
        self.assertEqual({key[0] for key in seen}, {"", "p1"})
        history = self.history()
        self.assertEqual(history["p1", "plant", "2026-02-01T00:00:00.000Z"]["revision"], 1)
        self.assertEqual(history["", DEFECTS, "2026-02-01T00:00:00.000Z"]["value"], 8)
        self.assertEqual(self.known(before)[DEFECTS], 75)
        self.assertEqual(self.known(0)[DEFECTS], 60)
        # A retraction of the extreme: the period is read again; numbers go on after kill -9.
        self.aggregator.kill()
        self.aggregator.start()
        self.send(",defects,,,,k,,s,true\n")
        history = self.history()
        state = history["", DEFECTS, "2026-02-01T00:00:00.000Z"]
        self.assertEqual((state["value"], state["revision"]), (2, 2))
        self.assertEqual(history["", "plant/internal/quality/worst", "2026-02-01T00:00:00.000Z"]["value"], 2)
        self.verify()
        view.close()

    def test_as_known_at(self):
        """By the wall clock T is when something was known."""
        self.aggregator.stop()
        card = self.write("free.yaml", CARD.replace("lock_after: 70d\n", ""))
        self.aggregator = Aggregator(self.folder, [card], clock="wall").start()
        self.send(row("01-10T00:00:00", 2))
        known_at = self.aggregator.get("plant")[0]["as_of"]
        while self.aggregator.get("plant")[0]["as_of"] <= known_at:
            pass  # T moves every second
        self.send(row("01-12T00:00:00", 5))
        asked = ("--as-of", "2026-02-01T00:00:00Z")
        now = self.aggregator.get("plant", *asked)
        then = self.aggregator.get("plant", *asked, "--as-known-at", known_at)
        self.assertEqual([state["value"] for state in (now[3], then[3])], [7, 2])
        self.assertEqual(then[3]["node"], DEFECTS)

    def test_locked_periods_and_restatement(self):
        self.send(row("01-10T00:00:00", 2) + row("01-20T00:00:00", 3, "p1", "k") + row("06-02T00:00:00", 1))
        before = self.history()
        held = [row("01-11T00:00:00", 7), row("05-01T00:00:00", 9, "p1", "k"), row("02-11T00:00:00", 1, "p3")]
        for text in held:
            self.assertIn("locked", self.send(text, check=1).stderr)
        self.assertIn("locked", self.send(",defects,,,,k,,s,true\n", check=1).stderr)
        self.assertEqual(self.history(), before, "what is held changes nothing")
        self.assertIn("--reason", self.restate(check=2))
        self.assertEqual(self.restate("other", "--reason", "x"), "0 let in, 0 refused")
        self.assertEqual(self.restate("defects", "--org", "p3", "--reason", "one"), "1 let in, 0 refused")
        self.assertEqual(self.restate("--since", "2026-01-11T00:00:00Z", "--until", "2026-01-11T00:00:00.001Z",
                                      "--org", "", "--reason", "two"), "2 let in, 0 refused", "retractions have no time")
        self.aggregator.kill()
        self.aggregator.start()
        self.assertEqual(self.restate("--reason", "all the rest"), "1 let in, 0 refused")
        self.assertEqual(self.restate("--reason", "again"), "0 let in, 0 refused")
        self.verify()
        # As if they had come in this order and nothing were locked.
        card = self.write("free.yaml", CARD.replace("lock_after: 70d\n", ""))
        rows = (row("01-10T00:00:00", 2) + row("01-20T00:00:00", 3, "p1", "k") + row("06-02T00:00:00", 1) + held[2] +
                held[0] + ",defects,,,,k,,s,true\n" + held[1])
        asked = ("--as-of", "2026-06-02T00:00:00.001Z", "--all-orgs", "--history")
        self.same_states(self.aggregator.get("plant", *asked), self.evaluate(card, rows, *asked))
        self.assertIn("reason=\"all the rest\"", self.aggregator.log.read_text())

    def test_revisions_are_what_differs(self):
        """Random late rows in random commits: each revision is a difference of the past before and after, and no other."""
        random_ = random.Random(7)
        rows = row("01-01T00:00:00", 1) + row("04-30T00:00:00", 1)
        self.send(rows)
        view = View(self.aggregator.query)
        view.until(lambda: view.complete)
        known = self.history()
        for _ in range(12):
            more = "".join(row(f"{random_.choice(['03', '04'])}-{random_.randint(1, 28):02}T00:00:00", random_.randint(0, 9),
                               random_.choice(["", "p1", "p1/l1"]), random_.choice(["", "a", "b"]))
                           for _ in range(random_.randint(1, 3)))
            rows += more
            self.send(more)
            now = self.history()
            closed = "2026-04-01T00:00:00.000Z"
            changed = {key[:2] for key, state in now.items() if key[2] == closed and not key[1].endswith("usual") and
                       self.differs(known.get(key), state)}
            view.until(lambda: view.lsn >= self.lsn())
            said = [(state.org, state.node) for state in view.revisions]
            self.assertEqual(sorted(said), sorted(changed))
            for state in view.revisions:
                key = (state.org, state.node, closed)
                old = known[key]["score"] if key in known else None
                self.assertEqual(None if state.replaced != state.replaced else state.replaced, old)
                self.assertEqual(state.revision, ((known[key]["revision"] if key in known else None) or 0) + 1)
                self.assertEqual(None if state.score != state.score else state.score, now[key]["score"])
            view.revisions, known = [], now
        view.close()
        self.verify()
        self.same_states(self.aggregator.get("plant", "--all-orgs"),
                         self.evaluate(self.card, rows, "--all-orgs", "--as-of", "2026-04-30T00:00:00.001Z"))

    def test_a_backfill_revises_once(self):
        """However many batches and commits it takes, and over a kill -9 in its middle."""
        card = self.write("free.yaml", CARD.replace("lock_after: 70d\n", ""))
        self.aggregator.stop()
        self.aggregator = Aggregator(self.folder, [card], settings="checkpoint: 100ms").start()
        self.send(row("01-10T00:00:00", 2) + row("06-02T00:00:00", 1))
        january = ("", DEFECTS, "2026-02-01T00:00:00.000Z")
        rows = "".join(row(f"01-{at % 28 + 1:02}T00:00:00", 1, f"p{at % 3}") for at in range(3000))
        producer = Producer(self.aggregator.ingest, "loader")
        producer.hello()
        backfill = []
        for at in range(3):
            batch = producer.batch([("defects", f"p{at}", 1767225600000 + at, 1.0)] * 10, backfill=pb.BACKFILL_RUNS)
            self.assertEqual(producer.put(batch), [])
            backfill.append(self.history()[january]["revision"])
            if at == 1:
                self.aggregator.kill()
                self.aggregator.start()
                producer.close()
                epoch, seq = producer.epoch, producer.seq
                producer = Producer(self.aggregator.ingest, "loader", epoch)
                producer.seq = seq
                producer.hello()
        self.assertEqual(backfill, [None] * 3)
        self.send(row("01-11T00:00:00", 1))  # another's waits with it
        self.assertEqual(self.history()[january]["revision"], None)
        self.assertEqual(self.history()[january]["value"], 33, "it counts at once")
        producer.put(producer.batch([], backfill=pb.BACKFILL_ENDS))
        self.assertEqual(self.history()[january]["revision"], 1)
        producer.close()
        path = self.write("more.csv", system.HEADER + rows)
        run(POISE, "send", "--to", self.aggregator.ingest, "--spool", self.folder / "bulk", "--csv", path, "--backfill")
        self.assertEqual(self.history()[january]["revision"], 2)
        self.send(row("01-12T00:00:00", 1), spool="bulk")
        self.assertEqual(self.history()[january]["revision"], 3)
        self.verify()
        self.aggregator.kill()
        self.aggregator.start()
        self.assertEqual(self.history()[january]["revision"], 3)

    @staticmethod
    def differs(before, after):
        if before is None:
            return after["value"] is not None or after["score"] is not None
        return any(before[name] != after[name] for name in after if name not in ("trend", "revision", "definition"))


if __name__ == "__main__":
    system.main()
