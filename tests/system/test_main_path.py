"""Measurements from `poise send` to `poise get`, `watch` and `eval`: the same scores everywhere, to the bit."""
import json
import random
import signal
import subprocess
import time

import system
from system import POISE, Aggregator, Case, run

CARD = """
scorecard: plant
timezone: Europe/London
period: day
perspectives:
  - id: internal
    weight: 60
    objectives:
      - id: quality
        measures:
          - {id: defects, aggregate: ratio, weight: 2, score: {goal_red: {goal: 0.01, red: 0.03}}}
          - {id: worst, input: cycle, aggregate: max, score: {linear: {from: 20, to: 0}}}
          - {id: best, input: cycle, aggregate: min, score: {linear: {from: 10, to: 0}}}
      - id: speed
        rollup: geometric
        measures:
          - {id: cycle, aggregate: mean, score: {linear: {from: 20, to: 0}}, roll_up: subtree}
          - {id: latest, input: cycle, aggregate: last, score: {linear: {from: 20, to: 0}}}
          - {id: opening, input: cycle, aggregate: first, score: {linear: {from: 20, to: 0}}}
          - {id: own, input: cycle, aggregate: sum, roll_up: none, score: {linear: {from: 400, to: 0}}}
  - id: customer
    weight: 40
    rollup: {penalised_mean: 0.5}
    objectives:
      - id: loyalty
        measures:
          - {id: nps, aggregate: weighted_mean, score: {linear: {from: 0, to: 60}}, missing: zero}
          - {id: complaints, aggregate: count, empty: 0, score: {step: {below: 100, steps: [{at: 3, score: 50}, {at: 6, score: 0}]}}}
"""
SECOND = """
scorecard: second
period: month
perspectives:
  - id: only
    objectives:
      - id: one
        measures:
          - {id: cycles, input: cycle, aggregate: count, score: {linear: {from: 0, to: 100}}}
"""
ORGS = ["", "a", "a/x", "a/y", "b", "b/z/deep"]


def rows(count, seed, keyed=True, days=4):
    """Random rows, some keyed, some of them corrections and retractions, in no order of time."""
    random_ = random.Random(seed)
    lines = []
    for _ in range(count):
        measure = random_.choice(["defects", "cycle", "cycle", "nps", "complaints"])
        time_ = f"2026-03-{random_.randrange(27, 27 + days):02d}T{random_.randrange(24):02d}:{random_.randrange(60):02d}:07.123Z"
        value = random_.choice([random_.randrange(20), round(random_.random() * 20, 3), random_.random() * 20])
        of = random_.choice(["", str(random_.randrange(1, 200))])
        key = f"K{random_.randrange(count // 4)}" if keyed and random_.random() < 0.4 else ""
        seq = random_.choice(["", ""] + [str(random_.randrange(1, 10 ** 9))]) if key else ""
        retract = "true" if key and random_.random() < 0.15 else ""
        lines.append(f"{time_},{measure},{random_.choice(ORGS)},{value},{of},{key},{seq},{random_.choice(['', 's1', 's2'])},{retract}\n")
    return lines


class MainPath(Case):
    def setUp(self):
        super().setUp()
        self.cards = [self.write("plant.yaml", CARD), self.write("second.yaml", SECOND)]

    def start(self, **options):
        self.aggregator = Aggregator(self.folder, self.cards, **options).start()
        return self.aggregator

    def test_live_equals_eval_to_the_bit(self):
        self.start()
        all_rows = rows(600, seed=7)
        for at in range(0, len(all_rows), 100):  # several sends, a settle between them
            self.send("".join(all_rows[at:at + 100]))
            live = self.aggregator.get("plant", "--all-orgs")
            offline = self.evaluate(self.cards[0], "".join(all_rows[:at + 100]), "--all-orgs", "--as-of", live[0]["as_of"])
            self.same_states(live, offline)
        self.assertEqual({state["definition"] for state in live}, {1})

    def test_the_past_equals_eval_to_the_bit(self):
        self.start()
        sent = "".join(rows(500, seed=11))
        self.send(sent)
        for as_of in ["2026-03-27T00:00:00Z", "2026-03-28T00:00:00Z", "2026-03-29T11:30:00.001Z", "2026-04-02T00:00:00Z"]:
            for card in ("plant", "second"):
                live = self.aggregator.get(card, "--as-of", as_of, "--all-orgs")
                offline = self.evaluate(self.folder / f"{card}.yaml", sent, "--as-of", as_of, "--all-orgs")
                self.same_states(live, offline)
        live = self.aggregator.get("plant", "--org", "a", "--as-of", "2026-04-02T00:00:00Z", "--history")
        offline = self.evaluate(self.cards[0], sent, "--org", "a", "--as-of", "2026-04-02T00:00:00Z", "--history")
        self.same_states(live, offline)
        self.assertGreater(len({state["as_of"] for state in live}), 3)

    def test_order_and_duplication_do_not_matter(self):
        """Keyed rows with sequences in any order, sent twice, by two producers, give what they give in order."""
        lines = [f"2026-03-28T10:00:{at % 60:02d}Z,cycle,a/x,{at * 0.1},,K{at % 50},{at + 1},s,\n" for at in range(400)]
        shuffled = lines + lines[::3]
        random.Random(3).shuffle(shuffled)
        self.start()
        half = len(shuffled) // 2
        self.send("".join(shuffled[:half]), spool="one")
        self.send("".join(shuffled[half:]), spool="two")
        live = self.aggregator.get("plant", "--all-orgs", "--as-of", "2026-03-29T00:00:00Z")
        self.same_states(live, self.evaluate(self.cards[0], "".join(lines), "--all-orgs", "--as-of", "2026-03-29T00:00:00Z"))
        measure = [state for state in live if state["node"] == "plant/internal/speed/cycle" and state["org"] == ""][0]
        self.assertEqual(measure["count"], 50)

    def test_refusals_reach_the_sender(self):
        self.start()
        done = self.send("2026-03-28T10:00:00Z,cycle,a,1,,,,,\n2026-03-28T10:00:00Z,nothing,a,1,,,,,\n"
                         "2026-03-28T10:00:00Z,cycle,a//b,1,,,,,\n2026-03-28T10:00:00Z,cycle,a,1e200,,,,,\n"
                         "2099-03-28T10:00:00Z,cycle,a,1,,,,,\n", check=1)
        for line, reason in ((3, "reads this input"), (4, "the org"), (5, "the value"), (6, "ahead of the clock")):
            self.assertRegex(done.stderr, rf"rows.csv:{line}: refused: .*{reason}")
        live = self.aggregator.get("second")
        self.assertEqual([state["count"] for state in live if state["kind"] == "measure"], [1])

    def test_watch_shows_changes_and_survives_a_restart(self):
        self.start()
        self.send("2026-03-28T10:00:00Z,cycle,,5,,,,,\n")
        watch = self.spawn(POISE, "watch", "--from", self.aggregator.query, "--format", "json", stdout=subprocess.PIPE)
        seen = lambda node: next(state for state in map(json.loads, watch.stdout) if state["node"] == node)
        self.assertEqual(seen("plant/internal/speed/cycle")["value"], 5)
        self.aggregator.stop()
        self.aggregator.start()
        self.send("2026-03-28T11:00:00Z,cycle,,8,,,,,\n")
        while True:
            state = seen("plant/internal/speed/cycle")
            if state["count"] == 2:
                break
        self.assertEqual(state["value"], 6.5)
        watch.send_signal(signal.SIGINT)
        self.assertEqual(watch.wait(20), 0)

    def test_restart_and_new_definition(self):
        self.start()
        sent = "".join(rows(300, seed=5))
        self.send(sent)
        before = self.aggregator.get("plant", "--all-orgs")
        self.aggregator.stop()
        self.aggregator.start()
        self.assertEqual(before, self.aggregator.get("plant", "--all-orgs"))
        self.aggregator.stop()
        self.cards[0].write_text(CARD.replace("goal: 0.01", "goal: 0.02").replace("aggregate: mean", "aggregate: sum"))
        self.aggregator.start()
        after = self.aggregator.get("plant", "--all-orgs")
        self.assertEqual({state["definition"] for state in after}, {2})
        self.same_states(after, self.evaluate(self.cards[0], sent, "--all-orgs", "--as-of", after[0]["as_of"]))

    def test_wall_clock(self):
        """By the wall clock a measurement a little ahead counts when its time has come."""
        self.start(clock="wall")
        stamp = lambda ms: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"
        ahead_ms = int(time.time() * 1000) + 2500
        self.send(f"{stamp(ahead_ms)},cycle,,4,,,,,\n{stamp(ahead_ms - 60000)},cycle,,2,,,,,\n")
        count = lambda: [s for s in self.aggregator.get("second") if s["kind"] == "measure"][0]["count"]
        if time.time() * 1000 < ahead_ms - 200:
            self.assertEqual(count(), 1)
        until = time.monotonic() + 20
        while count() != 2 and time.monotonic() < until:
            time.sleep(0.05)
        self.assertGreaterEqual(time.time() * 1000, ahead_ms)
        self.assertEqual(count(), 2)

    def test_start_and_stop_without_a_measurement(self):
        self.start()
        self.send("2026-03-28T10:00:00Z,nothing,,5,,,,,\n", check=1)
        self.assertIn("nothing", run(POISE, "get", "--from", self.aggregator.query, check=1).stderr)
        self.aggregator.stop()
        self.aggregator.start()
        self.send("2026-03-28T10:00:00Z,cycle,,5,,,,,\n")
        self.aggregator.stop()

    def test_a_clock_behind_the_scores_is_reported(self):
        self.start()
        ahead = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 240))
        self.send(f"{ahead},cycle,,5,,,,,\n")
        self.aggregator.stop()
        self.assertNotIn("clock_behind", self.aggregator.log.read_text())
        self.aggregator.config.write_text(self.aggregator.config.read_text().replace("clock: event", "clock: wall"))
        self.aggregator.start()
        self.assertIn("clock_behind", self.aggregator.log.read_text())
        self.assertGreater(self.aggregator.get("second")[0]["as_of"], ahead[:-1])

    def test_limits_refuse_what_is_new_and_never_what_was_accepted(self):
        self.start()
        self.send("".join(f"2026-03-28T10:00:00Z,cycle,org-{at},5,,,,,\n" for at in range(20)))
        self.aggregator.kill()
        self.aggregator.config.write_text(self.aggregator.config.read_text() + "max_orgs: 5\nmax_series: 5\n")
        self.cards[0].write_text(CARD.replace("weight: 60", "weight: 61"))  # all is made again from the journal
        self.aggregator.start()
        self.assertEqual(len(self.aggregator.get("second", "--all-orgs")), 21 * 4)
        refused = self.send("2026-03-28T10:00:00Z,cycle,another,5,,,,,\n", check=1)
        self.assertIn("max_orgs", refused.stderr)
        self.send("2026-03-28T10:00:00Z,cycle,org-3,6,,,,,\n")

    def test_bad_configuration_is_named(self):
        config = self.write("bad.yaml", "store: s\nscorecards: [plant.yaml]\nclok: wall\nsettle: 5 parsecs\n")
        done = run(system.AGGREGATOR, "--config", config, "--check-config", check=1)
        self.assertRegex(done.stderr, r"bad.yaml:3:1: .*clok.*clock")
        self.assertRegex(done.stderr, r"bad.yaml:4:\d+: ")
        for lines, wanted in (("ingest: http://x", r"1:9: http://x is no endpoint"),
                              ("query: tcp://0.0.0.0:5571", r"1:8: .*leaves this machine"),
                              ("query: ipc://here\ningest: ipc://here", r"1:8: 'query' is where 'ingest' is already"),
                              ("ingest: tcp://127.0.0.1:5571", r"1:9: 'query' is where 'ingest' is already")):
            self.write("bad.yaml", f"{lines}\nstore: s\nscorecards: []\n")
            done = run(system.AGGREGATOR, "--config", config, "--check-config", check=1)
            self.assertRegex(done.stderr, "bad.yaml:" + wanted)
            self.assertRegex(done.stderr, r"'scorecards' is empty")
        self.start()
        second = run(system.AGGREGATOR, "--config", self.aggregator.config, check=1)
        self.assertRegex(second.stderr, "EBUSY|another process")


if __name__ == "__main__":
    system.main()
