"""`poise send`, `get` and `watch` with an aggregator: test_live.py POISE AGGREGATOR."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

AGGREGATOR = sys.argv.pop(2)
POISE = sys.argv.pop(1)

CARD = """\
scorecard: %s
name: Acme
timezone: Europe/London
perspectives:
  - id: customer
    name: Customer
    objectives:
      - id: loyalty
        name: Loyalty
        measures:
          - {id: nps, name: Net promoter score, aggregate: mean, score: {linear: {from: 0, to: 60}}}
"""
NODES = 4
HEADER = "time,measure,org,value,of,key,seq,source,retract\n"
ROWS = HEADER + """\
2026-01-10T00:00:00Z,nps,plant-2,10,,survey,1,crm,
2026-02-10T00:00:00Z,nps,plant-1/line-3,30,,,,,
2026-02-11T00:00:00Z,nps,plant-1/line-3,0.1,,,,,
2026-04-10T00:00:00Z,nps,,50,,,,,
2026-04-11T12:00:00.250Z,nps,plant-2,45,,survey,2,crm,
"""


class Live(unittest.TestCase):
    cards = ("acme",)

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="poise-live-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for card in self.cards:
            self.write(card + ".yaml", CARD % card)
        self.write("aggregator.yaml", f"ingest: ipc://{self.folder}/ingest\nquery: ipc://{self.folder}/query\n"
                   f"store: store\nscorecards: [{', '.join(card + '.yaml' for card in self.cards)}]\n")
        self.environment = {**os.environ, "POISE_INGEST": f"ipc://{self.folder}/ingest",
                            "POISE_QUERY": f"ipc://{self.folder}/query", "XDG_STATE_HOME": str(self.folder)}
        self.aggregator = None
        self.addCleanup(self.stop, signal.SIGKILL)
        self.start()

    def start(self):
        with open(self.folder / "log", "a", encoding="utf-8") as log:
            self.aggregator = subprocess.Popen([AGGREGATOR, "--config", self.folder / "aggregator.yaml"], stderr=log)

    def stop(self, how):
        if self.aggregator:
            self.aggregator.send_signal(how)
            self.aggregator.wait(timeout=20)
            self.aggregator = None

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def poise(self, *arguments, stdin="", status=0):
        run = subprocess.run([POISE, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=40,
                             env=self.environment)
        self.assertEqual(run.returncode, status, f"{run.stderr}\n{(self.folder / 'log').read_text()}")
        return run

    def watch(self, *arguments):
        run = subprocess.Popen([POISE, "watch", *arguments], stdout=subprocess.PIPE, text=True, env=self.environment)
        self.addCleanup(run.stdout.close)
        self.addCleanup(run.wait, 20)
        self.addCleanup(run.kill)
        return run


class Send(Live):
    def test_one_measurement(self):
        run = self.poise("send", "nps", "30", "--org", "plant-1", "--key", "k", "--source", "s", "--of", "2")
        self.assertEqual(run.stdout, "1 counted, 0 refused\n")
        leaf = json.loads(self.poise("get", "--org", "plant-1", "--format", "json").stdout)[-1]
        self.assertEqual((leaf["value"], leaf["score"], leaf["count"]), (30, 50, 1))
        self.poise("send", "--retract", "nps", "--key", "k", "--source", "s")
        leaf = json.loads(self.poise("get", "--org", "plant-1", "--format", "json").stdout)[-1]
        self.assertEqual((leaf["value"], leaf["count"]), (None, 0))

    def test_refusals_name_their_lines(self):
        rows = HEADER + "".join(f"2026-03-01T00:00:00Z,{'nsp' if i % 2000 == 7 else 'nps'},,1,,,,,\n" for i in range(5000))
        rows += "06:19,nps,,1,,,,,\n2026-03-01T00:00:00Z,nps,,1e101,,,,,\n"
        run = self.poise("send", "--csv", "-", stdin=rows, status=1)
        self.assertEqual(run.stdout, "4997 counted, 5 refused\n")
        lines = sorted(int(line.split(":")[1]) for line in run.stderr.splitlines())
        self.assertEqual(lines, [9, 2009, 4009, 5002, 5003])
        self.assertRegex(run.stderr, r"standard input:2009: refused: no scorecard here has a measure")

    def test_what_was_not_acknowledged_goes_out_later(self):
        self.stop(signal.SIGTERM)
        run = self.poise("send", "nps", "10", "--timeout", "100ms", status=1)
        self.assertIn(str(self.folder / "poise/spool"), run.stderr)
        self.start()
        self.assertEqual(self.poise("send", "nps", "20").stdout, "2 counted, 0 refused\n")


class Get(Live):
    def test_the_past_is_what_eval_says(self):
        rows = self.write("rows.csv", ROWS)
        self.poise("send", "--csv", rows)
        as_of = ("--as-of", "2026-05-15T00:00:00Z")
        for more in ((), ("--org", "plant-1"), ("--all-orgs",), ("--all-orgs", "--history")):
            with self.subTest(more):
                got = json.loads(self.poise("get", "acme", *as_of, *more, "--format", "json").stdout)
                wanted = json.loads(self.poise("eval", "-s", self.folder / "acme.yaml", "-m", rows, *as_of, *more,
                                               "--format", "json").stdout)
                for state in got:
                    self.assertEqual(state["definition"], 1)
                    state["definition"] = state["revision"] = None
                self.assertEqual(got, wanted)
        self.assertEqual(self.poise("get", *as_of, "--format", "json").stdout,
                         self.poise("get", "acme", *as_of, "--format", "json").stdout)

    def test_what_is_not_there(self):
        self.assertIn("scorecard nosuch", self.poise("get", "nosuch", status=1).stderr)
        self.assertIn("plant-9", self.poise("get", "--org", "plant-9", status=1).stderr)
        self.assertIn("nosuch", self.poise("get", "nosuch", "--as-of", "2026-01-01T00:00:00Z", status=1).stderr)


class GetOfTwo(Live):
    cards = ("acme", "emca")

    def test_the_past_needs_a_scorecard(self):
        self.assertIn("several; name the scorecard", self.poise("get", "--history", status=1).stderr)
        self.poise("get", "emca", "--history")

    def test_now_shows_all_or_one(self):
        cards = [state["node"] for state in json.loads(self.poise("get", "--format", "json").stdout)
                 if state["kind"] == "scorecard"]
        self.assertEqual(cards, ["acme", "emca"])
        self.assertEqual(len(json.loads(self.poise("get", "emca", "--format", "json").stdout)), NODES)


class Watch(Live):
    def test_a_line_a_change(self):
        watch = self.watch("--count", "4")
        start = [watch.stdout.readline() for _ in range(NODES)]
        self.assertRegex(start[-1], r"^\S+Z acme/customer/loyalty/nps \(root\) none -> none no_data value none -> none\n$")
        self.poise("send", "nps", "30")
        lines = watch.stdout.read().splitlines()
        self.assertEqual(watch.wait(timeout=20), 0)
        self.assertEqual(sorted(re.sub(r"^\S+Z ", "", line) for line in lines),
                         ["acme (root) none -> 50.0 amber", "acme/customer (root) none -> 50.0 amber",
                          "acme/customer/loyalty (root) none -> 50.0 amber",
                          "acme/customer/loyalty/nps (root) none -> 50.0 amber value none -> 30"])

    def test_json_survives_a_restart_and_repeats_nothing(self):
        watch = self.watch("--format", "json", "--all-orgs", "--count", str(4 * NODES))
        start = [json.loads(watch.stdout.readline()) for _ in range(NODES)]
        self.assertEqual([state["node"].count("/") for state in start], [0, 1, 2, 3])
        self.poise("send", "nps", "30", "--org", "plant-1")
        before = [json.loads(watch.stdout.readline()) for _ in range(2 * NODES)]
        self.assertEqual({(state["org"], state["score"]) for state in before}, {("", 50), ("plant-1", 50)})
        self.stop(signal.SIGKILL)
        self.start()
        self.poise("send", "nps", "0", "--org", "plant-2")
        changes = [json.loads(line) for line in watch.stdout]
        self.assertEqual(watch.wait(timeout=20), 0)
        self.assertEqual(len(changes), 2 * NODES)
        self.assertEqual({(state["org"], state["score"]) for state in changes}, {("", 25), ("plant-2", 0)})

    def test_ends_in_time_or_when_told(self):
        self.poise("get")
        run = self.poise("watch", "--for", "200ms", "--format", "csv")
        self.assertEqual(len(run.stdout.splitlines()), 1 + NODES)
        watch = self.watch()
        watch.stdout.readline()
        watch.send_signal(signal.SIGINT)
        self.assertEqual(watch.wait(timeout=20), 0)


if __name__ == "__main__":
    unittest.main()
