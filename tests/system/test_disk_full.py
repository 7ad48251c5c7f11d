"""A full disk: nothing acknowledged is lost, questions are answered, and it goes on by itself when there is room."""
import os
import subprocess

import system
from system import POISE, Aggregator, Case, run

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


class DiskFull(Case):
    def test_full_and_room_again(self):
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = run("mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk, check=None)
        if mounted.returncode != 0:
            self.skipTest(f"cannot mount a small disk here: {mounted.stderr.strip()}")
        try:
            self.fill(disk)
        finally:
            if self.aggregator.process.poll() is None:
                self.aggregator.kill()
            run("umount", disk, check=None)

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
        ballast.unlink()
        self.assertEqual(sender.wait(60), 0)
        self.assertEqual(self.count(), MORE + 1)
        self.aggregator.kill()
        self.aggregator.start()
        self.assertEqual(self.count(), MORE + 1)

    def count(self):
        return [state for state in self.aggregator.get() if state["kind"] == "measure"][0]["count"]


if __name__ == "__main__":
    system.main()
