"""`poise eval` and `poise check` as a user runs them: test_eval.py POISE."""

import csv
import io
import json
import os
import pathlib
import pty
import subprocess
import sys
import tempfile
import unittest

POISE = sys.argv.pop(1)

KEYS = ("org node kind name period value attainment score lo hi coverage filled status uncertain count weight trend "
        "flags as_of definition revision").split()

CARD = """\
scorecard: acme
name: Acme
timezone: Europe/London
perspectives:
  - id: customer
    name: Customer
    objectives:
      - id: loyalty
        name: Customers come back
        measures:
          - {id: nps, name: "Net, promoter score", aggregate: mean, score: {linear: {from: 0, to: 60}}}
          - {id: complaints, name: Complaints, aggregate: sum, score: {goal_red: {goal: 3, red: 5}}}
"""
HEADER = "time,measure,org,value,of,key,seq,source,retract\n"
ROWS = HEADER + """\
2026-01-10T00:00:00Z,nps,plant-2,10,,survey,1,crm,
2026-02-10T00:00:00Z,nps,plant-1/line-3,30,,,,,
2026-02-11T00:00:00Z,nps,plant-1/line-3,0.1,,,,,
2026-02-12T00:00:00Z,complaints,plant-1,4,,,,,
2026-04-10T00:00:00Z,nps,,50,,,,,
2026-04-11T12:00:00.250Z,nps,plant-2,45,,survey,2,crm,
"""


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="poise-eval-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.card = self.write("card.yaml", CARD)
        self.rows = self.write("rows.csv", ROWS)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def poise(self, *arguments, stdin="", status=0):
        run = subprocess.run([POISE, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=20)
        self.assertEqual(run.returncode, status, run.stderr)
        return run

    def eval(self, *arguments, rows=None, **more):
        return self.poise("eval", "-s", self.card, "-m", rows or self.rows, *arguments, **more)

    def states(self, *arguments, **more):
        return json.loads(self.eval("--format", "json", *arguments, **more).stdout)


class Eval(Case):
    def test_json_has_the_keys_in_order(self):
        states = self.states()
        self.assertEqual([list(state) for state in states], [KEYS] * 5)
        self.assertEqual([state["node"] for state in states],
                         ["acme", "acme/customer", "acme/customer/loyalty", "acme/customer/loyalty/nps",
                          "acme/customer/loyalty/complaints"])
        nps = states[3]
        self.assertEqual((nps["value"], nps["count"], nps["status"]), (47.5, 2, "green"))
        self.assertEqual(nps["period"], ["2026-03-31T23:00:00.000Z", "2026-04-30T23:00:00.000Z"])
        self.assertIsNone(states[0]["value"])
        self.assertIsNone(nps["revision"])

    def test_default_as_of_is_after_the_latest_measurement(self):
        self.assertEqual({state["as_of"] for state in self.states()}, {"2026-04-11T12:00:00.251Z"})

    def test_measurements_after_as_of_do_not_count(self):
        nps = self.states("--as-of", "2026-04-11T12:00:00.249Z")[3]
        self.assertEqual((nps["value"], nps["count"]), (50, 1))

    def test_csv_says_what_json_says(self):
        states = self.states("--all-orgs", "--history")
        rows = list(csv.DictReader(io.StringIO(self.eval("--all-orgs", "--history", "--format", "csv").stdout)))
        self.assertEqual(list(rows[0]), KEYS)
        self.assertEqual(len(rows), len(states))
        for row, state in zip(rows, states):
            for key, wanted in state.items():
                if wanted is None:
                    self.assertEqual(row[key], "")
                elif isinstance(wanted, bool):
                    self.assertEqual(row[key], "true" if wanted else "false")
                elif isinstance(wanted, (int, float)):
                    self.assertEqual(float(row[key]), wanted)
                elif isinstance(wanted, list):
                    self.assertEqual(row[key], ("/" if key == "period" else " ").join(wanted))
                else:
                    self.assertEqual(row[key], wanted)

    def test_all_orgs_are_sorted_and_equal_each_org_alone(self):
        states = self.states("--all-orgs")
        orgs = list(dict.fromkeys(state["org"] for state in states))
        self.assertEqual(orgs, ["", "plant-1", "plant-1/line-3", "plant-2"])
        self.assertEqual(states, [state for org in orgs for state in self.states("--org", org)])

    def test_history_steps_through_the_calendar(self):
        history = self.states("--history", "--all-orgs")
        ends = list(dict.fromkeys(state["as_of"] for state in history))
        # The measurement of January was replaced by one of April, so February is the first period.
        self.assertEqual(ends, ["2026-03-01T00:00:00.000Z", "2026-03-31T23:00:00.000Z", "2026-04-11T12:00:00.251Z"])
        for end in ends:
            alone = self.states("--as-of", end, "--all-orgs")
            self.assertEqual([state for state in history if state["as_of"] == end], alone)

    def test_history_up_to_a_time(self):
        history = self.states("--history", "--as-of", "2026-03-31T23:00:00Z")
        self.assertEqual([state["as_of"] for state in history],
                         ["2026-03-01T00:00:00.000Z"] * 5 + ["2026-03-31T23:00:00.000Z"] * 5)
        before = self.states("--history", "--as-of", "2025-01-01T00:00:00Z")
        self.assertEqual({state["as_of"] for state in before}, {"2025-01-01T00:00:00.000Z"})

    def test_standard_input(self):
        self.assertEqual(self.states(rows="-", stdin=ROWS), self.states())

    def test_a_retraction_needs_no_time_and_value(self):
        rows = self.write("retract.csv", ROWS + ",nps,,,,survey,3,crm,true\n")
        nps = self.states(rows=rows)[3]
        self.assertEqual((nps["value"], nps["count"]), (50, 1))

    def test_refused_rows_are_named_and_skipped(self):
        rows = self.write("bad.csv", ROWS + """\
06:19,nps,,1,,,,,
2026-04-01T00:00:00Z,nps,,1e101,,,,,
2026-04-01T00:00:00Z,nsp,,1,,,,,
2026-04-01T00:00:00Z,nps,/x,1,,,,,
2026-04-01T00:00:00Z,nps,,1
2026-04-01T00:00:00Z,nps,,46,,survey,2,crm,
,nps,,,,,,crm,true
""")
        run = self.eval("--format", "json", rows=rows)
        reasons = ["time '06:19' cannot be read", "the value is not 0 and not between", "no scorecard here has a measure",
                   "the org is too long", "the row has 4 fields", "another measurement with this key and seq",
                   "a retraction needs a key"]
        lines = run.stderr.splitlines()
        self.assertEqual(len(lines), len(reasons), run.stderr)
        for number, (line, reason) in enumerate(zip(lines, reasons), start=8):
            self.assertIn(reason, line)
            self.assertTrue(line.startswith(f"{rows}:{number}: refused: "), line)
        self.assertEqual(json.loads(run.stdout), self.states())
        strict = self.eval("--format", "json", "--strict", rows=rows, status=1)
        self.assertEqual(strict.stdout, run.stdout)
        self.eval("--strict")

    def test_a_refused_row_keeps_its_place_in_the_order(self):
        # A row without seq has its number in the file: here 4, above the 3 that the row before it says.
        text = HEADER + ("bad\n2026-04-01T00:00:00Z,nsp,,1,,,,,\n2026-04-01T00:00:00Z,nps,,1,,k,3,,\n"
                         "2026-04-01T00:00:00Z,nps,,2,,k,,,\n")
        nps = self.states(rows=self.write("order.csv", text))[3]
        self.assertEqual((nps["value"], nps["count"]), (2, 1))

    def test_nothing_accepted(self):
        empty = self.write("empty.csv", HEADER)
        self.assertIn("--as-of", self.eval(rows=empty, status=1).stderr)
        self.assertEqual(len(self.states("--as-of", "2026-01-01T00:00:00Z", rows=empty)), 5)

    def test_failures(self):
        self.assertIn("nowhere.csv", self.eval(rows="nowhere.csv", status=1).stderr)
        self.assertIn("plant-9", self.eval("--org", "plant-9", status=1).stderr)
        self.assertIn("column 'value' is missing",
                      self.eval(rows=self.write("head.csv", "time,measure,org\n"), status=1).stderr)
        self.assertIn("card.yaml:1:", self.poise("eval", "-s", self.write("card.yaml", "a: 1\n"), "-m", self.rows,
                                                 status=1).stderr)

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            run = subprocess.run([POISE, "eval", "-s", self.card, "-m", self.rows], stdout=full,
                                 stderr=subprocess.PIPE, text=True, timeout=20, check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn("could not be written", run.stderr)


class Table(Case):
    def on_terminal(self, **environment):
        """What a terminal of 80 columns is sent."""
        leader, follower = pty.openpty()
        run = subprocess.Popen([POISE, "eval", "-s", self.card, "-m", self.rows], stdout=follower, stdin=follower,
                               env={"LC_ALL": "C.UTF-8", "TERM": "xterm", **environment})
        os.close(follower)
        text = b""
        while True:
            try:
                block = os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
            if not block:
                break
            text += block
        os.close(leader)
        self.assertEqual(run.wait(timeout=20), 0)
        return text.decode("utf-8")

    def test_colour_only_on_a_terminal_that_wants_it(self):
        plain = self.eval("--format", "table").stdout
        self.assertNotIn("\033", plain)
        self.assertIn("\033[32m", self.on_terminal())
        self.assertNotIn("\033", self.on_terminal(NO_COLOR="1"))
        self.assertNotIn("\033", self.on_terminal(TERM="dumb"))
        self.assertIn("\033[32m", self.on_terminal(NO_COLOR=""))

    def test_lines_fit_80_columns(self):
        text = self.on_terminal(NO_COLOR="1")
        self.assertIn("Net, promoter score", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)

    def test_a_heading_for_each_org(self):
        text = self.eval("--all-orgs").stdout
        self.assertEqual(text.count("as of 2026-04-11 12:00:00Z"), 4)
        self.assertIn("\n\nplant-1/line-3 ", text)


class Check(Case):
    def test_right_files(self):
        run = self.poise("check", self.card, self.card)
        self.assertEqual(run.stdout, f"{self.card}: ok\n" * 2)
        self.assertIn(f"{self.card}: warning: ", run.stderr)  # one perspective is all of the weight

    def test_all_problems_of_all_files(self):
        wrong = self.write("wrong.yaml", CARD.replace("aggregate: mean", "agregate: mean").replace("linear", "liner"))
        run = self.poise("check", wrong, self.card, "nowhere.yaml", status=1)
        self.assertEqual(run.stdout, f"{self.card}: ok\n")
        self.assertRegex(run.stderr, rf"(?m)^{wrong}:11:\d+: .*agregate")
        self.assertRegex(run.stderr, rf"(?m)^{wrong}:11:\d+: .*liner")
        self.assertIn("nowhere.yaml", run.stderr)

    def test_formulas_are_looked_at_last_and_named_in_their_place(self):
        wrong = self.write("wrong.yaml", CARD + """\
          - {id: all, formula: nps * (npss, carry: 2, score: {binary: {}}}
          - {id: x, formula: nps-all, score: {binary: {}}}
          - {id: y, formula: 1 + y, score: {binary: {}}, weight: -1}
""")
        run = self.poise("check", wrong, status=1)
        said = ["13:32: 'formula', character 8: there is no measure 'npss'; did you mean 'nps'?",
                "13:32: 'formula', character 7: this '(' is not closed",
                "13:52: 'carry' does not go with 'formula'",
                "14:30: 'formula', character 1: there is no measure 'nps-all'; a minus needs blanks",
                "15:30: a formula needs its own value: y -> y;",
                "15:66: 'weight' must be from 0"]
        lines = run.stderr.splitlines()
        self.assertEqual(len(lines), len(said), run.stderr)
        for line, words in zip(lines, said):
            self.assertTrue(line.startswith(f"{wrong}:{words}"), line)


class Usage(Case):
    def test_help(self):
        text = self.poise("--help").stdout
        for verb in ("send", "get", "watch", "eval", "check"):
            self.assertIn(f"  {verb} ", text)
            self.assertIn("Examples:", self.poise(verb, "--help").stdout)
        self.assertRegex(self.poise("--version").stdout, r"^poise \d+\.\d+\.\d+\n$")

    def test_wrong_usage_exits_2(self):
        for arguments in ([], ["frobnicate"], ["check"], ["eval"], ["eval", "-s", "a"], ["send"], ["send", "nps"],
                          ["send", "nps", "x"], ["send", "nps", "1", "2"], ["send", "nps", "1", "--csv", "f"],
                          ["send", "nps", "1", "--time", "now"], ["get", "a", "b"], ["get", "--as-of", "now"],
                          ["get", "--org", "/"], ["get", "--org", "a", "--all-orgs"], ["watch", "--count", "0"],
                          ["watch", "--for", "x"], ["get", "--format", "xml"]):
            with self.subTest(arguments):
                self.assertTrue(self.poise(*arguments, status=2).stderr)

    def test_a_silent_endpoint_is_a_failure(self):
        endpoint = f"ipc://{self.folder}/nobody"
        self.poise("get", "--from", endpoint, "--timeout", "50ms", status=1)
        self.poise("watch", "--from", endpoint, "--for", "50ms", status=1)
        run = self.poise("send", "nps", "1", "--to", endpoint, "--spool", self.folder / "spool", "--timeout", "50ms",
                         status=1)
        self.assertIn(str(self.folder / "spool"), run.stderr)


if __name__ == "__main__":
    unittest.main()
