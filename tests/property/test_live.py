"""Live equals eval, to the bit: whatever the batches, restarts and crashes in between."""
import dataclasses
import shutil
import time

from hypothesis import strategies as st

import generators
from generators import csv_of, rows, scorecards, time_text
from harness import POISE, Aggregator, Property, holds_for, main, run

DISTURBANCES = ["none", "none", "stop", "kill"]
settings = st.fixed_dictionaries({}, optional={
    "checkpoint": st.sampled_from(["100ms", "30s"]), "settle": st.sampled_from(["1ms", "1s"]),
    "max_cells": st.sampled_from([0, 5])})
batches = st.lists(st.tuples(rows(inputs=["a"], max_size=15), st.sampled_from(DISTURBANCES),
                             st.sampled_from(["one", "two"])), min_size=1, max_size=4)


def two_cards(**fixed):
    """One scorecard that reads all that is sent, and one with an input of which nothing comes. Without levels: whether
    they refuse a value depends on both scorecards, live, and on the one, in eval."""
    return st.tuples(*(scorecards(id_, inputs=inputs, but=["levels"], **fixed)
                       for id_, inputs in (("one", ["a"]), ("two", ["a", "b"]))))


class Live(Property):
    def start(self, cards, options, clock):
        """An aggregator with an empty store."""
        if self.aggregator:
            self.aggregator.kill()
        folder = self.folder / "live"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        text = "\n".join(f"{key}: {value}" for key, value in options.items())
        self.aggregator = Aggregator(folder, cards, clock=clock, settings=text).start()

    def disturb(self, how):
        if how != "none":
            getattr(self.aggregator, how)()
            self.aggregator.start()

    def send_rows(self, some, spool):
        path = self.write("send.csv", csv_of(some))
        spool = self.aggregator.folder / spool
        done = run(POISE, "send", "--to", self.aggregator.ingest, "--spool", spool, "--csv", path, check=None)
        self.assertRegex(done.stdout, r"^\d+ counted, \d+ refused$", done.stderr)

    def check_card(self, card, path, sent, *question):
        live = self.aggregator.get(card["scorecard"], "--all-orgs", *question)
        if not question:
            question = ["--as-of", live[0]["as_of"]]
        self.same_states(live, self.states(path, csv_of(sent), "--all-orgs", *question))

    def check_stream(self, cards, batches, options, clock, questions):
        paths = [self.write_card(card, card["scorecard"] + ".yaml") for card in cards]
        self.start(paths, options, clock)
        inputs = {node["input"] for card in cards for node in generators.descendants(card) if "input" in node}
        sent = []
        for some, disturbance, spool in batches:
            self.send_rows(some, spool)
            sent += some
            self.disturb(disturbance)
            if clock == "event" and not any(row.measure in inputs and not row.retract for row in sent):
                continue  # nothing is counted yet, so there is no time to score at
            for card, path in zip(cards, paths):
                self.check_card(card, path, sent)
        for card, path in zip(cards, paths):
            for question in questions:
                self.check_card(card, path, sent, *question)

    @holds_for(50, shrinks=False, cards=two_cards(), batches=batches, options=settings, as_of=generators.times)
    def test_event_clock(self, cards, batches, options, as_of):
        self.check_stream(cards, batches, options, "event", [
            ["--as-of", time_text(as_of)], ["--as-of", "2021-12-31T00:00:00Z", "--history"]])

    @holds_for(25, shrinks=False, cards=two_cards(max_ahead="3650d"), batches=batches, options=settings,
               by=st.integers(-60, 60))
    def test_wall_clock(self, cards, batches, options, by):
        """Measurements of the past and of the future, which wait, are moved, superseded and retracted."""
        shift = round(time.time() * 1000) - generators.ANCHORS[2] + by * generators.DAY
        moved = [([dataclasses.replace(row, time_ms=row.time_ms + shift) for row in some], *how)
                 for some, *how in batches]
        self.check_stream(cards, moved, options, "wall", [["--as-of", time_text(generators.ANCHORS[-1] + shift)]])


if __name__ == "__main__":
    main()
