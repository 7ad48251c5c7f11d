"""poise verify finds scores that are not what the journal says, names one, and fails: of a store, and of a live aggregator."""
import struct

import system
from system import BUILD, POISE, Aggregator, Case, run

PLANT = BUILD / "tests" / "system" / "plant"
CARD = """
scorecard: plant
period: month
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: total, input: m, aggregate: sum, score: {linear: {from: 0, to: 100}}}
"""
ORGS, UNITS, CELLS = "1", "3", "4"  # tables of the state (docs/storage.md)


class Verify(Case):
    def setUp(self):
        super().setUp()
        self.store = self.folder / "store"
        self.aggregator = Aggregator(self.folder, [self.write("plant.yaml", CARD)]).start()
        self.send("".join(f"2026-03-05T10:00:00Z,m,{org},{value},,,,,\n" for org, value in (("a", 20), ("b", 30))))
        self.aggregator.stop()  # with a checkpoint

    def entries(self, table):
        return [line.split(" ") for line in run(PLANT, self.store, table).stdout.splitlines()]

    def put(self, table, key, value):
        run(PLANT, self.store, table, key, value)

    def id_of(self, org):
        return next(key for key, text in self.entries(ORGS) if text == org.encode().hex())

    def said(self, code, *more):
        """By the store, and by a live aggregator over it."""
        stored = run(POISE, "verify", "--store", self.store, check=code)
        self.aggregator.start()
        live = run(POISE, "verify", "--from", self.aggregator.query, *more, check=code)
        self.aggregator.kill()
        return (stored.stderr, live.stderr) if code else (stored.stdout, live.stdout)

    def test_all_is_well(self):
        for said in self.said(0):
            self.assertIn("12 scores as of 2026-03-05T10:00:00.001Z are what the journal says up to record", said)

    def test_a_wrong_sum(self):
        """Of one org, with the numbers of another."""
        cells = dict(self.entries(CELLS))
        a, b = self.id_of("a"), self.id_of("b")
        key = next(key for key in cells if key[16:24] == a)
        self.put(CELLS, key, cells[key[:16] + b + key[24:]])
        for said in self.said(1):
            self.assertRegex(said, "^poise verify: plant(/[a-z]+)* at a differs, .*score 30 live and 20 again")
            self.assertIn("lo 30 live and 20 again", said)
        for org, code in (("a", 1), ("b", 0)):
            self.aggregator.start()
            run(POISE, "verify", "--from", self.aggregator.query, "plant", "--org", org, check=code)
            self.aggregator.kill()

    def test_an_org_of_another_name(self):
        self.put(ORGS, self.id_of("b"), "ghost".encode().hex())
        for said in self.said(1):
            self.assertRegex(said, "^poise verify: plant(/[a-z]+)* at b is in the journal, and has no live score\n$")

    def test_an_org_that_never_was(self):
        last = max(key for key, _ in self.entries(ORGS))
        ghost = struct.pack(">I", int(last, 16) + 1).hex()
        self.put(ORGS, ghost, "ghost".encode().hex())
        self.put(UNITS, ghost + "m".encode().hex(), "")
        for said in self.said(1):
            self.assertRegex(said, "^poise verify: plant(/[a-z]+)* at ghost has a live score, and is not in the journal\n$")


if __name__ == "__main__":
    system.main()
