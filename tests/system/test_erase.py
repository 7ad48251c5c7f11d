"""Measurements that are erased: they count no more, nothing of them is left on the disk, and it stays so."""
import json
import random
import shutil
import struct
import time

from system import POISE, Aggregator, Case, main, run
from wire import View

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
          - {id: last, input: defects, aggregate: last, score: {linear: {from: 20, to: 0}}}
          - {id: usual, input: defects, aggregate: p50, rolling: 45d, weight: 0, score: {linear: {from: 20, to: 0}}}
"""
DEFECTS = "plant/internal/quality/defects"
SECRET = 7130.171130931  # a value that is found again, whatever the bytes around it
SETTINGS = "checkpoint: 100ms\nbackups: backups"


def row(time, value, org="", key="", seq=""):
    return f"2026-{time}Z,defects,{org},{value},,{key},{seq},s,\n"


class Erasing(Case):
    def setUp(self):
        super().setUp()
        self.card = self.write("plant.yaml", CARD)
        self.aggregator = Aggregator(self.folder, [self.card], settings=SETTINGS).start()

    def erase(self, *more, check=0):
        done = run(POISE, "erase", "--from", self.aggregator.query, *more, check=check)
        return done.stdout.strip() if check == 0 else done.stderr

    def dump(self, *more):
        return run(POISE, "dump", "--from", self.aggregator.query, *more).stdout

    def verify(self):
        return run(POISE, "verify", "--from", self.aggregator.query).stdout

    def stats(self):
        return json.loads(run(POISE, "stats", "--from", self.aggregator.query, "--json").stdout)

    def until_gone(self):
        deadline = time.monotonic() + 120
        while self.stats()["poise_erasures_pending"] > 0:
            self.assertLess(time.monotonic(), deadline, "what was erased does not vanish from the disk")
            time.sleep(0.1)

    def audit(self):
        return [json.loads(line) for line in (self.folder / "store" / "audit.jsonl").read_text().splitlines()]

    def backup(self, name):
        """The bytes of a backup: what the store holds, without its free pages."""
        run(POISE, "backup", "--from", self.aggregator.query, name)
        run(POISE, "verify", "--store", self.folder / "backups" / name)
        return (self.folder / "backups" / name / "data.mdb").read_bytes()

    def same_as(self, rows):
        """The scores, live and again, are those of these rows alone."""
        asked = ("--as-of", "2026-06-02T00:00:00.001Z", "--all-orgs", "--history")
        self.same_states(self.aggregator.get("plant", *asked), self.evaluate(self.card, rows, *asked))
        self.verify()

    def test_nothing_of_it_is_left(self):
        """Measurements without and with a key, such that a locked period holds or has let in, over kill -9 and other definitions."""
        kept = (row("01-10T00:00:00", 2) + row("01-20T00:00:00", 3, "p1", "k") + row("05-20T00:00:00", 1, "p2") +
                row("05-21T00:00:00", 4, "p2", "old", "1") + row("05-22T00:00:00", 2, "p2/l1"))
        secret = (row("05-21T10:00:00", SECRET, "p2") + row("05-21T11:00:00", SECRET, "p2", "key", "5") +
                  row("05-23T11:00:00", SECRET, "p2/l1", "later"))
        last = row("06-02T00:00:00", 1)
        keys = "".join(row("06-01T00:00:00", 0, "p4", f"many-{at}") for at in range(5000))  # state that is not merged by itself
        self.send(kept + secret + keys + last)
        self.assertIn("locked", self.send(row("02-10T00:00:00", 5, "p2"), check=1).stderr)
        self.assertEqual(run(POISE, "restate", "--from", self.aggregator.query, "--reason", "r").stdout, "1 let in, 0 refused\n")
        self.assertIn("locked", self.send(row("02-11T00:00:00", SECRET, "p2"), check=1).stderr)
        self.send(row("05-21T12:00:00", SECRET + 1, "p2", "key", "6"))
        self.assertIn(struct.pack("<d", SECRET), self.backup("before"))
        view = View(self.aggregator.query)
        view.until(lambda: view.complete)
        which = ("--org", "p2", "--since", "2026-02-01T00:00:00Z", "--reason", "request 17")
        chosen = ("defects", *which)
        self.assertIn("--reason", self.erase("defects", check=2))
        self.assertIn("MEASURE", self.erase("--reason", "x", check=2))
        self.assertEqual(self.erase("other", "--reason", "x"), "0 erased, of which 0 counted")
        self.assertEqual(self.erase(*chosen, "--dry-run"), "7 would be erased")
        self.assertIn(str(SECRET), self.dump())
        self.assertEqual(self.erase(*chosen), "7 erased, of which 5 counted")
        self.assertEqual(self.erase("--org", "p2/**", "--reason", "request 18"), "2 erased, of which 2 counted")
        self.assertNotIn(str(SECRET), self.dump())
        left = row("01-10T00:00:00", 2) + row("01-20T00:00:00", 3, "p1", "k") + keys + last
        seen = row("05-20T00:00:00", 1, "p2", "z") + row("05-20T00:00:00", 1, "p2/l1", "y") + ",defects,,,,z,,s,true\n,defects,,,,y,,s,true\n"
        self.same_as(left + seen)
        view.close()
        self.aggregator.kill()
        self.aggregator.start()
        self.same_as(left + seen)
        self.assertEqual(run(POISE, "restate", "--from", self.aggregator.query, "--reason", "r").stdout, "0 let in, 0 refused\n")
        self.until_gone()
        self.same_as(left + seen)
        for number in (SECRET, SECRET + 1):
            self.assertNotIn(struct.pack("<d", number), self.backup(f"after-{number}"))
        self.assertNotIn(str(SECRET), self.dump())
        lines = [(line["what"], line["result"], line["about"]) for line in self.audit() if line["what"] == "erase"]
        self.assertEqual([line[1] for line in lines], ["begun", "done"] * 3 + ["gone from the disk"] * 2)
        self.assertIn("p2 from 2026-02-01T00:00:00.000Z", lines[2][2])
        self.assertEqual([line[2] for line in lines[6:]], ["request 17", "request 18"])
        # What comes again of keys with a sequence does not count.
        self.send(row("05-21T11:00:00", 9, "p2", "key", "5"), spool="again")
        self.same_as(left + seen)
        self.assertIn("says something else", self.send(row("05-21T12:00:00", 9, "p2", "key", "6"), spool="again", check=1).stderr)
        # All is made anew with another definition, from what is left.
        self.aggregator.stop()
        self.card = self.write("plant.yaml", CARD.replace("from: 20", "from: 30"))
        self.aggregator.start()
        self.verify()


    def test_scores_are_those_of_what_is_left(self):
        """Random rows and orders, over kill -9 at any step of it: equal to batch over the rows without those that were erased."""
        random_ = random.Random(17)
        card = self.write("plant.yaml", CARD.replace("lock_after: 70d\n", ""))
        self.aggregator.stop()  # and orders are replayed, at first
        self.aggregator = Aggregator(self.folder, [card], settings="checkpoint: 1h").start()
        self.card = card
        orgs = ["", "p1", "p1/l1", "p2", "p2/l1", "p3"]
        rows = [(f"{month:02}-{random_.randint(1, 28):02}T00:00:00", random_.randint(0, 9), org, "", "") for month in (1, 2, 3, 4, 5)
                for org in orgs for _ in range(3)]
        rows.append(("06-02T00:00:00", 1, "", "", ""))
        self.send("".join(row(*parts) for parts in rows))
        for turn in range(4):
            more = []
            for _ in range(40):
                key = random_.choice(["", "", "a", "b", "c", "d", "e"])
                more.append((f"{random_.randint(1, 5):02}-{random_.randint(1, 28):02}T00:00:00", random_.randint(0, 9),
                             random_.choice(orgs), key, str(random_.randint(1, 10 ** 9)) if key > "b" else ""))
            self.send("".join(row(*parts) for parts in more))
            rows += more
            low, high = sorted(random_.sample(range(1, 7), 2))
            org = random_.choice(["p1", "p1/**", "p2/**", "**", "p3"])
            self.erase("--org", org, "--since", f"2026-{low:02}-01T00:00:00Z", "--until", f"2026-{high:02}-01T00:00:00Z",
                       "--reason", f"turn {turn}")
            chosen = [self.matches(org, parts[2]) and f"{low:02}" <= parts[0][:2] < f"{high:02}" and parts[1] is not None
                      for parts in rows]
            rows = [(parts[0], None, *parts[2:]) if hit else parts for parts, hit in zip(rows, chosen) if not hit or parts[3]]
            if turn == 2:
                self.aggregator.kill()
                self.aggregator = Aggregator(self.folder, [card], settings=SETTINGS).start()
            if turn % 2:
                time.sleep(random_.random() / 2)
                self.aggregator.kill()
                self.aggregator.start()
            seen = "".join(row("01-01T00:00:00", 1, org, f"seen-{org}") + f",defects,,,,seen-{org},,s,true\n" for org in orgs)
            left = seen + "".join(row(*parts) if parts[1] is not None else f",defects,,,,{parts[3]},{parts[4]},s,true\n" for parts in rows)
            self.same_as(left)
        self.until_gone()
        self.same_as(left)
        numbers = sorted(float(line.split(",")[3]) for line in self.dump().splitlines()[1:] if line.split(",")[3])
        self.assertEqual(numbers, sorted(float(parts[1]) for parts in rows if parts[1] is not None))
        self.aggregator.stop()
        asked = ("--as-of", "2026-06-02T00:00:00.001Z", "--all-orgs", "--history")
        self.write("plant.yaml", CARD.replace("lock_after: 70d\n", "").replace("from: 20", "from: 30"))
        self.aggregator.start()
        self.verify()
        values = [[(state["org"], state["node"], state["as_of"], state["value"]) for state in states]
                  for states in (self.aggregator.get("plant", *asked), self.evaluate(card, left, *asked))]
        self.assertEqual(*values)

    @staticmethod
    def matches(glob, org):
        under = glob.removesuffix("**")
        return org == glob if under == glob else org.startswith(under)


if __name__ == "__main__":
    main()
