"""A full disk: nothing acknowledged is lost, questions are answered, and it goes on by itself when there is room."""
import contextlib
import json
import os
import subprocess
import time

import system
from system import COLLECTOR, POISE, Aggregator, Case, run

CARD = """
scorecard: plant
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: m, aggregate: count, score: {linear: {from: 0, to: 10}}}
"""

MORE = 200000  # rows that do not fit into what is left of the disk


COLLECT = """
producer: line
aggregator: {ingest}
spool: disk/spool
dead_letters: dead.jsonl
batch_rows: 100
sources:
  - csv: {{path: rows.csv}}
    time: {{column: at, format: rfc3339}}
    measurements: [{{measure: m, value: {{column: n}}}}]
"""


class DiskFull(Case):
    @contextlib.contextmanager
    def small_disk(self, size):
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk, check=None)
        if mounted.returncode != 0:
            self.skipTest(f"cannot mount a small disk here: {mounted.stderr.strip()}")
        try:
            yield disk
        finally:
            for process in [self.aggregator.process, *self.children]:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            run("umount", disk, check=None)

    def test_full_and_room_again(self):
        with self.small_disk("6m") as disk:
            self.fill(disk)

    def test_a_spool_on_a_small_disk(self):
        """It has less room than one segment of a spool, and others fill it; what is acknowledged makes room."""
        with self.small_disk("512k") as disk:
            rows = self.folder / "rows.csv"
            rows.write_text("at,n\n" + "".join(f"2026-03-02T10:00:00Z,{at / 7}\n" for at in range(60000)))
            self.aggregator = Aggregator(self.folder, [self.write("plant.yaml", CARD)])
            config = self.write("collect.yaml", COLLECT.format(ingest=self.aggregator.ingest))
            collector = self.spawn(COLLECTOR, "--config", config, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in range(2000):  # until it stands still
                before = os.statvfs(disk).f_bavail
                time.sleep(0.3)
                if before == os.statvfs(disk).f_bavail < 20:
                    break
            self.assertIsNone(collector.poll())
            self.aggregator.start()
            run(POISE, "watch", "--from", self.aggregator.query, "--for", "10s", "--count", "1")
            collector.terminate()
            self.assertEqual(collector.wait(60), 0)
            run(COLLECTOR, "--config", config, "--once", "--timeout", "60s")
            self.assertEqual(self.count(), 60000)

    def fill(self, disk):
        card = self.write("plant.yaml", CARD)
        self.aggregator = Aggregator(self.folder, [card], settings="free_floor: 1MiB\nlog: info")
        self.aggregator.config.write_text(self.aggregator.config.read_text().replace("store: store", f"store: {disk}/store"))
        self.aggregator.start()
        ballast = disk / "ballast"
        self.send("2026-03-02T10:00:00Z,m,,1,,,,,\n")
        ballast.write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - 900000))
        rows = self.write("more.csv", system.HEADER + "".join(
            f"2026-03-02T10:00:00Z,m,,{at / 7},,,,,\n" for at in range(MORE)))
        sender = self.spawn(POISE, "send", "--to", self.aggregator.ingest, "--spool", self.folder / "spool2", "--csv",
                            rows, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.aggregator.wait_log("no_room")
        counted = self.count()  # questions are answered meanwhile
        self.assertLess(counted, MORE)
        self.assertIsNone(sender.poll())
        self.assertEqual(self.count(), counted)
        while self.stat("poise_spool_age_ms") < 1000:  # what waits is known here, too
            time.sleep(0.1)
        self.assertGreater(self.stat("poise_spool_bytes"), 0)
        ballast.unlink()
        self.assertEqual(sender.wait(60), 0)
        self.assertEqual(self.count(), MORE + 1)
        self.aggregator.kill()
        self.aggregator.start()
        self.assertEqual(self.count(), MORE + 1)

    def stat(self, name):
        return json.loads(run(POISE, "stats", "--json", "--from", self.aggregator.query).stdout)[name]

    def count(self):
        return [state for state in self.aggregator.get() if state["kind"] == "measure"][0]["count"]


if __name__ == "__main__":
    system.main()
