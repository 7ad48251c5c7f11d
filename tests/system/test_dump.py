"""poise dump, import and stats: what was counted comes out and goes in again, across restarts and interruptions."""
import fcntl
import hashlib
import json
import os
import pty
import re
import resource
import subprocess
import time

import system
from system import POISE, Aggregator, Case, run

CARD = """
scorecard: plant
period: month
%s
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: rows, input: m, aggregate: count, score: {linear: {from: 0, to: 100000}}}
          - {id: total, input: m, aggregate: sum, score: {linear: {from: 0, to: 100000}}}
          - {id: latest, input: m, aggregate: last, score: {linear: {from: 0, to: 100000}}}
"""


def rows(start, count):
    return "".join(f"2026-03-{at % 28 + 1:02d}T10:00:00.000Z,m,line-{at % 7},{at},1,,,,\n"
                   for at in range(start, start + count))


class Base(Case):
    MORE = ""

    def setUp(self):
        super().setUp()
        self.card = self.write("plant.yaml", CARD % self.MORE)
        self.aggregator = Aggregator(self.folder, [self.card]).start()

    def dump(self, *more, check=0):
        return run(POISE, "dump", "--from", self.aggregator.query, *more, check=check)

    def import_command(self, *more, spool="import-spool"):
        return [POISE, "import", "--to", self.aggregator.ingest, "--spool", self.folder / spool, *more]

    def import_(self, *more, check=0, **options):
        return run(*self.import_command(*more), check=check, **options)

    def stats(self):
        return json.loads(run(POISE, "stats", "--json", "--from", self.aggregator.query).stdout)

    def await_stat(self, name, wanted):
        until = time.monotonic() + 60
        while not wanted(self.stats()[name]):
            self.assertLess(time.monotonic(), until, name)
            time.sleep(0.02)

    def counted(self):
        states = self.aggregator.get("plant")
        return {state["node"].split("/")[-1]: state["value"] for state in states if state["kind"] == "measure"}


class Dump(Base):
    def test_a_dump_goes_on_behind_restarts(self):
        self.send(rows(0, 150000))
        dump = self.spawn(POISE, "dump", "--from", self.aggregator.query, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        got = [dump.stdout.readline() for _ in range(1000)]  # the pipe is full: it stands still in the middle
        for end in (self.aggregator.stop, self.aggregator.kill):
            end()
            self.aggregator.start()
            self.send(rows(150000, 1000))  # none of the dump
            got += [dump.stdout.readline() for _ in range(40000)]
        self.aggregator.kill()
        self.aggregator.start()
        got.append(dump.stdout.read())
        self.assertEqual(dump.wait(60), 0, dump.stderr.read())
        self.assertEqual("".join(got), system.HEADER + rows(0, 150000))

    def test_a_dump_without_an_aggregator(self):
        self.aggregator.stop()
        self.assertIn("no answer from", self.dump("--timeout", "300ms", check=1).stderr)
        out = self.folder / "out.csv"
        self.dump("--timeout", "300ms", "--output", out, check=1)
        self.assertEqual([path.name for path in self.folder.glob("out*")], [])

    def test_files_get_their_names_when_they_are_whole(self):
        self.send(rows(0, 10))
        out = self.folder / "out.jsonl"
        self.assertEqual(self.dump("--output", out).stdout, f"10 measurements in {out}\n")
        self.assertEqual(json.loads(out.read_text().splitlines()[3]), {
            "time": "2026-03-04T10:00:00.000Z", "measure": "m", "org": "line-3", "value": 3})
        self.dump("--output", out, "--org", "line-1", "--format", "csv")
        self.assertEqual(out.read_text(), system.HEADER + rows(1, 1) + rows(8, 1))
        self.dump("--output", "/dev/null")
        self.assertIn("opening", self.dump("--output", self.folder / "none" / "out.csv", check=1).stderr)
        self.assertIn("No space", self.dump("--output", "/dev/full", check=1).stderr)
        self.assertEqual(sorted(path.name for path in self.folder.glob("out*")), ["out.jsonl"])

    def test_two_dumps_to_one_file(self):
        self.send(rows(0, 10))
        out, part = self.folder / "out.csv", self.folder / "out.csv.part"
        part.write_text("of the other")
        with part.open("a") as other:  # as the other has it until it has given it its name
            fcntl.flock(other, fcntl.LOCK_EX)
            self.assertIn("another dump writes", self.dump("--output", out, check=1).stderr)
            self.assertEqual(part.read_text(), "of the other")
        self.dump("--output", out)  # of one that was killed
        self.assertEqual(out.read_text(), system.HEADER + rows(0, 10))
        self.assertFalse(part.exists())

    def test_an_interrupted_import_goes_on(self):
        """Killed again and again, without keys: every measurement counts once."""
        parts = [self.folder / "a.csv", self.folder / "b.jsonl"]
        parts[0].write_text(system.HEADER + rows(0, 60000))
        parts[1].write_text("".join(json.dumps({"time": "2026-03-05T00:00:00Z", "measure": "m", "value": at}) + "\n"
                                    for at in range(60000, 150000)))
        for kills in range(6):
            child = self.spawn(*self.import_command(*parts), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            before = self.stats()["poise_rows_accepted"]
            self.await_stat("poise_rows_accepted", lambda now, before=before: now > before or child.poll() is not None)
            if child.poll() is not None:
                break
            if kills < 5:
                child.kill()
                child.wait()
        out, problems = child.communicate()
        self.assertEqual(child.returncode, 0, problems)
        self.assertGreater(kills, 0)
        self.assertRegex(out, r"\d+ had been taken by the import that was interrupted")
        self.assertEqual(self.counted()["rows"], 150000)
        self.assertEqual(self.counted()["total"], 150000 * 149999 / 2)
        self.import_(parts[0])  # a new one, since the last was done
        self.assertEqual(self.counted()["rows"], 210000)

    def interrupt(self, path, *more):
        """Has an import of a file taken and not done: nobody is there to acknowledge it."""
        self.aggregator.stop()
        self.assertIn("goes out with the next `poise import`", self.import_("--timeout", "200ms", path, *more, check=1).stderr)
        self.aggregator.start()

    def test_another_import_after_an_interrupted_one(self):
        first = self.write("first.csv", system.HEADER + rows(0, 1000))
        other = self.write("other.csv", system.HEADER + rows(5000, 10))
        alike = self.write("alike.csv", system.HEADER + rows(0, 500) + rows(2000, 600))
        shorter = self.write("shorter.csv", system.HEADER + rows(0, 20))
        self.interrupt(first)
        self.assertEqual(self.import_(first).stdout, "1000 counted, 0 refused\n"
                                                     "1000 had been taken by the import that was interrupted\n")
        self.assertEqual(self.counted()["rows"], 1000)
        for path, count in ((other, 10), (alike, 1100), (shorter, 20)):
            before = self.counted()["rows"]
            self.interrupt(first)
            done = self.import_(path)
            self.assertNotIn("interrupted", done.stdout)
            self.assertEqual(self.counted()["rows"], before + 1000 + count, path)
        before = self.counted()["rows"]
        self.interrupt(first)
        done = self.import_("-", input=alike.read_text(), check=1)
        self.assertIn("with --anew they are sent from the first one on", done.stderr)
        self.import_("--anew", "-", input=alike.read_text())
        self.assertEqual(self.counted()["rows"], before + 1000 + 1100)

    def test_refused_measurements_are_named(self):
        path = self.write("some.jsonl", '\ufeff{"time":"2026-03-05T00:00:00Z","measure":"m","value":1}\n'
                                        '{"time":"2026-03-05","measure":"m","value":1}\n'
                                        '{"time":"2026-03-05T00:00:00Z","measure":"nobody","value":1}\n'
                                        '{"time":"2026-03-05T00:00:00Z","measure":"m","value":1e200}\n')
        more = self.write("more.csv", system.HEADER + "x,m,,1,,,,,\n" + rows(0, 1))
        done = self.import_(path, more, check=1)
        self.assertEqual(done.stdout, "2 counted, 4 refused\n")
        self.assertEqual(sorted(re.findall(r"(\w+\.\w+:\d+): refused: ", done.stderr)),
                         ["more.csv:2", "some.jsonl:2", "some.jsonl:3", "some.jsonl:4"])
        self.assertEqual(done.stderr.count("\n"), 4)
        self.assertEqual(self.dump().stdout, system.HEADER + "2026-03-05T00:00:00.000Z,m,,1,1,,,,\n" + rows(0, 1))
        self.assertIn("column 'x' is unknown", self.import_("-", input="x\n", check=1).stderr)
        self.assertIn("opening", self.import_(self.folder / "absent.csv", check=1).stderr)

    def on_terminal(self, *command, output=subprocess.DEVNULL):
        """What it shows: its standard error is a terminal."""
        ours, theirs = pty.openpty()
        child = self.spawn(*command, stdout=output or theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
        os.close(theirs)
        shown = b""
        try:
            while more := os.read(ours, 65536):
                shown += more
        except OSError:
            pass  # EIO: the other end is closed
        os.close(ours)
        self.assertEqual(child.wait(60), 0)
        return shown.decode()

    def parts_shown(self, shown, more=""):
        """(percent, rows) of lines in place of each other, the last of which is wiped out."""
        self.assertEqual(shown[-4:], "\r\x1b[K", shown[-80:])
        lines = [re.fullmatch(r"\r\S{16} +(\d+) %  ([\d,]+) rows, [\d,]+ rows/s" + more, line)
                 for line in shown[:-4].split("\x1b[K")[:-1]]
        self.assertNotIn(None, lines, shown)
        parts = [(int(line[1]), int(line[2].replace(",", ""))) for line in lines]
        self.assertEqual(parts, sorted(parts))
        self.assertGreater(len(parts), 0)
        return parts

    def test_progress_is_for_terminals(self):
        self.assertEqual(self.import_(self.write("few.csv", system.HEADER + rows(0, 1000))).stderr, "")
        parts = [self.write(f"{count}.csv", system.HEADER + rows(1000, count)) for count in (100000, 400000)]
        dump, out = [POISE, "dump", "--from", self.aggregator.query], self.folder / "out.jsonl"
        for command in ([*self.import_command(*parts)], [*dump, "--output", out], [*self.import_command(out)]):
            more = ", [\\d,]+ acknowledged" if command[1] == "import" else ""
            for percent, count in self.parts_shown(self.on_terminal(*command), more):  # each 0.1 s, of some 0.5 s
                if more:  # a dump counts records, of whatever length
                    self.assertAlmostEqual(percent / 100, count / 500000, delta=0.1)
        self.assertGreaterEqual(self.parts_shown(self.on_terminal(*dump, "--standing"))[-1][0], 50)  # it reads twice
        day = ("--since", "2026-03-05T00:00:00Z", "--until", "2026-03-06T00:00:00Z")
        self.assertNotIn("%", self.on_terminal(*dump, *day, output=None))  # rows are on the terminal themselves
        self.assertEqual(self.dump(*day).stderr, "")

    def test_a_big_dump_takes_little_memory(self):
        """A million measurements: neither side holds them. A sanitizer's memory says nothing."""
        sanitized = any(name in POISE.read_bytes() for name in (b"__asan_init", b"__tsan_init"))
        path = self.write("big.csv", system.HEADER + rows(0, 100000 if sanitized else 1000000))
        wanted = hashlib.sha256(path.read_bytes()).hexdigest()
        self.import_(path, timeout=300)
        self.aggregator.stop()  # so that what it took to count them is not measured
        self.aggregator.start()
        before = self.peak_kib(self.aggregator.process.pid)
        out = self.folder / "out.csv"
        self.dump("--output", out)
        self.assertEqual(hashlib.sha256(out.read_bytes()).hexdigest(), wanted)
        if not sanitized:
            self.assertLess(self.peak_kib(self.aggregator.process.pid) - before, 100 << 10)  # the mapped journal is 14 MiB
            self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, 200 << 10)

    def peak_kib(self, pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmHWM:\s+(\d+)", status.read())[1])

    def scraped(self, text, now):
        """As Prometheus' parser wants it: a metric's lines together, behind its type; and the same numbers."""
        types, last, values = {}, None, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split()
                self.assertNotIn(name, types)
                types[name], last = kind, name
            elif not line.startswith("# HELP "):
                found = re.fullmatch(r'([a-z_]+)(\{[a-z]+="[^"]+"\})? ([0-9.e+]+)', line)
                self.assertTrue(found, line)
                name = re.sub("_(bucket|sum|count)$", "", found[1]) if types[last] == "histogram" else found[1]
                self.assertEqual(name, last, line)
                values[found[1] + (found[2] or "")] = float(found[3])
        self.assertEqual(types["poise_lsn"], "gauge")
        self.assertEqual(types["poise_commit_time_us"], "histogram")
        self.assertEqual(values['poise_table_entries{table="journal"}'], now["poise_lsn"])
        self.assertEqual(values["poise_map_bytes"], 1 << 30)
        self.assertEqual(set(now) - {"tables"}, {name for name in values if "{table=" not in name})

    def test_stats_say_how_large_the_store_is(self):
        self.aggregator.stop()
        self.aggregator = Aggregator(self.folder, [self.card], settings="checkpoint: 1h").start()
        self.send(rows(0, 700) + "2026-03-05T00:00:00Z,m,,5,,k1,,,\n2026-03-05T00:00:00Z,m,,6,,k2,,,\n")
        now = self.stats()
        self.assertEqual(now["poise_rows_accepted"], 702)
        self.assertEqual(now["poise_series"], 8)
        self.assertGreater(now["poise_free_bytes"], 0)
        self.assertEqual(now["poise_map_bytes"], 1 << 30)
        self.assertEqual(now["tables"]["journal"]["entries"], now["poise_lsn"])
        self.assertEqual((now["poise_journal_records"], now["poise_journal_lag"]), (now["poise_lsn"], now["poise_lsn"]))
        self.assertGreater(now["poise_journal_lag_bytes"], 700)  # a row takes more than a byte
        self.assertEqual(now["poise_used_bytes"], sum(table["bytes"] for table in now["tables"].values()))
        self.assertEqual(set(now["tables"]), set("head orgs sources units cells keys future revisions producers "
                                                 "definitions series meta journal state state_runs chunks runs "
                                                 "commits names remains".split()))
        self.aggregator.stop()
        self.aggregator.start()
        now = self.stats()  # the end wrote a checkpoint
        self.assertEqual((now["poise_journal_lag"], now["poise_journal_lag_bytes"], now["poise_keys"]), (0, 0, 2))
        text = run(POISE, "stats", "--from", self.aggregator.query).stdout
        self.assertRegex(text, r"(?m)^keys +2 +[0-9]+$")
        self.assertRegex(text, r"(?m)^poise_map_bytes +1,073,741,824$")
        self.assertRegex(text, r"(?m)^poise_commit_time_us p99 +[0-9-]+$")
        self.scraped(run(POISE, "stats", "--format", "prometheus", "--from", self.aggregator.query).stdout, now)
        self.aggregator.stop()
        self.assertIn("no answer from", run(POISE, "stats", "--timeout", "200ms", "--from", self.aggregator.query,
                                            check=1).stderr)


class Locked(Base):
    MORE = "lock_after: 10d"

    def test_restated_measurements_come_once(self):
        late = "2026-01-05T00:00:00.000Z,m,,5,1,,,,\n"
        self.send(rows(0, 3))
        self.send(late, check=1)
        self.assertEqual(self.dump().stdout, system.HEADER + rows(0, 3))
        run(POISE, "restate", "--from", self.aggregator.query, "--reason", "recount")
        self.send(rows(3, 2))
        self.assertEqual(self.dump().stdout, system.HEADER + rows(0, 3) + late + rows(3, 2))

    def test_what_was_restated_goes_in_again(self):
        """A dump gives the same scores elsewhere, once what is locked there is let in there, too."""
        self.send("2026-01-02T00:00:00.000Z,m,a,7,1,gone,1,,\n2026-01-03T00:00:00.000Z,m,b,8,1,moves,,,\n" + rows(0, 3))
        self.send("2026-01-05T00:00:00.000Z,m,,5,1,,,,\n,m,,,,gone,2,,true\n2026-02-01T00:00:00.000Z,m,c,9,1,moves,,,\n", check=1)
        held = self.counted()
        restate = [POISE, "restate", "--reason", "recount", "--from"]
        self.assertEqual(run(*restate, self.aggregator.query).stdout, "3 let in, 0 refused\n")
        dump = self.dump().stdout
        question = ("--all-orgs", "--history")
        states = self.aggregator.get("plant", *question)
        self.assertNotEqual(states, [])
        self.aggregator.stop()
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        self.aggregator = Aggregator(elsewhere, [self.card]).start()
        lines = dump.splitlines(keepends=True)  # in two parts: what is locked was so before the import
        self.assertEqual(self.import_("-", input="".join(lines[:6])).stdout, "5 counted, 0 refused\n")
        self.assertEqual(self.import_("-", input="".join(lines[:1] + lines[6:]), check=1).stdout, "0 counted, 3 refused\n")
        self.assertEqual(self.counted(), held)
        self.assertEqual(run(*restate, self.aggregator.query).stdout, "3 let in, 0 refused\n")
        self.same_states(self.aggregator.get("plant", *question), states)
        self.assertEqual(self.dump().stdout, dump)


if __name__ == "__main__":
    system.main()
