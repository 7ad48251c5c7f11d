#!/usr/bin/python3
"""Prints the scores of an aggregator as they change: subscribe.py ENDPOINT [--once]

ENDPOINT is its query endpoint. With --once, prints the present state and ends. Survives cuts and restarts of the
aggregator: it goes on where it was, and only where the aggregator does not know that any more the view begins again
with a snapshot."""
import datetime
import itertools
import math
import sys

from poise_wire import Link, name_of, pb

CREDIT = 64  # messages that may be on their way
SILENCE_MS = 2000


def number(value):
    return "-" if math.isnan(value) else f"{value:.15g}"


def show(state):
    time = datetime.datetime.fromtimestamp(state.as_of_ms / 1000, datetime.timezone.utc)
    revision = f" revision {state.revision} of a closed period" if state.revision else ""  # none of the latest numbers
    print(f"{time:%Y-%m-%dT%H:%M:%SZ} {state.org or '(root)'} {state.node} value={number(state.value)} "
          f"score={number(state.score)} {pb.Status.Name(state.status).lower()}{revision}", flush=True)


class Subscription:
    ids = itertools.count(1)  # a new one each time, so that what is late of the old one cannot be mixed up with it

    def __init__(self, endpoint, once):
        self.endpoint, self.once = endpoint, once
        self.from_lsn = self.from_revised = self.view = 0
        self.link = Link(endpoint)
        self.subscribe()

    def subscribe(self):
        """From the view that we have, if we have one (README: Resuming)."""
        self.id, self.complete, self.in_snapshot, self.consumed = next(self.ids), False, False, 0
        self.lsn = self.from_lsn
        self.link.send(pb.Subscribe(id=self.id, credit=CREDIT, once=self.once, from_lsn=self.from_lsn,
                                    from_revised=self.from_revised, from_view=self.view))

    def take(self, message):
        """True: done."""
        if message.id not in (self.id, 0):
            return False  # of a subscription before
        if isinstance(message, pb.Error):
            if message.code != pb.CODE_ENOTFOUND:
                sys.exit(f"{name_of(pb.Code, message.code)}: {message.text}")
            self.subscribe()  # the aggregator was restarted
            return False
        if isinstance(message, pb.Update) and not self.follows(message):
            return False
        for state in message.states:
            show(state)
        self.lsn = message.lsn
        self.note_place(message)
        # A snapshot may also come later, when this subscriber was too slow for updates.
        self.complete = isinstance(message, pb.Update) or message.last
        self.give_credit()
        return self.once and self.complete

    def follows(self, update):
        """Whether it has something to take in, and goes on from what we have."""
        sign = not update.states and update.lsn == update.prev  # of life, without credit
        if not self.complete and not self.in_snapshot and self.from_lsn and update.prev == self.from_lsn:
            self.complete = True  # the aggregator goes on from the view that we have
        if self.complete and update.prev == self.lsn:
            return not sign
        if self.complete or not sign:
            print("something was lost: starting again", file=sys.stderr)
            self.link.send(pb.Unsubscribe(id=self.id))
            self.subscribe()
        return False

    def note_place(self, message):
        """Where to go on after a cut: behind what came whole, and the revisions that came of what did not."""
        if isinstance(message, pb.Snapshot):
            self.in_snapshot = not message.last
            self.from_lsn = message.lsn if message.last and not message.more else 0
            self.from_revised, self.view = 0, message.view
        elif not message.more:
            self.from_lsn, self.from_revised = message.lsn, 0
        elif self.from_lsn:
            self.from_revised += sum(state.revision > 0 for state in message.states)

    def give_credit(self):
        self.consumed += 1
        if self.consumed >= CREDIT // 2:
            self.link.send(pb.Credit(id=self.id, more=self.consumed))
            self.consumed = 0

    def run(self):
        done, silent = False, 0
        while not done:
            message = self.link.receive(SILENCE_MS)
            if message is not None:
                done, silent = self.take(message), 0
                continue
            silent += 1
            if silent >= 3:  # nobody there: connect again
                self.link.socket.close()
                self.link, silent = Link(self.endpoint), 0
                self.subscribe()
            else:
                self.link.send(pb.Credit(id=self.id, more=0))  # does it stand?


def main():
    try:
        Subscription(sys.argv[1], "--once" in sys.argv[2:]).run()
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
