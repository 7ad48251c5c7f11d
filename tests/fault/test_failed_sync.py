"""A sync that fails ends the aggregator: it acknowledges nothing from then on, and a new start counts all once."""
import os
import struct
import subprocess
import unittest.mock

import system
from system import POISE, Aggregator, Case

FAILING = system.BUILD / "tests" / "fault" / "aggregator_of_failing_disk"
CARD = """
scorecard: plant
period: month
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: m, aggregate: count, score: {linear: {from: 0, to: 100}}}
"""


def rows(start, count):
    return "".join(f"2026-03-02T10:00:00Z,m,,{at},,,,,\n" for at in range(start, start + count))


class FailedSync(Case):
    def setUp(self):
        super().setUp()
        self.fail = self.folder / "fail"
        environment = {"POISE_FAIL": str(self.fail)}
        for patch in (unittest.mock.patch.object(system, "AGGREGATOR", FAILING),
                      unittest.mock.patch.dict(os.environ, environment)):
            patch.start()
            self.addCleanup(patch.stop)
        self.aggregator = Aggregator(self.folder, [self.write("plant.yaml", CARD)], settings="log: info").start()

    def count(self):
        return [state for state in self.aggregator.get() if state["kind"] == "measure"][0]["count"]

    def acknowledged(self, spool):
        path = self.folder / spool / "acked"
        return struct.unpack_from("<QQ", path.read_bytes())[1] if path.exists() and path.stat().st_size else 0

    def fails(self, what):
        self.send(rows(0, 10))
        self.assertEqual(self.count(), 10)
        self.fail.write_text(what)
        path = self.write("more.csv", system.HEADER + rows(10, 20))
        sender = self.spawn(POISE, "send", "--to", self.aggregator.ingest, "--spool", self.folder / "later", "--csv",
                            path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.assertEqual(self.aggregator.process.wait(60), 1)
        said = self.aggregator.log.read_text()
        self.assertRegex(said, r"nothing can be acknowledged: end the process, look at the disk, start it again")
        self.assertIsNone(sender.poll())
        self.assertEqual(self.acknowledged("later"), 0)
        self.fail.unlink()
        self.aggregator.start()
        self.assertEqual(sender.wait(60), 0)
        self.assertEqual(self.acknowledged("later"), 1)
        self.assertEqual(self.count(), 30)
        self.send(rows(30, 1))
        self.assertEqual(self.count(), 31)

    def test_of_the_data(self):
        self.fails("sync")

    def test_of_the_meta_page(self):
        self.fails("meta")

    def test_at_a_start(self):
        """What cannot be synced is not promised to anybody: it does not start."""
        self.aggregator.stop()
        self.fail.write_text("sync")
        done = system.run(FAILING, "--config", self.aggregator.config, check=1)
        self.assertIn("cannot write and sync the meta page", done.stderr)


if __name__ == "__main__":
    system.main()
