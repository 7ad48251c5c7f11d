"""The specification's cases through the live path: sent over ZeroMQ, stored, scored, asked over the wire."""
import csv
import datetime
import io
import json
import sys

import system
from system import POISE, SOURCE, Aggregator, Case, needs_shared, run

sys.path.insert(0, str(SOURCE / "tests" / "integration" / "eval"))
from conformance import differences  # noqa: E402

# T follows the events: this one, of a scorecard of its own, takes it to where the case asks.
CLOCK = "scorecard: clock\nperspectives: [{id: p, objectives: [{id: o, measures: [" \
        "{id: now, input: the-time, aggregate: count, max_ahead: 3650d, score: {binary: {}}}]}]}]\n"


def milliseconds(text):
    return round(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def before(text):
    time = datetime.datetime.fromtimestamp((milliseconds(text) - 1) / 1000, datetime.timezone.utc)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Conformance(Case):
    def ask(self, case, restarts):
        """The states of a case, live where T can be what it asks for: not where measurements are of the future."""
        folder = self.folder / case["name"]
        folder.mkdir()
        card, clock, rows = folder / "card.yaml", folder / "clock.yaml", folder / "rows.csv"
        card.write_text(json.dumps(case["scorecard"]))
        clock.write_text(CLOCK)
        rows.write_text(case["measurements"])
        self.aggregator = Aggregator(folder, [card, clock]).start()
        sender = (POISE, "send", "--to", self.aggregator.ingest, "--spool", folder / "spool")
        run(*sender, "--csv", rows, check=None)  # some cases have rows that are refused
        if restarts:
            self.aggregator.kill()
            self.aggregator.start()
        times = [row["time"] for row in csv.DictReader(io.StringIO(case["measurements"])) if row["time"]]
        asked = (case["scorecard"]["scorecard"], "--org", case["org"])
        if all(milliseconds(time) < milliseconds(case["as_of"]) for time in times):
            run(*sender, "--time", before(case["as_of"]), "the-time", "1")
        else:
            asked += ("--as-of", case["as_of"])
        states = self.aggregator.get(*asked)
        self.aggregator.stop()
        return states, len(asked) == 3

    def test_all_cases(self):
        contents = json.loads(needs_shared("conformance", "vectors.json").read_text())
        wrong, live = [], 0
        for number, case in enumerate(contents["cases"]):
            states, is_live = self.ask(case, number % 2)
            live += is_live
            self.assertEqual({state["as_of"] for state in states},
                             {datetime.datetime.fromisoformat(case["as_of"].replace("Z", "+00:00"))
                              .isoformat(timespec="milliseconds").replace("+00:00", "Z")})
            wrong += [f"{case['name']}: {problem}" for problem in differences(case, states, contents["tolerance"])]
        self.assertEqual(wrong, [])
        self.assertGreater(live, 100)


if __name__ == "__main__":
    system.main()
