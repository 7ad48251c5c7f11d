"""Backups of a running aggregator, stores restored from them, and collectors that send again what these lack."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import system
from system import COLLECTOR, POISE, Aggregator, Case, run

CARD = """
scorecard: plant
period: month
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: rows, input: m, aggregate: count, score: {linear: {from: 0, to: 100000}}}
          - {id: total, input: m, aggregate: sum, score: {linear: {from: 0, to: 100000}}}
          - {id: top, input: m, aggregate: max, score: {linear: {from: 0, to: 100000}}}
"""

COLLECT = """
producer: line
aggregator: {ingest}
spool: spool-line
dead_letters: dead.jsonl
batch_rows: 100
sources:
  - csv: {{path: input.csv, follow: true}}
    time: {{column: at, format: rfc3339}}
    org: 'line-{{line}}'
    measurements: [{{measure: m, value: {{column: n}}}}]
"""


def rows(start, count):
    return "".join(f"2026-03-{at % 28 + 1:02d}T10:00:00Z,m,line-{at % 7},{at},,,,,\n" for at in range(start, start + count))


class Backup(Case):
    def setUp(self):
        super().setUp()
        self.card = self.write("plant.yaml", CARD)
        self.backups = self.folder / "backups"
        self.open("backups: backups\ncheckpoint: 300ms")

    def open(self, settings):
        self.aggregator = Aggregator(self.folder, [self.card], settings=settings).start()

    def backup(self, name, check=0):
        return run(POISE, "backup", "--from", self.aggregator.query, name, check=check)

    def restore(self, name, check=0):
        return run(POISE, "restore", self.backups / name, self.folder / "store", check=check)

    def verify(self, path, check=0):
        return run(POISE, "verify", "--store", path, check=check)

    def values(self):
        states = self.aggregator.get("plant")
        return {state["node"].split("/")[-1]: state["value"] for state in states if state["kind"] == "measure"}

    def expect(self, count):
        self.assertEqual(self.values(), {"rows": count, "total": count * (count - 1) / 2, "top": count - 1})

    def start_sender(self, start, count):
        path = self.write(f"rows-{start}.csv", system.HEADER + rows(start, count))
        return self.spawn(POISE, "send", "--to", self.aggregator.ingest, "--spool", self.folder / f"spool-{start}",
                          "--csv", path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def go_back_to(self, name):
        """As after the loss of a disk: the aggregator dies, its store is gone, and a backup takes its place."""
        self.aggregator.kill()
        shutil.rmtree(self.folder / "store")
        self.restore(name)
        self.aggregator.start()

    def test_what_the_backup_lacks_comes_again(self):
        self.write("collect.yaml", COLLECT.format(ingest=self.aggregator.ingest))
        source = self.folder / "input.csv"
        with open(source, "w", encoding="utf-8") as out:
            out.write("at,line,n\n")
            collector = self.spawn(COLLECTOR, "--config", self.folder / "collect.yaml", stderr=subprocess.DEVNULL)

            def grow(start, end):
                out.writelines(f"2026-03-{at % 28 + 1:02d}T10:00:00Z,{at % 7},{at}\n" for at in range(start, end))
                out.flush()
                self.wait_count(end)

            grow(0, 5000)
            self.backup("older")
            grow(5000, 12000)
            before = self.aggregator.get("plant", "--all-orgs")
            self.go_back_to("older")
            self.wait_count(12000)  # nobody told the collector anything
            self.expect(12000)
            self.same_states(self.aggregator.get("plant", "--all-orgs"), before)
            grow(12000, 13000)
            self.expect(13000)
            run(POISE, "verify", "--from", self.aggregator.query)
            self.assertIsNone(collector.poll())
            # once more, with the collector away meanwhile
            collector.kill()
            collector.wait()
            self.go_back_to("older")
            self.expect(5000)
            self.spawn(COLLECTOR, "--config", self.folder / "collect.yaml", stderr=subprocess.DEVNULL)
            self.wait_count(13000)
            self.expect(13000)

    def wait_count(self, count):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if self.values().get("rows") == count:
                    return
            except AssertionError:  # nothing is there yet
                pass
            time.sleep(0.02)
        self.fail(f"{self.values()}, not {count} rows")

    def test_backups_under_load_and_kill(self):
        senders = [self.start_sender(0, 150000), self.start_sender(150000, 150000)]
        while run(POISE, "get", "--from", self.aggregator.query, check=None).returncode != 0:
            pass  # until something is there
        for at in range(3):
            self.assertIn("up to record", self.backup(f"hot-{at}").stdout)
        for at in range(4):
            asked = threading.Thread(target=run, args=(POISE, "backup", "--from", self.aggregator.query, "--timeout", "300ms",
                                                       f"cut-{at}"), kwargs={"check": None})
            asked.start()
            while not (self.backups / f".cut-{at}.part").exists() and not (self.backups / f"cut-{at}").exists():
                time.sleep(0.0005)
            self.aggregator.kill()
            asked.join()
            self.aggregator.start()
        for sender in senders:
            self.assertEqual(sender.wait(90), 0)
        self.expect(300000)
        self.backup("last")
        self.assertEqual([name for name in os.listdir(self.backups) if name.startswith(".")], [])
        for name in os.listdir(self.backups):  # whatever has its name is whole
            said = self.verify(self.backups / name).stdout
            self.assertIn("whole", said)
            self.assertRegex(said, "[1-9][0-9]* scores as of 2026-03-28.* are what the journal says")
        self.aggregator.stop()
        self.assertIn("whole", self.verify(self.folder / "store").stdout)
        count = 300000
        for name in ("hot-0", "last"):  # the rest comes from the spools of `poise send`, when they are used again
            shutil.rmtree(self.folder / "store")
            self.restore(name)
            self.aggregator.start()
            for start in (0, 150000):
                self.send(rows(count, 1), spool=f"spool-{start}")
                count += 1
            self.expect(count)
            run(POISE, "verify", "--from", self.aggregator.query)
            self.aggregator.stop()

    def test_an_order_that_was_lost_is_told(self):
        """By a kill in the backup: nobody waits for his timeout of an hour."""
        self.send(rows(0, 20000))
        audit = self.folder / "store" / "audit.jsonl"
        for n in range(100):  # the order may be quicker
            order = subprocess.Popen([POISE, "backup", "--from", self.aggregator.query, f"n{n}"], stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE, text=True)
            while order.poll() is None and (not audit.exists() or f'"n{n}"' not in audit.read_text()):
                pass
            self.aggregator.process.send_signal(signal.SIGSTOP)
            time.sleep(0.3)
            if order.poll() is None:
                break
            order.communicate()
            self.aggregator.process.send_signal(signal.SIGCONT)
        self.aggregator.kill()
        self.aggregator.start()
        self.assertIn("its audit log says", order.communicate(timeout=30)[1])
        self.assertEqual(order.returncode, 1)
        self.backup("next")

    def test_refusals(self):
        self.send(rows(0, 100))
        for name in ("..", ".x", "a/b", "/tmp/x", "a b", "x" * 65, ""):
            done = self.backup(name, check=1)
            self.assertIn("is no name for a backup", done.stderr)
        self.backup("one")
        told = self.aggregator.wait_log("backed_up")
        found = re.search(r" backed_up name=one lsn=[1-9][0-9]* bytes=[1-9][0-9]* ms=([0-9]+) held_ms=([0-9]+)", told)
        self.assertTrue(found and int(found[2]) <= int(found[1]), told)
        self.assertIn("there already", self.backup("one", check=1).stderr)
        self.assertRegex(self.aggregator.wait_log("backup_failed"), ' backup_failed name=one reason=".*there already')
        self.assertEqual(os.listdir(self.backups), ["one"])
        self.assertIn("in use", self.verify(self.folder / "store", check=1).stderr)
        self.assertIn("there already", self.restore("one", check=1).stderr)
        done = run(POISE, "restore", self.backups / "two", self.folder / "new", check=1)
        self.assertIn("No such", done.stderr)
        self.assertFalse((self.folder / "new").exists())
        self.assertEqual(run(POISE, "restore", self.backups / "one", check=2).returncode, 2)
        self.aggregator.stop()
        # an aggregator does not write to a backup
        config = self.aggregator.config.read_text()
        self.aggregator.config.write_text(config.replace("store: store", f"store: {self.backups}/one"))
        done = run(system.AGGREGATOR, "--config", self.aggregator.config, check=1)
        self.assertIn("is a backup: `poise restore", done.stderr)
        # nor does it write one where none is wanted
        self.aggregator.config.write_text(config.replace("backups: backups\n", ""))
        self.aggregator.start()
        self.assertIn("set `backups:`", self.backup("three", check=1).stderr)

    def test_damage(self):
        self.send(rows(0, 20000))
        self.backup("one")
        data = self.backups / "one" / "data.mdb"
        sound = data.read_bytes()
        places = [match.start() for match in re.finditer(b"line-3", sound)]  # of rows; some lie in pages that are free by now
        found = 0
        for at in places[:: len(places) // 8 + 1] + [16]:  # and the database's magic
            data.write_bytes(sound[:at] + bytes([sound[at] ^ 4]) + sound[at + 1:])
            found += "damaged" in self.verify(self.backups / "one", check=None).stderr
        self.assertGreater(found, 1)
        self.aggregator.kill()
        shutil.move(self.folder / "store", self.folder / "away")
        self.assertIn("damaged", self.restore("one", check=1).stderr)
        self.assertFalse((self.folder / "store").exists())
        data.write_bytes(sound)
        self.restore("one")
        self.aggregator.start()
        self.expect(20000)

    def test_a_killed_check_is_no_damage(self):
        self.backup("one")
        data = self.backups / "one" / "data.mdb"
        data.unlink()
        os.mkfifo(data)  # the process that checks waits for who writes to it
        verify = self.spawn(POISE, "verify", "--store", self.backups / "one", stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
        children = pathlib.Path(f"/proc/{verify.pid}/task/{verify.pid}/children")
        until = time.monotonic() + 60
        while not children.read_text().split():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)
        os.kill(int(children.read_text().split()[0]), signal.SIGKILL)  # as where memory is short
        said = verify.communicate(timeout=60)[1]
        self.assertEqual(verify.returncode, 1)
        self.assertIn("ended by signal 9", said)
        self.assertNotIn("damaged", said)

    @contextlib.contextmanager
    def read_only(self, folder):
        mounted = run("mount", "--bind", folder, folder, check=None)
        if mounted.returncode != 0:
            self.skipTest(f"cannot mount here: {mounted.stderr.strip()}")
        try:
            run("mount", "-o", "remount,bind,ro", folder)
            yield
        finally:
            run("umount", folder)

    def test_from_a_read_only_disk(self):
        self.send(rows(0, 1000))
        self.backup("one")
        self.aggregator.stop()
        store = self.folder / "store"
        with self.read_only(store):
            self.assertIn("whole", self.verify(store).stdout)
            self.assertRaises(OSError, (store / "probe").touch)
            run(POISE, "restore", store, self.folder / "copy")
        self.assertIn("whole", self.verify(self.folder / "copy").stdout)
        shutil.rmtree(store)
        with self.read_only(self.backups):
            self.assertIn("whole", self.verify(self.backups / "one").stdout)
            self.restore("one")
        self.aggregator.start()
        self.expect(1000)

    def test_disk_of_backups_is_full(self):
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = run("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk, check=None)
        if mounted.returncode != 0:
            self.skipTest(f"cannot mount a small disk here: {mounted.stderr.strip()}")
        try:
            self.aggregator.stop()
            self.open(f"backups: {disk}/backups\nfree_floor: 1MiB")
            self.send(rows(0, 100))
            self.backup("one")
            self.send(rows(100, 99900))
            self.assertRegex(self.backup("two", check=1).stderr, "make room|full")
            self.aggregator.wait_log("backup_failed")
            self.assertEqual(os.listdir(disk / "backups"), ["one"])
            self.send(rows(100000, 100))  # nobody else minds
            self.expect(100100)
        finally:
            self.aggregator.kill()
            run("umount", disk, check=None)


if __name__ == "__main__":
    system.main()
