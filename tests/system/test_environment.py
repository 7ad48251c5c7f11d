"""Where an aggregator cannot work: it says why and what to do, exits with 1 or waits for room, and nothing is lost."""
import os
import re
import resource
import subprocess

import system
from system import AGGREGATOR, POISE, Aggregator, Case, run

CARD = """
scorecard: plant
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: m, aggregate: count, score: {linear: {from: 0, to: 10}}}
"""
ROW = "2026-03-02T10:00:00Z,m,,1,,,,,\n"
NOBODY = 65534


def crc32c(data):
    """Bit by bit: a reference, and slow."""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def set_format(data, number):
    """Gives a store's file another format number, with a right CRC."""
    image = bytearray(data.read_bytes())
    places = [found.end() for found in re.finditer(b"store", bytes(image))]
    changed = 0
    for at in places:
        value = image[at + 4:at + 32]
        if crc32c(b"store") ^ crc32c(value) == int.from_bytes(image[at:at + 4], "little"):
            value[:4] = number.to_bytes(4, "little")
            image[at:at + 4] = (crc32c(b"store") ^ crc32c(value)).to_bytes(4, "little")
            image[at + 4:at + 32] = value
            changed += 1
    data.write_bytes(image)
    return changed


class Environment(Case):
    def setUp(self):
        super().setUp()
        self.card = self.write("plant.yaml", CARD)
        self.aggregator = Aggregator(self.folder, [self.card], settings="free_floor: 1MiB\ncheckpoint: 200ms")
        self.store = self.folder / "store"

    def refuse(self, code, *texts, **options):
        """A start that must fail, with exit code 1 and the reason in the last line."""
        done = run(AGGREGATOR, "--config", self.aggregator.config, check=1, **options)
        last = done.stderr.strip().splitlines()[-1]
        for text in (f"code={code} ",) + texts:
            self.assertIn(text, last)

    def count(self):
        return [state for state in self.aggregator.get() if state["kind"] == "measure"][0]["count"]

    def limit(self, size):
        """Of files that the aggregator writes: a disk that is full for it alone."""
        resource.prlimit(self.aggregator.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def start_limited(self, size):
        soft = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, soft[1]))
        try:
            self.aggregator.start()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, soft)

    def sender(self, at, rows):
        path = self.write(f"rows-{at}.csv", system.HEADER + "".join(
            f"2026-03-02T10:00:00Z,m,,{(at + 1) * row / 7},,,,,\n" for row in range(rows)))
        return self.spawn(POISE, "send", "--to", self.aggregator.ingest, "--spool", self.folder / f"spool-{at}",
                          "--csv", path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def test_store_in_use(self):
        self.aggregator.start()
        self.send(ROW)
        self.refuse("EBUSY", "fuser")
        self.send(ROW)
        self.assertEqual(self.count(), 2)

    def test_directory_cannot_be_written(self):
        self.aggregator.start()
        self.send(ROW)
        self.aggregator.stop()
        self.store.chmod(0o555)
        self.folder.chmod(0o755)
        for file in self.store.iterdir():
            file.chmod(0o444)
        as_somebody = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
        self.refuse("EIO", "can write", **as_somebody)
        self.store.chmod(0o755)
        for file in self.store.iterdir():
            file.chmod(0o644)
        self.aggregator.start()
        self.assertEqual(self.count(), 1)

    def test_newer_format(self):
        self.aggregator.start()
        self.send(ROW)
        self.aggregator.stop()
        data = self.store / "data.mdb"
        self.assertGreater(set_format(data, 1000), 0)
        before = data.read_bytes()
        self.refuse("EVERSION", "format 1000", "use the version that wrote it")
        self.assertEqual(data.read_bytes(), before)
        set_format(data, 1)
        self.aggregator.start()
        self.assertEqual(self.count(), 1)

    def test_no_room_for_a_new_store(self):
        text = self.aggregator.config.read_text()
        self.aggregator.config.write_text(text.replace("1MiB", "900TiB"))
        self.refuse("EFULL", "make room")
        self.aggregator.config.write_text(text)
        self.aggregator.start()
        self.send(ROW)
        self.assertEqual(self.count(), 1)

    def test_no_room_at_a_start_and_in_the_middle(self):
        """Two producers meanwhile; it starts, answers, is killed, and goes on by itself when there is room."""
        self.aggregator.start()
        self.send(ROW)
        self.limit(1500000)
        senders = [self.sender(at, 150000) for at in range(2)]
        self.aggregator.wait_log("no_room")
        counted = self.count()
        self.assertLess(counted, 300001)
        self.aggregator.kill()
        size = (self.store / "data.mdb").stat().st_size
        start = self.aggregator.log.stat().st_size
        self.start_limited(size)
        self.aggregator.wait_log("no_room", start)
        self.assertGreaterEqual(self.count(), counted)
        self.assertTrue(any(sender.poll() is None for sender in senders), "there was room for all")
        self.limit(resource.RLIM_INFINITY)
        for sender in senders:
            self.assertEqual(sender.wait(60), 0)
        self.assertEqual(self.count(), 300001)
        self.aggregator.wait_log("room_again", start)
        self.aggregator.kill()
        self.aggregator.start()
        self.assertEqual(self.count(), 300001)


if __name__ == "__main__":
    system.main()
