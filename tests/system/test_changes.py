"""What follows an aggregator misses no change unknowingly: poise watch, and poise changes with its cursor, across
kill -9 of either side."""
import csv
import io
import json
import random
import subprocess
import threading
import time

import system
from system import POISE, Aggregator, Case, run

CARD = """
scorecard: plant
period: month
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: rows, input: m, aggregate: count, score: {linear: {from: 0, to: 3000}}}
          - {id: total, input: m, aggregate: sum, score: {linear: {from: 0, to: 60000}}}
"""


def row(at):
    """Most are of March; each ninth is late, and so revises February."""
    month = 2 if at % 9 == 8 else 3
    return f"2026-{month:02d}-{at % 28 + 1:02d}T10:00:00.000Z,m,line-{at % 7},{at % 40},1,,,,\n"


class Load(threading.Thread):
    """Sends rows without a pause until it is told to end; all of them are acknowledged then."""

    def __init__(self, case):
        super().__init__(daemon=True)
        self.case, self.sent, self.end, self.failure = case, 0, threading.Event(), None

    def run(self):
        try:
            while not self.end.is_set():
                path = self.case.write("load.csv", system.HEADER + "".join(row(self.sent + i) for i in range(40)))
                run(POISE, "send", "--to", self.case.aggregator.ingest, "--spool", self.case.folder / "load", "--csv", path)
                self.sent += 40
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def stop(self):
        self.end.set()
        self.join(90)
        if self.failure:
            raise self.failure


def key(state):
    return state["org"], state["node"]


def plain(state):
    """Without the time that a message, not the node, has, and what says which change it is."""
    return {name: value for name, value in state.items() if name not in ("as_of", "lsn", "number", "settled", "definition")}


class Changes(Case):
    def setUp(self):
        super().setUp()
        self.random = random.Random(5)
        self.aggregator = Aggregator(self.folder, [self.write("plant.yaml", CARD)],
                                     settings="settle: 5ms\ncheckpoint: 300ms").start()

    def changes(self, *more, check=0, **options):
        return run(POISE, "changes", "--from", self.aggregator.query, *more, check=check, **options)

    def log(self, *more):
        return [json.loads(line) for line in self.changes("--format", "jsonl", *more).stdout.splitlines()]

    def stat(self, name):
        return json.loads(run(POISE, "stats", "--json", "--from", self.aggregator.query).stdout)[name]

    def bounce(self, load):
        """Kills the aggregator once some more was counted, and starts it again."""
        before, until = load.sent, time.monotonic() + 60
        while load.sent < before + 80:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)
        time.sleep(self.random.random() / 20)  # somewhere in what comes then
        self.aggregator.kill()
        self.aggregator.start()

    def test_watch_goes_on_behind_a_killed_aggregator(self):
        self.send(row(0))
        with open(self.folder / "seen", "w", encoding="utf-8") as seen:
            watch = self.spawn(POISE, "watch", "--from", self.aggregator.query, "--all-orgs", "--format", "json",
                               stdout=seen, stderr=subprocess.PIPE)
        self.await_(lambda: self.seen())
        load = Load(self)
        load.start()
        for _ in range(3):
            self.bounce(load)
            self.await_(lambda: self.stat("poise_resumed") == 1)
            self.assertEqual(self.stat("poise_snapshots"), 0)
        load.stop()
        present = {key(state): plain(state) for state in self.aggregator.get("plant", "--all-orgs")}
        self.await_(lambda: {key(state): plain(state) for state in self.seen() if not state["revision"]} == present)
        watch.terminate()
        self.assertEqual(watch.wait(30), 0)
        log = self.log()
        told = [state for state in self.seen() if state["revision"]]
        self.assertEqual([plain(state) for state in told], [plain(change) for change in log if change["revision"]])
        self.assertGreater(len(told), 20)

    def test_an_alarm_of_ones_own(self):
        """examples/c/alarms.c: with the second batch one of two measures is green."""
        low, high = ("2026-03-01T10:00:00.000Z,m,a,%d,1,,,,\n" % value for value in (1, 50000))
        alarms = self.spawn(system.BUILD / "tests" / "examples" / "example_alarms", self.aggregator.query,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def expect(status):
            wanted = {f"{node} {org}: {status}" for node in ("plant", "plant/internal", "plant/internal/quality")
                      for org in ("a", "(root)")}
            self.assertEqual({alarms.stdout.readline().strip() for _ in range(6)}, wanted)

        self.send(low)
        expect("red")
        self.aggregator.kill()
        self.aggregator.start()
        self.send(low)  # which changes no status
        self.send(high * 2)
        expect("amber")
        alarms.stdin.close()
        self.assertEqual(alarms.wait(30), 0)
        self.assertEqual(alarms.stdout.read(), "")

    def seen(self):
        text = (self.folder / "seen").read_text()
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def await_(self, wanted):
        until = time.monotonic() + 60
        while not wanted() and time.monotonic() < until:
            time.sleep(0.05)
        self.assertTrue(wanted())

    def test_each_change_is_written_once(self):
        """Reader and aggregator are killed again and again."""
        out, cursor = self.folder / "out.csv", self.folder / "cursor"
        load = Load(self)
        load.start()
        kills = 0
        for round_ in range(12):
            reader = self.spawn(POISE, "changes", "--from", self.aggregator.query, "--output", out, "--cursor-file", cursor,
                                stderr=subprocess.PIPE)
            if round_ % 4 == 3:
                self.bounce(load)
            elif round_ % 2:
                time.sleep(self.random.random() / 20)
                reader.kill()
                kills += reader.wait() != 0
            if round_ % 2 == 0 or round_ % 4 == 3:
                self.assertEqual(reader.wait(60), 0, reader.stderr.read())
        load.stop()
        self.changes("--output", out, "--cursor-file", cursor)
        everything = self.changes().stdout
        self.assertEqual(out.read_text(), everything)
        rows = list(csv.DictReader(io.StringIO(everything)))
        numbers = [(int(row["lsn"]), int(row["number"])) for row in rows]
        self.assertEqual(numbers, sorted(set(numbers)))
        for before, after in zip(numbers, numbers[1:]):  # a settle is whole
            self.assertEqual(after[1], before[1] + 1 if after[0] == before[0] else 1)
        self.same_as_get({key(row): row for row in rows if not row["revision"]})
        length = out.stat().st_size
        with open(out, "a", encoding="utf-8") as file:  # as a crash may leave it
            file.write("7,1,half a li")
        self.changes("--output", out, "--cursor-file", cursor)
        self.assertEqual(out.read_text()[:length], everything)
        self.assertNotIn("half a li", out.read_text())

    def same_as_get(self, folded):
        live = list(csv.DictReader(io.StringIO(run(POISE, "get", "--from", self.aggregator.query, "--all-orgs", "plant",
                                                   "--format", "csv").stdout)))
        self.assertEqual({key(state): plain(state) for state in live},
                         {at: plain({name: state[name] for name in live[0]}) for at, state in folded.items()})

    def test_a_snapshot_and_what_follows(self):
        self.send("".join(row(at) for at in range(50)))
        options = ["--snapshot", "--output", self.folder / "out.csv", "--cursor-file", self.folder / "cursor"]
        self.changes(*options)
        first = (self.folder / "out.csv").read_text()
        self.assertEqual({line.split(",")[1] for line in first.splitlines()[1:]}, {"0"})
        self.send("".join(row(at) for at in range(50, 90)))
        self.changes(*options)
        rows = list(csv.DictReader(io.StringIO((self.folder / "out.csv").read_text())))
        self.assertGreater(len(rows), len(first.splitlines()))
        self.same_as_get({key(row): row for row in rows if not row["revision"]})

    def test_filters(self):
        self.send("".join(row(at) for at in range(30)))
        log = self.log()
        self.assertEqual(self.log("--kind", "scorecard"), [change for change in log if change["kind"] == "scorecard"])
        self.assertEqual(self.log("--changes", "revisions"), [change for change in log if change["revision"]])
        self.assertEqual(self.log("--changes", "numbers", "--org", "line-*", "--node", "plant/internal/quality/rows"),
                         [change for change in log if not change["revision"] and change["org"]
                          and change["node"].endswith("/rows")])
        self.assertEqual(self.log("other"), [])
        said = " ".join(self.changes("--changes", "status", check=2).stderr.split())
        self.assertIn("`poise watch --changes status`", said)
        self.assertIn("keep the lines whose status differs", said)

    def test_a_cursor_of_what_was_trimmed(self):
        """The journal keeps little: who comes too late is told, and begins anew with a snapshot."""
        self.aggregator.stop()
        self.aggregator = Aggregator(self.folder, [self.folder / "plant.yaml"],
                                     settings="settle: 5ms\ncheckpoint: 100ms\njournal: 64KiB\ncompact: 64KiB").start()
        options = ["--output", self.folder / "out.csv", "--cursor-file", self.folder / "cursor"]
        self.send(row(0))
        self.changes(*options)
        cursor = (self.folder / "cursor").read_text()
        for at in range(1, 3000, 1000):
            self.send("".join(row(at + i) for i in range(1000)))
        until = time.monotonic() + 60
        while (done := self.changes(*options, check=None)).returncode == 0 and time.monotonic() < until:
            (self.folder / "cursor").write_text(cursor.split()[0] + " -1\n")
            self.send("".join(row(i) for i in range(300)))
        self.assertIn("were trimmed", done.stderr)
        for name in ("out.csv", "cursor"):
            (self.folder / name).unlink()
        self.changes(*options, "--snapshot")
        self.send("".join(row(i) for i in range(40)))
        self.changes(*options, "--snapshot")
        rows = list(csv.DictReader(io.StringIO((self.folder / "out.csv").read_text())))
        self.same_as_get({key(row): row for row in rows if not row["revision"]})

    def test_cursors_that_are_none(self):
        self.send(row(0))
        cursor = self.changes().stderr.split()[-1]
        self.assertEqual(self.changes("--after", cursor, "--format", "jsonl").stdout, "")
        self.assertIn("is no cursor", self.changes("--after", "12x", check=1).stderr)
        other = cursor[:-1] + ("0" if cursor[-1] != "0" else "1")
        self.assertIn("none of a page", self.changes("--after", other, check=1).stderr)
        (self.folder / "other").mkdir()
        self.aggregator.stop()
        self.aggregator = Aggregator(self.folder / "other", [self.folder / "plant.yaml"]).start()
        self.assertIn("another store", self.changes("--after", cursor, check=1).stderr)
        broken = self.write("broken", "what\n")
        self.assertIn("no cursor file", self.changes("--cursor-file", broken, check=1).stderr)
        self.changes("--output", self.folder / "out.csv", "--cursor-file", self.folder / "cursor")
        (self.folder / "out.csv").write_text("")
        self.assertIn("some of it was lost", self.changes("--output", self.folder / "out.csv", "--cursor-file",
                                                          self.folder / "cursor", check=1).stderr)


if __name__ == "__main__":
    system.main()
