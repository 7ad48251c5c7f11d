"""The Python examples, which know only proto/, against the real aggregator."""
import json
import subprocess

import system
from system import SOURCE, Aggregator, Case, run

PYTHON = "/usr/bin/python3"
CARD = """
scorecard: plant
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: m, aggregate: sum, score: {linear: {from: 0, to: 10}}}
"""
ROWS = system.HEADER + ("2026-03-02T10:00:00Z,m,a,2,,,,,\n2026-03-02T11:00:00Z,m,b,3,,K,1,s,\n"
                        "2026-03-02T11:00:00Z,m,b,5,,K,2,s,\n2026-03-02T12:00:00Z,nothing,b,5,,,,,\n")


class Clients(Case):
    def setUp(self):
        super().setUp()
        self.card = self.write("plant.yaml", CARD)
        self.aggregator = Aggregator(self.folder, [self.card]).start()
        self.examples = SOURCE / "examples" / "python"

    def test_send(self):
        done = run(PYTHON, self.examples / "send.py", self.aggregator.ingest, input=ROWS, check=None)
        self.assertIn("unknown_measure", (done.stdout + done.stderr).lower())
        live = self.aggregator.get("plant", "--all-orgs")
        accepted = ROWS[len(system.HEADER):].rsplit("2026", 1)[0]
        self.same_states(live, self.evaluate(self.card, accepted, "--all-orgs"))
        self.assertEqual([state["value"] for state in live if state["kind"] == "measure"], [7, 2, 5])

    def test_subscribe(self):
        self.send("2026-03-02T10:00:00Z,m,a,2,,,,,\n")
        once = run(PYTHON, self.examples / "subscribe.py", self.aggregator.query, "--once")
        self.assertIn("plant/internal/quality/m", once.stdout)
        watch = self.spawn(PYTHON, "-u", self.examples / "subscribe.py", self.aggregator.query, stdout=subprocess.PIPE)
        self.assertTrue(any("plant/internal/quality/m" in line for line in watch.stdout))
        self.send("2026-03-02T10:00:00Z,m,a/deep,3.25,,,,,\n")
        self.assertTrue(any("a/deep" in line and "3.25" in line for line in watch.stdout))

    def test_subscribe_goes_on_after_a_restart(self):
        """Without another snapshot: only what changed comes."""
        self.send("2026-03-02T10:00:00Z,m,a,2,,,,,\n2026-03-02T10:00:00Z,m,b,2,,,,,\n")
        watch = self.spawn(PYTHON, "-u", self.examples / "subscribe.py", self.aggregator.query, stdout=subprocess.PIPE)
        for org in ("a", "b"):
            self.send(f"2026-03-02T10:00:00Z,m,{org},0.5,,,,,\n")
            self.assertTrue(any(f" {org} " in line and "value=2.5" in line for line in watch.stdout))
        self.aggregator.kill()
        self.aggregator.start()
        self.send("2026-03-02T10:00:00Z,m,b,4.25,,,,,\n")
        lines = []
        for line in watch.stdout:
            lines.append(line)
            if " b " in line and "value=6.75" in line:
                break
        self.assertEqual([line for line in lines if " a " in line], [], lines)


if __name__ == "__main__":
    system.main()
