"""Live equals eval, to the bit: whatever the batches, restarts and crashes in between. What other scorecards decide for
one, namely whether a value is a level, eval of the one does not know: there the oracle does."""
import dataclasses
import shutil
import time

from hypothesis import strategies as st

import generators
import oracle
from generators import csv_of, rows, scorecards, time_text
from harness import POISE, Aggregator, Property, holds_for, main, run

DISTURBANCES = ["none", "none", "stop", "kill"]
settings = st.fixed_dictionaries({}, optional={
    "checkpoint": st.sampled_from(["100ms", "30s"]), "settle": st.sampled_from(["1ms", "1s"]),
    "max_cells": st.sampled_from([0, 5])})
batches = st.lists(st.tuples(rows(inputs=["a"], max_size=15), st.sampled_from(DISTURBANCES),
                             st.sampled_from(["one", "two"])), min_size=1, max_size=4)


LEVELS = {"aggregates": ["first", "last", "min", "max", "count"], "max_children": 1}  # of few leaves, often all levels


def two_cards(**options):
    """One scorecard that reads all that is sent, and one with an input of which nothing comes."""
    return st.tuples(*(scorecards(id_, inputs=inputs, **options)
                       for id_, inputs in (("one", ["a"]), ("two", ["a", "b"]))))


def cards_alike(**fixed):
    """What eval of one scorecard refuses, all of them refuse."""
    return st.one_of(two_cards(but=["levels"], **fixed), st.tuples(scorecards("one", inputs=["a"], **fixed)),
                     st.tuples(scorecards("one", inputs=["a"], **LEVELS, **fixed)))


def others(cards, card):
    return [other for other in cards if other is not card]


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

    def check_by_eval(self, cards, card, sent, *question):
        live = self.aggregator.get(card["scorecard"], "--all-orgs", *question)
        if not question:
            question = ["--as-of", live[0]["as_of"]]
        path = self.folder / (card["scorecard"] + ".yaml")
        self.same_states(live, self.states(path, csv_of(sent), "--all-orgs", *question))

    def check_by_oracle(self, cards, card, sent, *question):
        live = self.aggregator.get(card["scorecard"], "--all-orgs", *question)
        if not question:
            self.same_states(live, self.aggregator.get(card["scorecard"], "--all-orgs", "--as-of", live[0]["as_of"]))
        wanted = oracle.Oracle(card, sent, others(cards, card)).states(oracle.ms_of(live[0]["as_of"]), oracle.ALL)
        self.check_states(card, [state | {"definition": None, "revision": None} for state in live], wanted)

    def check_stream(self, check, cards, batches, options, clock, questions):
        self.start([self.write_card(card, card["scorecard"] + ".yaml") for card in cards], options, clock)
        sent, counts = [], clock == "wall"
        for some, disturbance, spool in batches:
            self.send_rows(some, spool)
            sent += some
            self.disturb(disturbance)
            counts = counts or any(oracle.Oracle(card, sent, others(cards, card)).journal.latest_ms is not None
                                   for card in cards)
            for card in cards if counts else []:  # else there is no time to score at
                check(cards, card, sent)
        for card in cards:
            for question in questions:
                check(cards, card, sent, *question)

    @holds_for(60, shrinks=False, cards=cards_alike(), batches=batches, options=settings, as_of=generators.times)
    def test_event_clock(self, cards, batches, options, as_of):
        self.check_stream(self.check_by_eval, cards, batches, options, "event", [
            ["--as-of", time_text(as_of)], ["--as-of", "2021-12-31T00:00:00Z", "--history"]])

    @holds_for(40, shrinks=False, cards=two_cards(**LEVELS), batches=batches, options=settings, as_of=generators.times)
    def test_levels_of_two(self, cards, batches, options, as_of):
        """A value is refused only where it is a level of neither scorecard, and both have levels only."""
        self.check_stream(self.check_by_oracle, cards, batches, options, "event", [
            ["--as-of", time_text(as_of)], ["--as-of", "2021-12-31T00:00:00Z"]])

    @holds_for(25, shrinks=False, cards=cards_alike(max_ahead="3650d"), batches=batches, options=settings,
               by=st.integers(-60, 60))
    def test_wall_clock(self, cards, batches, options, by):
        """Measurements of the past and of the future, which wait, are moved, superseded and retracted."""
        shift = round(time.time() * 1000) - generators.ANCHORS[2] + by * generators.DAY
        moved = [([dataclasses.replace(row, time_ms=row.time_ms + shift) for row in some], *how)
                 for some, *how in batches]
        self.check_stream(self.check_by_eval, cards, moved, options, "wall", [
            ["--as-of", time_text(generators.ANCHORS[-1] + shift)]])


if __name__ == "__main__":
    main()
