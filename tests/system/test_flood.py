"""Hostile peers in numbers, over TCP: the aggregator's memory stays within the bound that docs/operations.md writes down, honest
peers get on and keep their exact numbers, and nothing gets in. How fast they get on: bench/flood."""
import os
import pathlib
import signal
import subprocess
import sys
import time

import system
from system import AGGREGATOR, POISE, SOURCE, Aggregator, Case, Locked, curve, run
from wire import Peer, Producer, View, pb

CARD = """
scorecard: plant
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: total, input: m, aggregate: sum, score: {linear: {from: 0, to: 1000}}}
          - {id: rows, input: m, aggregate: count, score: {linear: {from: 0, to: 1000}}}
"""
QUALITY = "plant/internal/quality/"
T0 = 1772445600000
MIB = 1 << 20
CONNECTIONS, QUEUED, SUBSCRIPTIONS = 300, 32 * MIB, 500
SLOWED = b"__tsan_init" in AGGREGATOR.read_bytes()  # our threads, to a tenth; not libzmq's: it takes in what we cannot look at
SANITIZED = SLOWED or b"__asan_init" in AGGREGATOR.read_bytes()
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"  # else memory is the quarantine's
ORGS = 500 if SANITIZED else 2000

# docs/operations.md, "What hostile peers can cost", for two endpoints
CONNECTION = 64 << 10
SUBSCRIPTION = (24 << 10) + 2 * ORGS
BOUND = 2 * CONNECTIONS * CONNECTION + 2 * QUEUED + SUBSCRIPTIONS * SUBSCRIPTION + (16 + 64) * MIB


SETTINGS = f"max_connections: {CONNECTIONS}\nmax_queued: 32MiB\nmax_subscriptions: {SUBSCRIPTIONS}\nmax_producers: 50"


class Flooded(Case):
    """An aggregator, honest peers, and attackers as it comes."""

    def begin(self, card):
        """The aggregator; what the honest have for their sockets, and for `poise`."""
        self.options, self.arguments = {}, []
        return Aggregator(self.folder, [card], tcp=True, settings=f"insecure: true\n{SETTINGS}")

    def setUp(self):
        super().setUp()
        self.attackers, self.peers = [], []
        self.aggregator = self.begin(self.write("plant.yaml", CARD)).start()
        self.ingest, self.query = self.aggregator.ingest, self.aggregator.query
        orgs = self.own(Producer(self.ingest, "orgs", **self.options))
        orgs.hello()
        for at in range(0, ORGS, 500):
            self.assertEqual(orgs.put(orgs.batch([("m", f"o/{at + row}", T0, 0.0) for row in range(500)])), [])
        self.producer = self.own(Producer(self.ingest, "honest", **self.options))
        self.producer.hello()
        self.view = self.own(View(self.query, options=self.options, filter=pb.Filter(orgs=["honest"])))
        self.rows = 0
        self.honest()
        self.memory_before = self.memory("VmRSS")

    def tearDown(self):
        self.stop_attacks()
        for peer in self.peers:
            peer.close()
        super().tearDown()

    def own(self, peer):
        self.peers.append(peer)
        return peer

    def memory(self, name):
        status = pathlib.Path(f"/proc/{self.aggregator.process.pid}/status").read_text(encoding="ascii")
        return int(status.split(name + ":")[1].split()[0]) << 10

    def put(self):
        self.assertEqual(self.producer.put(self.producer.batch([("m", "honest", T0 + row, 1.25) for row in range(10)])), [])
        self.rows += 10

    def honest(self):
        """An honest producer is acknowledged, and an honest subscriber sees exactly what it sent."""
        self.put()
        while self.view.states.get(("honest", QUALITY + "rows"), pb.State()).count != self.rows:
            self.assertTrue(self.view.take(60), "the honest subscriber got nothing")
            self.view.give()
        self.assertEqual(self.view.states["honest", QUALITY + "total"].value, 1.25 * self.rows)

    # ---- attacks ----

    def attack(self, kind, endpoint, count):
        attacker = subprocess.Popen([sys.executable, SOURCE / "tests" / "system" / "attacker.py", kind, endpoint, str(count)],
                                    stdout=subprocess.PIPE, cwd=self.folder)
        self.attackers.append(attacker)
        self.assertEqual(attacker.stdout.readline(), b"ready\n")

    def signal_attackers(self, number):
        for attacker in self.attackers:
            attacker.send_signal(number)

    def stop_attacks(self):
        """Returns what they have said."""
        self.signal_attackers(signal.SIGKILL)
        said = []
        for attacker in self.attackers:
            said += attacker.communicate()[0].split()
        self.attackers = []
        return said

    def under_attack(self, done, *attacks):
        """Until the stats say that enough has happened, and for some time; meanwhile all is well with the others. Returns
        what the attackers have said."""
        for attack in attacks:
            self.attack(*attack)
        start = time.monotonic()
        while time.monotonic() < start + 2 or not done(self.stats()):
            self.assertLess(time.monotonic(), start + 90, self.stats())
            self.honest()
            newcomer = Producer(self.ingest, "newcomer", **self.options)  # and who comes now is let in, under a new epoch
            self.through(newcomer)
            newcomer.close()
        return self.stop_attacks()

    def through(self, producer):
        for _ in range(60):
            producer.send(pb.Hello(producer=producer.name, epoch=producer.epoch, next_seq=1))
            if isinstance(producer.receive(1), pb.Welcome):
                return
        self.fail("a newcomer is not let in")

    def stats(self):
        """Asked again in silence: who comes in the crowd may be cut before he has spoken."""
        for _ in range(30):
            self.assertIsNone(self.aggregator.process.poll(), self.aggregator.log.read_text(errors="replace")[-2000:])
            peer = Peer(self.query, **self.options)
            peer.send(pb.StatsRequest(id=1))
            stats = peer.receive(3)
            peer.close()
            if stats:
                return dict(zip(stats.name, stats.value))
        self.fail("no answer")

    def unharmed(self):
        self.honest()
        cost = self.memory("VmHWM") - self.memory_before
        if not SLOWED:
            self.assertLess(cost, BOUND * (4 if SANITIZED else 1))
        deadline = time.monotonic() + 90
        while run(POISE, "get", "plant", "--from", self.query, *self.arguments, check=None).returncode:
            self.assertLess(time.monotonic(), deadline)  # subscriptions of those who are dead are noticed by a keepalive
            time.sleep(0.2)
        states = self.aggregator.get("plant", *self.arguments)
        self.assertEqual([state["value"] for state in states if state["node"] == QUALITY + "rows"], [self.rows + ORGS])
        self.aggregator.stop()
        log = self.aggregator.log.read_text(errors="replace")
        self.assertNotRegex(log, "Sanitizer|runtime error")
        self.assertLess(len(log), 400000)
        print(f"{cost >> 20} of {BOUND >> 20} MiB", file=sys.stderr)


class Flood(Flooded):
    def test_messages_without_an_end(self):
        self.under_attack(lambda stats: stats["poise_connections_endless"] >= 8,
                          ("endless", self.ingest, 4), ("endless_large", self.query, 4), ("many_frames", self.query, 2))
        self.unharmed()

    def test_idle_connections(self):
        self.under_attack(lambda stats: stats["poise_connections_refused"] > 1000 and
                          stats["poise_ingest_connections"] <= CONNECTIONS + 10,
                          ("idle", self.ingest, 1000), ("idle", self.query, 700), ("half_open", self.query, 300))
        self.unharmed()

    def test_garbage_amplifiers_and_subscriptions(self):
        self.under_attack(lambda stats: stats['poise_errors{code="ELIMIT"}'] > 1000 and
                          stats['poise_errors{code="EPROTO"}'] > 10 and stats["poise_handshakes_failed"] > 10,
                          ("garbage", self.ingest, 2), ("garbage", self.query, 2), ("amplifier", self.ingest, 4),
                          ("hellos", self.ingest, 1), ("many_subscriptions", self.query, 2),
                          *(() if SLOWED else (("large_filters", self.query, 6),)))  # a tenth of our pace is behind them for good
        self.unharmed()

    def test_slow_readers(self):
        # Their queues are full each by itself, or all together are too much: it depends on who came first.
        self.under_attack(lambda stats: stats["poise_stream_lag_ms"] > 100 and
                          (stats["poise_connections_greedy"] > 3 or stats["poise_subscriptions_behind"] > SUBSCRIPTIONS / 2),
                          ("deaf", self.query, 12))
        self.unharmed()

    def every_attack(self, idle=(500,)):
        for attack in (*(("idle", self.ingest, count) for count in idle), ("half_open", self.query, 100),
                       ("garbage", self.ingest, 1), ("many_subscriptions", self.query, 1), ("deaf", self.query, 5),
                       ("amplifier", self.ingest, 1), ("endless_large", self.ingest, 1), ("many_frames", self.query, 1)):
            self.attack(*attack)

    def test_all_at_once(self):
        """What is left of the rate then is a figure: bench/flood."""
        self.every_attack()
        for _ in range(20):
            self.honest()
        self.stop_attacks()
        self.unharmed()


class KeyedFlood(Flooded):
    """Who has no key that is known, one that was revoked, or one for other orgs."""

    def begin(self, card):
        public = {name: run(POISE, "keygen", self.folder / name).stdout.strip()
                  for name in ("aggregator", "honest", "other", "revoked")}
        self.options = curve(self.folder, "honest")
        self.arguments = ["--key-file", self.folder / "honest.key", "--server-key", self.folder / "aggregator.pub"]
        self.allowed = [{"name": "honest", "key": public["honest"], "send": "all", "read": "all", "query": True,
                         "producers": ["honest", "orgs", "newcomer"]},
                        {"name": "other", "key": public["other"], "send": [{"orgs": ["other"]}],
                         "read": [{"orgs": ["other"]}]}]
        revoked = {"name": "revoked", "key": public["revoked"], "read": "all", "query": True}
        return Locked(self.folder, [card], [*self.allowed, revoked], SETTINGS)

    def setUp(self):
        super().setUp()
        self.gone = self.own(View(self.query, options=curve(self.folder, "revoked"), filter=pb.Filter(orgs=["honest"])))
        self.gone.until(lambda: self.gone.complete)

    def every_attack(self, idle=(100,)):
        for attack in (*(("idle_in_a_lock", self.ingest, count) for count in idle), ("half_open", self.query, 100),
                       ("garbage", self.query, 1), *((kind, endpoint, 4) for endpoint in (self.ingest, self.query)
                       for kind in ("unknown_key", "revoked_key", "wrong_org", "garbage_in_a_lock"))):
            self.attack(*attack)

    def revoke(self):
        self.aggregator.reload(self.allowed)
        while not isinstance(self.gone.peer.receive(), pb.Error):
            pass

    def unharmed(self):
        while message := self.gone.peer.receive(0):
            self.assertIsInstance(message, pb.Error)
        super().unharmed()

    def test_keys(self):
        self.every_attack()
        self.revoke()
        said = self.under_attack(lambda stats: stats["poise_connections_revoked"] >= 3 and
                                 stats["poise_connections_denied"] > 20 and stats["poise_batches_denied"] > 20 and
                                 stats["poise_messages_denied"] > 20)
        self.assertEqual(set(said), {b"cut"})
        self.unharmed()


if __name__ == "__main__":
    system.main()
