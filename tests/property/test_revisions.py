"""What comes late revises the closed periods that it changes, each once a commit, and nothing else; what was known
before can be seen again; what a lock holds up is what eval does not count. Judged by what the journal makes of the past
before and after."""
import collections
import dataclasses
import math
import re
import shutil

from hypothesis import strategies as st

import generators
import oracle
from generators import DAY, Row, csv_of, leaves_of, scorecards, time_text
from harness import POISE, Aggregator, Property, holds_for, main, run
from wire import Peer, View, pb

MARK = {"scorecard": "mark", "period": "year", "grace": "3650d", "perspectives": [{"id": "p", "objectives": [
    {"id": "o", "measures": [{"id": "mark", "aggregate": "count", "score": {"linear": {"from": 0, "to": 1}}}]}]}]}
NUMBERS = ("value", "attainment", "score", "lo", "hi", "coverage", "filled", "trend")
GRACES = ["0s", "1h", "36h", "4d", "9d"]
FIRST_NOW = generators.ANCHORS[2]
START = FIRST_NOW - 50 * DAY  # in winter; then it goes on into summer


def has_grace(leaf):
    return "aggregate" in leaf and "rolling" not in leaf


@st.composite
def graceful(draw, with_locks):
    """A scorecard of few leaves whose periods close at different times."""
    zone = draw(st.sampled_from(generators.ZONES))
    card = draw(scorecards("card", max_children=2, inputs=["a", "b"], but=["levels"], zones=[zone],
                           periods=["day", "week", "month"]))
    card["grace"] = draw(st.sampled_from(GRACES))
    for leaf in filter(has_grace, leaves_of(card)):
        if draw(st.integers(0, 2)) == 0:
            leaf["grace"] = draw(st.sampled_from(GRACES))
    if with_locks:
        card["lock_after"] = draw(st.sampled_from(["9d", "20d"]))
        for leaf in filter(has_grace, leaves_of(card)):
            if draw(st.integers(0, 2)) == 0:
                leaf["lock_after"] = draw(st.sampled_from(["9d", "12d", "40d"]))
    return card


def some_rows(from_ms, to_ms, edges):
    """From one time to another, often where a period ends."""
    sharp = st.builds(lambda edge, by: min(max(edge + by, from_ms), to_ms), st.sampled_from(edges),
                      st.sampled_from([-1, 0, 1]))
    return generators.rows(generators.ordinary_numbers, inputs=["a", "b"], max_size=4, orgs=["", "p", "p/x", "q"],
                           when=st.one_of(sharp, st.integers(from_ms, to_ms)),
                           seqs_=st.one_of(generators.seqs, st.just("")))


def numbers_of(state, *but):
    """What is published of a state of the wire, to compare."""
    numbers = [getattr(state, name) for name in NUMBERS if name not in but]
    return ([None if math.isnan(x) else x for x in numbers], list(state.period_ms), state.count, state.flags, state.status,
            state.uncertain)


def bytes_of(states):
    return [state.SerializeToString() for state in states.values()]


def is_something(state):
    return not (math.isnan(state.value) and math.isnan(state.score))


class Locks:
    """What must be held up, by the definition: a row whose old or new period is locked for some reader of its input."""

    def __init__(self, card):
        self.calendar = oracle.Calendar(card["timezone"], card.get("fiscal_year_start", 1))
        self.card, self.keys = card, {}

    def is_locked(self, input_, time_ms, now_ms):
        return any(self.calendar.period_of(leaf.get("period", self.card.get("period", "month")), time_ms)[1]
                   + oracle.duration_ms(leaf.get("lock_after", self.card.get("lock_after", "9999999d"))) <= now_ms
                   for leaf in filter(has_grace, leaves_of(self.card)) if leaf["input"] == input_)

    def take(self, row, ordinal, now_ms):
        """Whether the row is held up (at no time: it is not); else it counts from now on."""
        is_new_locked = not row.retract and self.is_locked(row.measure, row.time_ms, now_ms)
        if not row.key:
            return is_new_locked
        key, seq = (row.measure, row.source, row.key), int(row.seq) if row.seq else ordinal
        old_seq, old_ms = self.keys.get(key, (0, None))
        if seq <= old_seq:
            return False  # superseded, a duplicate or a contradiction: it changes nothing
        if is_new_locked or (old_ms is not None and self.is_locked(row.measure, old_ms, now_ms)):
            return True
        self.keys[key] = seq, None if row.retract else row.time_ms
        return False


class Revisions(Property):
    def setUp(self):
        super().setUp()
        self.peers = []

    def tearDown(self):
        self.close_peers()
        super().tearDown()

    def close_peers(self):
        for peer in self.peers:
            peer.close()
        self.peers = []

    def begin(self, card):
        """An aggregator with an empty store."""
        self.close_peers()
        if self.aggregator:
            self.aggregator.kill()
        folder = self.folder / "live"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        cards = [self.write_card(card), self.write_card(MARK, "mark.yaml")]
        self.aggregator = Aggregator(folder, cards, settings="checkpoint: 100ms").start()
        self.card, self.locks, self.sent, self.marks = card, Locks(card), [], 0
        self.held, self.let_in = [], set()  # places in self.sent
        self.revised = collections.Counter()
        self.meet()

    def meet(self):
        self.view = View(self.aggregator.query)
        self.asker = Peer(self.aggregator.query)
        self.peers = [self.view, self.asker]
        self.view.until(lambda: self.view.complete)

    def commit(self, some, mark_ms=START, *how):
        """Sends rows and a mark, and waits for the mark in the stream; what is held up must be what the locks say."""
        rows = [*some, Row(mark_ms, "mark", "", "1")]
        path = self.write("send.csv", csv_of(rows))
        done = run(POISE, "send", "--to", self.aggregator.ingest, "--spool", self.aggregator.folder / "spool", "--csv", path,
                   *how, check=None)
        first = len(self.sent)
        held = {first + int(line) - 2 for line in re.findall(r"send\.csv:(\d+): refused: .*locked", done.stderr)}
        wanted = {at for at, row in enumerate(rows, first) if self.locks.take(row, at + 1, self.now_ms)}
        self.assertEqual(held, wanted, done.stderr)
        self.held += sorted(held)
        self.sent += rows
        self.marks += 1
        self.view.until(lambda: ("", "mark/p/o/mark") in self.view.states
                        and self.view.states["", "mark/p/o/mark"].count == self.marks)
        self.late_ms, self.now_ms = self.now_ms, max(self.now_ms, mark_ms + 1)  # T moves behind the rows

    def restate(self, known):
        """Lets in all that is held up: it counts as if it came now."""
        first = len(self.sent)
        run(POISE, "restate", "--from", self.aggregator.query, "--reason", "all of it")
        for row in [self.sent[at] for at in self.held]:
            self.locks.take(row, len(self.sent) + 1, -1 << 62)
            self.sent.append(row)
        self.let_in |= {*self.held}
        self.held, self.late_ms = [], self.now_ms
        now, lsn = self.ask()
        self.check_revisions(known, now, first)
        return now, lsn

    def ask(self, now_ms=None, lsn=0):
        """The history at every org, as known with a record of the journal (0: now); and which one was the last."""
        self.asker.send(pb.Query(id=lsn + 1, scorecard="card", all_orgs=True, as_of_ms=now_ms or self.now_ms,
                                 history=True, credit=1000, known_lsn=lsn))
        states, part = {}, None
        while not part or not part.last:
            part = self.asker.expect(pb.Result)
            states |= {(state.org, state.node, state.as_of_ms): state for state in part.states}
        return states, part.lsn

    def is_closed(self, node, end_ms):
        leaf = next((leaf for leaf in leaves_of(self.card) if node.count("/") == 3 and node.endswith("/" + leaf["id"])), {})
        grace = leaf.get("grace", self.card["grace"])
        return "rolling" not in leaf and end_ms + oracle.duration_ms(grace) <= self.late_ms

    def came(self, places):
        """The revisions that the stream told since last asked, which are at least those of the places."""
        told = lambda: {(state.org, state.node, state.as_of_ms): state for state in self.view.revisions}
        self.view.until(lambda: told().keys() >= places)
        came, self.view.revisions = self.view.revisions, []
        self.assertEqual(len(came), len({(state.org, state.node, state.as_of_ms) for state in came}), "one a commit")
        return {(state.org, state.node, state.as_of_ms): state for state in came}

    def check_revisions(self, before, after, first):
        """Those that came are what differs as of the ends of closed periods, no more and no less. But a new org may have
        some of what it scores without data (`empty`, imputed)."""
        came = self.came({place for place, state in after.items() if state.revision > self.revised[place]})
        touched = {(state.org, state.as_of_ms) for state in after.values() if state.count > 0}
        for place, state in after.items():
            org, node, end_ms = place
            old = before.get(place)
            changed = numbers_of(old, "trend") != numbers_of(state, "trend") if old else is_something(state)
            due = changed and end_ms < self.now_ms and self.is_closed(node, end_ms)
            if not old and (org, end_ms) not in touched:
                due = place in came
            self.assertEqual(due, place in came, (place, old, state, came.get(place)))
            self.revised[place] += due
            self.assertEqual(self.revised[place], state.revision, place)
            if due:
                said = came.pop(place)
                self.assertEqual(numbers_of(said), numbers_of(state), place)
                self.assertEqual(said.revision, self.revised[place])
                self.assertEqual(repr(said.replaced), repr(old.score if old else math.nan))
                self.assertTrue(first < said.cause <= len(self.sent), said)
        self.assertEqual([place for place in came if place[0] == "" or place[2] > START + 32 * DAY], [])

    def check_commit(self, known, some, *more):
        first = len(self.sent)
        self.commit(some, *more)
        now, lsn = self.ask()
        self.check_revisions(known, now, first)
        return now, lsn

    def check_life(self, card, data, commits):
        """Of an aggregator: whatever comes late, again and again; each answer must stay what it was known to be."""
        self.begin(card)
        self.now_ms = START - 1
        self.commit([Row(START, input_, "", "1") for input_ in ("a", "b")], FIRST_NOW - 1)
        known, lsn = self.ask()
        lives = [(known, lsn, self.now_ms)]
        for _ in range(commits):
            now_ms, mark_ms, more = self.now_ms, START, []
            edges = generators.edges(card, now_ms - data.draw(st.sampled_from([0, DAY, 7 * DAY, 31 * DAY])))
            times = START, now_ms - 1
            how = data.draw(st.sampled_from(["late", "late", "late", "backfill", "time", "kill", "restate"]))
            if how == "time":
                mark_ms = now_ms + data.draw(st.sampled_from([0, DAY, 3 * DAY, 12 * DAY]))
                times = now_ms, mark_ms
                known, _ = self.ask(mark_ms + 1)
            elif how == "backfill":
                more = ["--backfill"]
            elif how == "kill":
                self.close_peers()
                self.aggregator.kill()
                self.aggregator.start()
                self.meet()
            elif how == "restate":
                known, lsn = self.restate(known)
                lives.append((known, lsn, self.now_ms))
            known, lsn = self.check_commit(known, data.draw(some_rows(*times, edges)), mark_ms, *more)
            lives.append((known, lsn, self.now_ms))
        self.check_commit(known, [])  # nothing came belated
        for states, lsn, now_ms in lives:
            again, _ = self.ask(now_ms, lsn)
            self.assertEqual(bytes_of(again), bytes_of(states))

    @holds_for(40, shrinks=False, card=graceful(with_locks=False), data=st.data(), commits=st.integers(1, 8))
    def test_every_revision_and_no_other(self, card, data, commits):
        self.check_life(card, data, commits)

    @holds_for(30, shrinks=False, card=graceful(with_locks=True), data=st.data(), commits=st.integers(1, 8))
    def test_locks(self, card, data, commits):
        """What is held up counts when it is let in, in the order in which it came."""
        self.check_life(card, data, commits)
        left_out = {*self.held} | self.let_in  # the place of each counts, where it has no seq
        rows = [dataclasses.replace(row, measure="nobody", key="", retract=False, value="0") if at in left_out else row
                for at, row in enumerate(self.sent)]
        question = ["--all-orgs", "--history", "--as-of", time_text(self.now_ms)]
        live = self.aggregator.get("card", *question)
        self.same_states(live, self.states(self.folder / "card.yaml", csv_of(rows), *question))
        run(POISE, "verify", "--from", self.aggregator.query)


if __name__ == "__main__":
    main()
