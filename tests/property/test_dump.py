"""What poise dump writes gives the same scores, to the bit: to poise eval, and to an aggregator that imports it."""
import json
import shutil

from hypothesis import strategies as st

import oracle
from generators import csv_of, rows, scorecards, seqs
from harness import POISE, Aggregator, Property, holds_for, main, run

no_seqs = st.just("")
# Between a row with a seq and one without, places decide, which are others where refused rows are left out.
MIXES = {"none": rows(inputs=["a"], seqs_=no_seqs, max_size=30), "some": rows(inputs=["a"], max_size=30),
         "all": rows(inputs=["a"], event_seqs=seqs, max_size=30)}
mixes = st.sampled_from(sorted(MIXES)).flatmap(lambda mix: st.tuples(st.just(mix), st.lists(
    st.tuples(MIXES[mix], st.sampled_from(["none", "none", "stop", "kill"])), min_size=1, max_size=3)))


class Dump(Property):
    def start(self, name, card):
        if self.aggregator:
            self.aggregator.kill()
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.aggregator = Aggregator(folder, [card]).start()

    def send_rows(self, some):
        path = self.write("send.csv", csv_of(some))
        run(POISE, "send", "--to", self.aggregator.ingest, "--spool", self.aggregator.folder / "spool", "--csv", path,
            check=None)

    def dump(self, *more):
        return run(POISE, "dump", "--from", self.aggregator.query, *more).stdout

    def without_refused(self, card, batches):
        """The batches without what is refused, at places of now."""
        while refused := oracle.Oracle(card, [row for some, _ in batches for row in some]).journal.refused:
            at = iter(range(1, 1 << 30))
            batches = [([row for row in some if next(at) not in refused], how) for some, how in batches]
        return batches

    @holds_for(40, shrinks=False, card=scorecards(max_children=1, inputs=["a"]), mixed=mixes)
    def test_the_same_scores(self, card, mixed):
        mix, batches = mixed
        if mix == "some":
            batches = self.without_refused(card, batches)
        path = self.write_card(card)
        self.start("first", path)
        for some, disturbance in batches:
            self.send_rows(some)
            if disturbance != "none":
                getattr(self.aggregator, disturbance)()
                self.aggregator.start()
        sent = [row for some, _ in batches for row in some]
        if oracle.Oracle(card, sent).journal.latest_ms is None:
            return  # there is no time to score at
        live = self.aggregator.get(card["scorecard"], "--all-orgs")
        question = ["--all-orgs", "--as-of", live[0]["as_of"]]
        csv, jsonl = self.dump(), self.dump("--format", "jsonl")
        self.same_states(live, self.states(path, csv, *question, "--strict"))
        done = self.evaluate_text(path, jsonl, *question, "--strict", name="rows.jsonl")
        self.same_states(live, json.loads(done.stdout))
        if mix != "some":
            standing = self.dump("--standing")
            self.same_orgs(live, self.states(path, standing, *question, "--strict"))
            self.assertNotIn("true", standing)
        self.check_import(path, card, live, {"rows.csv": csv, "rows.jsonl": jsonl})

    def same_orgs(self, live, offline):
        """An org of which all was retracted, or has moved on, is one that nobody knows of what stands."""
        known = {state["org"] for state in offline}
        self.same_states([state for state in live if state["org"] in known], offline)
        self.assertLessEqual({state["org"] for state in live if state["count"]}, known)

    def check_import(self, path, card, live, files):
        for name, text in files.items():
            self.start("second", path)
            done = run(POISE, "import", "--to", self.aggregator.ingest, "--spool", self.aggregator.folder / "spool",
                       self.write(name, text))
            self.assertRegex(done.stdout, r"^\d+ counted, 0 refused\n$")
            self.same_states(self.aggregator.get(card["scorecard"], "--all-orgs"), live)
            self.assertEqual(self.dump(), files["rows.csv"])


if __name__ == "__main__":
    main()
