"""What subscribers see: whatever their filters, intervals, credit and luck, in the end exactly the live state."""
import random
import threading
import time

import system
from system import Aggregator, Case
from test_main_path import CARD, SECOND
from wire import Peer, Producer, View, pb

MEASURES = ("defects", "cycle", "cycle", "nps", "complaints")
ORGS = [""] + [f"{site}/{line}" for site in "abcd" for line in range(6)] + list("abcd")
T0 = 1774569600000  # 2026-03-27
DAY = 86400000


def random_rows(random_, count):
    """Late, early, keyed, corrected and retracted ones, over four days."""
    rows = []
    for _ in range(count):
        key = f"k{random_.randrange(200)}" if random_.random() < 0.3 else ""
        value = random_.choice([random_.randrange(20), random_.random() * 20])
        rows.append((random_.choice(MEASURES), random_.choice(ORGS), T0 + random_.randrange(4 * DAY), float(value),
                     float(random_.randrange(1, 100)), key, random_.randrange(1, 10 ** 6) if key else 0,
                     bool(key) and random_.random() < 0.2))
    return rows


def plain(states):
    """A view to compare: what `as_of_ms` a message has is of the message, not of the state; NaN equals NaN."""
    result = {}
    for key, state in states.items():
        copy = pb.State()
        copy.CopyFrom(state)
        copy.as_of_ms = 0
        result[key] = copy.SerializeToString(deterministic=True)
    return result


class Subscriber(threading.Thread):
    """Reads a view on a thread of its own until it is told to end."""

    def __init__(self, endpoint, pause=0.0, reconnect_every=None, **subscribe):
        super().__init__(daemon=True)
        self.endpoint, self.subscribe, self.pause, self.reconnect_every = endpoint, subscribe, pause, reconnect_every
        self.view = View(endpoint, **subscribe)
        self.views = self.taken = 0
        self.end = threading.Event()
        self.expected = None  # set before `end`: the view that it must come to
        self.failure = None

    def run(self):
        try:
            while not self.end.is_set():
                if self.view.take(0.05):
                    self.turn()
            deadline = time.monotonic() + 60
            while plain(self.view.states) != self.expected and time.monotonic() < deadline:  # the rest
                if self.view.take(0.05):
                    self.view.give()
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def turn(self):
        self.taken += 1
        self.end.wait(self.pause)
        self.view.give()
        if self.reconnect_every and self.taken % self.reconnect_every == 0:
            self.view.close()
            self.view = View(self.endpoint, **self.subscribe)
            self.views += 1


class Streams(Case):
    def setUp(self):
        super().setUp()
        self.cards = [self.write("plant.yaml", CARD), self.write("second.yaml", SECOND)]
        self.aggregator = self.start("live")
        self.others, self.views = [], []

    def tearDown(self):
        for view in self.views:
            view.close()
        for other in self.others:
            other.kill()
        super().tearDown()

    def start(self, name):
        folder = self.folder / name
        folder.mkdir()
        return Aggregator(folder, self.cards, settings="settle: 5ms\ncheckpoint: 200ms").start()

    def look(self, aggregator=None, **subscribe):
        """A view that has its snapshot."""
        view = View((aggregator or self.aggregator).query, **subscribe)
        self.views.append(view)
        return view.until(lambda: view.complete)

    def snapshot(self, aggregator=None, **subscribe):
        return plain(self.look(aggregator, once=True, **subscribe).states)

    def test_every_view_ends_equal(self):
        random_ = random.Random(11)
        query = self.aggregator.query
        orgs = pb.Filter(orgs=["a/**", "*/1", ""])
        nodes = pb.Filter(nodes=["plant/internal/speed", "plant/customer/loyalty/nps"], orgs=["**"])
        subscribers = {
            "all": Subscriber(query),
            "one card": Subscriber(query, filter=pb.Filter(scorecards=["second"])),
            "some orgs": Subscriber(query, filter=orgs),
            "some nodes": Subscriber(query, filter=nodes),
            "nothing": Subscriber(query, filter=pb.Filter(orgs=["none"])),
            "interval": Subscriber(query, least_interval_ms=100),
            "little credit": Subscriber(query, pause=0.03, credit=1),
            "slow": Subscriber(query, pause=0.2, credit=2, filter=orgs),
            "reconnecting": Subscriber(query, reconnect_every=5),
        }
        for subscriber in subscribers.values():
            subscriber.start()
        stalled = self.look(credit=3)
        producers = [Producer(self.aggregator.ingest, f"p{number}") for number in range(3)]
        self.views += producers
        for producer in producers:
            producer.hello()
        busy = [subscribers[name].view for name in ("all", "some orgs", "some nodes", "little credit", "interval", "slow")]
        for round_ in range(2000):
            if round_ > 100 and all(view.updates > 2 for view in busy):
                break
            producer = producers[round_ % 3]
            producer.put(producer.batch(random_rows(random_, random_.choice([1, 5, 60]))))

        for subscriber in subscribers.values():
            fields = {key: value for key, value in subscriber.subscribe.items() if key == "filter"}
            subscriber.expected = self.snapshot(**fields)
            subscriber.end.set()
        for name, subscriber in subscribers.items():
            subscriber.join(90)
            self.views.append(subscriber.view)
            self.assertIsNone(subscriber.failure, name)
            self.assertEqual(plain(subscriber.view.states), subscriber.expected, name)
        everything = subscribers["all"].view
        for name in ("all", "some orgs", "some nodes", "little credit", "interval", "slow"):
            self.assertGreater(subscribers[name].view.updates, 2, name)  # else nothing was tested
        self.assertLess(subscribers["interval"].view.updates, everything.updates)
        self.assertGreater(subscribers["reconnecting"].views, 3)
        self.assertEqual(subscribers["nothing"].view.states, {})

        stalled.give()  # who stood still goes on from where it was
        stalled.until(lambda: plain(stalled.states) == plain(everything.states))
        self.assertEqual(plain(stalled.states), plain(everything.states))
        self.same_as_get(everything.states)
        self.aggregator.stop()

    def same_as_get(self, states):
        live = self.aggregator.get("plant", "--all-orgs")
        self.assertEqual(len(live), len([node for _, node in states if node.startswith("plant")]))
        for state in live:
            mine = states[state["org"], state["node"]]
            self.assertEqual([None if value != value or field == "count" and value < 0 else value
                              for field in ("count", "value", "score", "lo", "hi") for value in [getattr(mine, field)]],
                             [state[field] for field in ("count", "value", "score", "lo", "hi")])

    def test_nobody_waits_for_the_stalled(self):
        """They keep nobody from being acknowledged, and when they come back get the present, not all that was."""
        options = {"RCVHWM": 1}
        deaf = [self.look(credit=10 ** 6, options=options) for _ in range(5)]
        poor = [self.look(credit=1) for _ in range(5)]
        for view in poor:
            view.probe()
        producer = Producer(self.aggregator.ingest, "p")
        self.views.append(producer)
        producer.hello()
        orgs = [f"{site}/{line}" for site in range(10) for line in range(30)]
        # More changes than the aggregator remembers, and more at a time than an update can hold.
        for round_ in range(30):
            rows = [(measure, org, T0 + round_ * 1000, float(round_ * 7 % 20)) for org in orgs for measure in set(MEASURES)]
            self.assertEqual(producer.put(producer.batch(rows)), [])
        peer = Peer(self.aggregator.query)
        self.views.append(peer)
        stats = peer.stats()
        self.assertGreater(stats["poise_changes"], 2 ** 17)
        self.assertEqual(stats["poise_stream_full"], 0)
        present = self.look()  # what was acknowledged is published a little later
        present.until(lambda: present.complete and any(state.count == 30 * len(orgs) for state in present.states.values()))
        for view in deaf + poor:
            view.give()
            view.until(lambda: view.lsn == present.lsn and view.complete)
            self.assertEqual(plain(view.states), plain(present.states))
            if view in poor:  # who is deaf has as much as fits between him and the aggregator, maybe half of it
                self.assertGreaterEqual(view.snapshots, 2)
            self.assertLessEqual(view.updates, 5 if view in poor else 30)
        self.aggregator.stop()

    def test_the_stalled_hold_nobody_up(self):
        """Who reads gets each change, beside many who do not. At what rate: bench/streams."""
        producer = Producer(self.aggregator.ingest, "p")
        self.views.append(producer)
        producer.hello()
        for _ in range(20):
            self.look(credit=10 ** 9, options={"RCVHWM": 1})
        view, rows = self.look(), [(measure, org, T0, 1.0) for org in ORGS for measure in set(MEASURES)]
        for _ in range(60):
            self.assertEqual(producer.put(producer.batch(rows)), [])
            lsn = view.lsn
            view.until(lambda lsn=lsn: view.lsn > lsn)
        self.assertEqual(view.snapshots, 1)
        peer = Peer(self.aggregator.query)
        self.views.append(peer)
        self.assertEqual(peer.stats()["poise_stream_full"], 0)
        self.aggregator.stop()

    def test_killed_under_subscribers(self):
        """What was acknowledged is there again, to the bit as on an aggregator that was never killed."""
        random_ = random.Random(12)
        never_killed = self.start("reference")
        self.others.append(never_killed)
        batches, reference = [], Producer(never_killed.ingest, "p")
        self.views.append(reference)
        reference.hello()
        view = self.look()
        producer = Producer(self.aggregator.ingest, "p")
        self.views.append(producer)
        producer.hello()
        for _ in range(4):
            start = len(batches)
            batches += [producer.batch(random_rows(random_, 20)) for _ in range(25)]
            for batch in batches[start:]:
                producer.send(batch)
            acknowledged = start + random_.randrange(1, 20)
            producer.acknowledged(acknowledged)
            before = view.lsn
            self.aggregator.kill()
            self.aggregator.start()
            welcome = None
            while welcome is None or welcome.epoch != producer.epoch:
                producer.send(pb.Hello(producer="p", epoch=producer.epoch, next_seq=acknowledged + 1))
                welcome = self.welcome(producer)
            self.assertGreater(welcome.next_seq, acknowledged)
            self.feed(reference, batches, welcome.next_seq - 1)
            self.assertEqual(self.snapshot(), self.snapshot(never_killed))

            for batch in batches[welcome.next_seq - 1:]:
                producer.send(batch)
            if welcome.next_seq <= len(batches):
                producer.acknowledged(len(batches))
            self.feed(reference, batches, len(batches))
            present = self.look()
            snapshots = view.snapshots
            view.probe()  # ENOTFOUND: it asks again
            view.until(lambda: view.snapshots > snapshots and view.complete and view.lsn >= present.lsn)
            self.assertGreater(view.lsn, before)
            self.assertEqual(plain(view.states), self.snapshot(never_killed))
        self.aggregator.stop()

    def welcome(self, producer):
        try:
            return producer.expect(pb.Welcome, 2)
        except AssertionError:
            return None

    def feed(self, reference, batches, until):
        for batch in batches[reference.seq:until]:
            copy = pb.Batch()
            copy.CopyFrom(batch)
            copy.epoch = reference.epoch
            reference.seq += 1
            reference.put(copy)


if __name__ == "__main__":
    system.main()
