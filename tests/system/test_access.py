"""Access, with real processes: who gets in, what he may do there, and what becomes of it while the file changes."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import unittest

import zmq

import system
from system import AGGREGATOR, COLLECTOR, HEADER, POISE, SOURCE, Aggregator, Case, Locked, curve, free_port, run
from wire import Peer, Producer, pb

CARD = """
scorecard: {name}
perspectives:
  - id: internal
    objectives:
      - id: all
        measures:
          - {{id: total, input: m, aggregate: sum, score: {{linear: {{from: 0, to: 10}}}}}}
"""
COLLECT = """
producer: {producer}
aggregator: {ingest}
key: {producer}.key
server_key: aggregator.pub
spool: spool-{name}
dead_letters: letters-{name}.jsonl
sources:
  - csv: {{path: {name}.csv}}
    time: {{column: at, format: rfc3339}}
    org: a
    measurements: [{{measure: m, value: {{column: n}}}}]
"""
NOT_ALLOWED, DENIED, GONE = 18, 11, 10
MAY = 1589500800000  # 2020-05-15
SECOND = 1.0  # in which a revoked key stops
PEOPLE = ("shop", "board", "ops", "other", "evil")


class Access(Case):
    def setUp(self):
        super().setUp()
        self.public = {}
        for name in ("aggregator",) + PEOPLE:
            self.public[name] = run(POISE, "keygen", self.folder / name).stdout.strip()
        self.cards = [self.write(f"{name}.yaml", CARD.format(name=name)) for name in ("plant", "secret")]
        self.peers = [
            {"name": "shop", "key": self.public["shop"],
             "send": [{"inputs": ["m"], "orgs": ["a", "a/**"], "sources": ["s-*", ""]}]},
            {"name": "other", "key": self.public["other"], "send": [{"orgs": ["b"]}]},
            {"name": "board", "key": self.public["board"], "read": [{"scorecards": ["plant"], "orgs": ["", "a"]}],
             "query": True},
            {"name": "ops", "key": self.public["ops"], "send": "all", "producers": ["ops", "tests"], "read": "all",
             "query": True, "administer": True},
        ]
        self.sockets = []

    def tearDown(self):
        for socket in self.sockets:
            socket.close()
        super().tearDown()

    def start(self, settings=""):
        self.aggregator = Locked(self.folder, self.cards, self.peers, settings).start()

    def without(self, *names):
        return [peer for peer in self.peers if peer["name"] not in names]

    def keys(self, name):
        return ["--key-file", self.folder / f"{name}.key", "--server-key", self.folder / "aggregator.pub"]

    def curve(self, name, server="aggregator"):
        return curve(self.folder, name, server)

    def peer(self, name, endpoint=None, **options):
        self.sockets.append(Peer(endpoint or self.aggregator.query, **{**self.curve(name), **options}))
        return self.sockets[-1]

    def producer(self, name, producer=None):
        self.sockets.append(Producer(self.aggregator.ingest, producer or name, **self.curve(name)))
        return self.sockets[-1]

    def stats(self):
        return json.loads(run(POISE, "stats", "--json", "--from", self.aggregator.query, *self.keys("ops")).stdout)

    def wait_stat(self, name, least=1):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            value = self.stats()[name]
            if value >= least:
                return value
            time.sleep(0.05)
        raise AssertionError(f"{name} is {value}")

    def collect_rows(self, name, producer, count):
        """A collector's configuration, and as many rows of 1 more in its file."""
        path = self.folder / f"{name}.csv"
        with path.open("a") as file:
            file.write("at,n\n" * (file.tell() == 0) + "2020-05-15T00:00:00Z,1\n" * count)
        return self.write(f"{name}.yaml", COLLECT.format(name=name, producer=producer, ingest=self.aggregator.ingest))

    def seed(self, rows="2020-05-15T00:00:00Z,m,a,1,,,,,\n2020-05-15T00:00:00Z,m,b,2,,,,,\n"):
        rows = self.write("rows.csv", HEADER + rows)
        run(POISE, "send", "--to", self.aggregator.ingest, "--spool", self.folder / "spool-ops", "--producer", "tests",
            *self.keys("ops"), "--csv", rows)

    def get(self, name, *arguments, check=0):
        return run(POISE, "get", "--from", self.aggregator.query, "--format", "json", "--timeout", "20s", *self.keys(name),
                   *arguments, check=check)

    def seen(self, name, *arguments):
        return sorted({(state["node"].split("/")[0], state["org"]) for state in json.loads(self.get(name, *arguments).stdout)})

    # ---- who gets in ----

    def hears_nothing(self, peer):
        """Sends what anybody else would be answered, if it can be sent at all."""
        peer.socket.setsockopt(zmq.SNDTIMEO, 100)
        try:
            peer.send(pb.StatsRequest(id=1))
            peer.send(pb.Hello(producer="ops", epoch=1, next_seq=1))
        except zmq.Again:
            pass
        return peer.receive(0.3) is None

    def test_strangers_stay_outside(self):
        self.start()
        ends = (self.aggregator.ingest, self.aggregator.query)
        strangers = [Peer(end, IMMEDIATE=1, **options) for end in ends
                     for options in ({}, self.curve("evil"), self.curve("ops", server="evil"))]
        strangers.append(Peer(self.aggregator.query, IMMEDIATE=1, **self.curve("shop")))  # nothing to do there
        strangers.append(Peer(self.aggregator.ingest, IMMEDIATE=1, **self.curve("board")))
        self.sockets += strangers
        self.wait_stat("poise_connections_denied", 4)
        for stranger in strangers:
            self.assertTrue(self.hears_nothing(stranger))
        log = self.aggregator.log.read_text()
        self.assertIn(f'key={self.public["evil"][:8]} name=- producer=- code=EDENIED reason="an unknown key', log)
        self.assertIn(f'key={self.public["shop"][:8]} name=shop producer=- code=EDENIED reason="the key may do nothing at the query', log)
        self.assertNotIn(self.public["evil"], log)
        self.assertEqual(self.stats()["poise_producers"], 0)
        # Who is let in later needs no restart: ZeroMQ tries again.
        self.aggregator.reload(self.peers + [{"name": "evil", "key": self.public["evil"], "query": True}])
        strangers[4].socket.setsockopt(zmq.SNDTIMEO, 40000)
        self.assertIn("poise_producers", strangers[4].stats())

    def test_keys_to_a_plain_endpoint(self):
        self.aggregator = Aggregator(self.folder, self.cards)
        self.aggregator.config.write_text(re.sub(r"ipc://\S+", "tcp://127.0.0.1:*", self.aggregator.config.read_text()))
        self.aggregator.start()
        query = re.search(r" query=(\S+)", self.aggregator.log.read_text())[1]
        peer = self.peer("ops", query, IMMEDIATE=1)
        done = run(POISE, "get", "--from", query, *self.keys("ops"), "--timeout", "3s", check=1)
        self.assertRegex(done.stderr, "in time: .* it has no(ne| keys)")
        self.assertTrue(self.hears_nothing(peer))
        start = self.aggregator.log.stat().st_size
        self.aggregator.process.send_signal(signal.SIGHUP)  # there is no file to read again
        self.aggregator.wait_log("nothing_reloaded", start)
        run(POISE, "stats", "--from", query)
        self.aggregator.stop()

    def test_secrets_that_others_can_read(self):
        self.start()
        for name in ("ops", "aggregator"):
            (self.folder / f"{name}.key").chmod(0o640)
        done = self.get("ops", check=1)
        self.assertIn("ops.key holds a secret key, but others may get at it (mode 0640): chmod 600 it", done.stderr)
        self.aggregator.stop()
        done = run(AGGREGATOR, "--config", self.aggregator.config, "--check-config", check=1)
        self.assertIn("chmod 600 it", done.stderr)
        done = run(AGGREGATOR, "--config", self.aggregator.config, check=1)
        self.assertIn("chmod 600 it", done.stderr)

    @unittest.skipIf(os.geteuid(), "only root can give files away")
    def test_files_of_others(self):
        self.start()
        for name in ("ops.key", "aggregator.key", "access.yaml"):
            os.chown(self.folder / name, 4711, -1)
        done = self.get("ops", check=1)
        self.assertRegex(done.stderr, r"ops.key holds a secret key, but belongs to user 4711, .*chown it to root or to user 0")
        self.aggregator.stop()
        done = run(AGGREGATOR, "--config", self.aggregator.config, "--check-config", check=1)
        self.assertIn("aggregator.key holds a secret key, but belongs to user 4711", done.stderr)
        self.assertIn("this file belongs to user 4711, who may so give himself access", done.stderr)

    def test_why_there_is_no_connection(self):
        """Each says it by itself, long before anybody has to look at the aggregator's log."""
        self.start()
        collect = self.collect_rows("evil", "evil", 1)
        no = "it does not let our key [0-9a-f]{8}... in"
        cases = [
            (["--from", self.aggregator.query, *self.keys("evil")], no),
            (["--from", self.aggregator.query, "--key-file", self.folder / "ops.key", "--server-key",
              self.folder / "board.pub"], "its public key is not the server key [0-9a-f]{8}... that we were given"),
            (["--from", self.aggregator.query], "it wants a key"),
            (["--from", f"tcp://127.0.0.1:{free_port()}", *self.keys("ops")], "nobody listens there")]
        children = [(self.spawn(POISE, *verb, *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE), reason)
                    for arguments, reason in cases
                    for verb in (["get", "--timeout", "4s"], ["watch", "--for", "4s", "--format", "json"])]
        children.append((self.spawn(POISE, "send", "m", "1", "--to", self.aggregator.ingest, "--spool",
                                    self.folder / "cli", *self.keys("evil"), "--timeout", "4s",
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE), no))
        children.append((self.spawn(COLLECTOR, "--config", collect, "--once", "--timeout", "4s",
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE), f"no connection.* reason=.*{no}"))
        for child, reason in children:
            text = child.communicate(timeout=60)[1]
            self.assertRegex(text, reason)
        done = run(POISE, "keygen", self.folder / "ops", check=1)  # what is there stays
        self.assertIn("is there already", done.stderr)
        (self.folder / "ops.key").chmod(0o600)
        done = run(POISE, "get", "--from", self.aggregator.query, *self.keys("ops")[:2], check=1)
        self.assertIn("the aggregator's public key is missing", done.stderr)
        (self.folder / "aggregator.key").chmod(0o600)
        self.aggregator.access.chmod(0o622)
        done = run(AGGREGATOR, "--config", self.aggregator.config, check=1)
        self.assertIn("chmod go-w it", done.stderr)

    def test_configurations_that_are_refused(self):
        for settings, says in (("key: aggregator.key", "'key' and 'access' go together: add 'access'"),
                               ("access: access.yaml", "'key' and 'access' go together: add 'key'"),
                               ("key: aggregator.key\naccess: access.yaml\ninsecure: true", "leave out one of them"),
                               ("key: none.key\naccess: access.yaml", "cannot open the key file"),
                               ("query: tcp://0.0.0.0:5571", "give keys (docs/access.md)")):
            config = self.write("a.yaml", f"store: store\nscorecards: [plant.yaml]\n{settings}\n")
            Locked(self.folder, self.cards, self.peers)  # the file of access
            done = run(AGGREGATOR, "--config", config, "--check-config", check=1)
            self.assertIn(says, done.stderr)

    def test_key_files_of_a_collector_are_looked_at(self):
        config = self.write("c.yaml", COLLECT.format(name="c", producer="shop", ingest="tcp://127.0.0.1:5570"))
        self.assertIn("fine", run(COLLECTOR, "--config", config, "--check-config").stdout)
        (self.folder / "shop.key").chmod(0o644)
        done = run(COLLECTOR, "--config", config, "--check-config", check=2)
        self.assertNotIn("fine", done.stdout)
        self.assertRegex(done.stderr, "shop.key holds a secret key, .*chmod 600 it")
        (self.folder / "shop.key").chmod(0o600)
        (self.folder / "aggregator.pub").unlink()
        done = run(COLLECTOR, "--config", config, "--check-config", check=2)
        self.assertRegex(done.stderr, "cannot open the key file .*aggregator.pub")

    # ---- sending ----

    def test_rows_that_may_not_be_sent(self):
        self.start()
        shop = self.producer("shop")
        shop.hello()
        rows = [("m", "a", MAY, 1.0), ("m", "b", MAY, 2.0), ("q", "a", MAY, 4.0), ("m", "a/x", MAY, 8.0),
                ("m", "", MAY, 16.0), ("m", "a", MAY, 32.0, 1.0, "", 0, False, "s-1"), ("m", "a", MAY, 64.0, 1.0, "", 0, False, "t")]
        refused = shop.put(shop.batch(rows))
        self.assertEqual(refused, [(1, row, NOT_ALLOWED) for row in (1, 2, 4, 6)])
        # A key knows no org: `other`, whose rule names orgs and no sources, may not use keys to reach others' rows.
        self.assertEqual(shop.put(shop.batch([("m", "a", MAY, 100.0, 1.0, "k", 1, False)])), [])
        other = self.producer("other")
        other.hello()
        refused = other.put(other.batch([("m", "b", MAY, 1000.0, 1.0, "k", 2, False), ("m", "b", MAY, 0.0, 1.0, "k", 3, True),
                                         ("m", "b", MAY, 3.0)]))
        self.assertEqual(refused, [(1, 0, NOT_ALLOWED), (1, 1, NOT_ALLOWED)])
        self.assertGreaterEqual(self.stats()["poise_batches_denied"], 1)
        self.assertIn('name=shop producer=shop code=EDENIED reason="in a batch of \'shop\': m of the org \'b\'"', self.aggregator.log.read_text())
        for restarted in (False, True):
            total = [state["value"] for state in json.loads(self.get("ops", "plant").stdout) if state["node"].endswith("total")]
            self.assertEqual(total, [1.0 + 8 + 32 + 100 + 3])
            if not restarted:
                self.aggregator.kill()
                self.aggregator.start()

    def test_producers_belong_to_their_keys(self):
        self.start()
        ops = self.producer("ops", "tests")
        ops.hello()
        self.assertEqual(ops.put(ops.batch([("m", "a", MAY, 1.0)])), [])
        thief = self.producer("shop", "tests")
        thief.epoch, thief.seq = ops.epoch, ops.seq
        thief.send(pb.Hello(producer="tests", epoch=ops.epoch, next_seq=2))
        error = thief.expect(pb.Error)
        self.assertEqual(error.code, DENIED)
        self.assertIn("may not send as the producer 'tests'", error.text)
        thief.send(thief.batch([("m", "a", MAY, 2.0)]))
        self.assertEqual(thief.expect(pb.Error).code, GONE)
        self.assertEqual(ops.put(ops.batch([("m", "a", MAY, 4.0)])), [])  # its numbers were not used up
        # The producer goes to somebody else: who had it, on a connection that stands, may not send by it any more.
        peers = [dict(peer, producers={"ops": ["ops"], "shop": ["shop", "tests"]}.get(peer["name"], [peer["name"]]))
                 for peer in self.peers]
        self.aggregator.reload(peers)
        self.assertEqual(ops.expect(pb.Error, SECOND).code, DENIED)
        ops.send(ops.batch([("m", "a", MAY, 8.0)]))
        self.assertIn(ops.expect(pb.Error).code, (DENIED, GONE))
        thief.seq = 2
        self.assertEqual(thief.hello().next_seq, 3)
        self.assertEqual(thief.put(thief.batch([("m", "a", MAY, 16.0)])), [])
        self.assertEqual(self.stats()["poise_rows_accepted"], 3)

    def test_a_revoked_key_sends_no_more(self):
        self.start()
        shop = self.producer("shop")
        shop.hello()
        self.assertEqual(shop.put(shop.batch([("m", "a", MAY, 1.0)])), [])
        self.aggregator.reload(self.without("shop"))
        self.assertEqual(shop.expect(pb.Error, SECOND).code, DENIED)
        shop.send(shop.batch([("m", "a", MAY, 2.0)]))
        self.wait_stat("poise_connections_revoked")  # and not even its connection is left
        while (answer := shop.receive(0)) is not None:
            self.assertIsInstance(answer, pb.Error)
        self.assertTrue(self.hears_nothing(shop))
        stats = self.stats()
        self.assertEqual(stats["poise_rows_accepted"], 1)
        self.assertGreaterEqual(stats["poise_connections_denied"], 1)
        self.aggregator.reload(self.peers)
        self.renew(shop)
        shop.seq = 1
        self.assertEqual(shop.hello().next_seq, 2)
        self.assertEqual(shop.put(shop.batch([("m", "a", MAY, 4.0)])), [])
        self.assertEqual(self.stats()["poise_rows_accepted"], 2)

    def test_two_collectors_with_one_key(self):
        """Each has an epoch of its own: both count, also at the same time, and neither hides the other."""
        self.start()
        for more in (500, 100):
            children = [self.spawn(COLLECTOR, "--config", self.collect_rows(name, "shop", more), "--once", "--timeout", "60s",
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for name in ("first", "second")]
            for child in children:
                text = child.communicate(timeout=90)[1]
                self.assertEqual(child.returncode, 0, text)
        stats = self.stats()
        self.assertEqual([stats[f"poise_{name}"] for name in ("rows_accepted", "producers", "forks")], [1200, 2, 0])
        total = [state["value"] for state in json.loads(self.get("ops", "plant").stdout) if state["node"].endswith("total")]
        self.assertEqual(total, [1200.0])

    def test_a_collector_waits_until_it_may(self):
        self.peers = self.without("shop") + [{"name": "shop", "key": self.public["shop"], "send": [{"orgs": ["b"]}]}]
        self.start()
        self.write("c.csv", "when,value\n2020-05-15T00:00:00Z,7\n")
        config = self.write("collector.yaml", f"""
producer: shop
aggregator: {self.aggregator.ingest}
key: shop.key
server_key: {self.public['aggregator']}
spool: spool
dead_letters: dead.jsonl
sources:
  - csv: {{path: c.csv}}
    time: {{column: when, format: rfc3339}}
    org: a
    measurements: [{{measure: m, value: {{column: value}}}}]
""")
        done = run(COLLECTOR, "--config", config, "--once", check=1)
        letter = json.loads((self.folder / "dead.jsonl").read_text())
        self.assertTrue(letter["reason"].startswith("not_allowed: "), done.stderr)
        self.aggregator.reload(self.without("shop"))
        replay = self.spawn(COLLECTOR, "--config", config, "--replay", stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE)
        self.wait_stat("poise_connections_denied")
        self.assertIsNone(replay.poll())
        self.aggregator.reload(self.without("shop") + [{"name": "shop", "key": self.public["shop"], "send": "all"}])
        self.assertEqual(replay.wait(60), 0, replay.stderr.read())
        self.assertEqual(self.stats()["poise_rows_accepted"], 1)

    # ---- reading ----

    def test_each_sees_what_it_may(self):
        self.start()
        self.seed()
        everything = [(card, org) for card in ("plant", "secret") for org in ("", "a", "b")]
        allowed = [("plant", ""), ("plant", "a")]
        self.assertEqual(self.seen("ops", "--all-orgs"), everything)
        self.assertEqual(self.seen("board", "--all-orgs"), allowed)
        past = ["--as-of", "2020-06-01T00:00:00Z"]
        self.assertEqual(self.seen("board", "plant", "--all-orgs", *past), allowed)
        self.assertEqual(self.seen("ops", "plant", "--all-orgs", *past), everything[:3])
        for arguments in (["secret"], ["secret", "--all-orgs"], ["secret", *past], ["secret", "--all-orgs", *past],
                          ["plant", "--org", "b", *past], ["none", *past]):
            self.assertIn("may not read the scorecard", self.get("board", *arguments, check=1).stderr)
        denied = self.stats()["poise_messages_denied"]
        never = [["changes", "secret"], ["changes", "--org", "b"], ["watch", "secret"], ["watch", "plant", "--org", "b"],
                 ["get", "plant", "--org", "b"]]
        for verb, *arguments in never:  # and not as if nothing had happened there
            done = run(POISE, verb, *arguments, "--from", self.aggregator.query, *self.keys("board"), check=1)
            self.assertIn("board, key ", done.stderr)
            self.assertIn("may not read ", done.stderr)
        self.assertEqual(self.stats()["poise_messages_denied"], denied + len(never))
        changes = run(POISE, "changes", "--from", self.aggregator.query, "--snapshot", "--format", "jsonl", *self.keys("board"))
        lines = [json.loads(line) for line in changes.stdout.splitlines()]
        self.assertEqual(sorted({(line["node"].split("/")[0], line["org"]) for line in lines}), allowed)
        # A running subscription: what changes elsewhere is not heard of.
        board = self.peer("board")
        board.send(pb.Subscribe(id=7, credit=1000))
        states = self.until_last(board)
        self.assertEqual(sorted({(state.node.split("/")[0], state.org) for state in states}), allowed)
        self.seed("2020-05-15T00:00:01Z,m,b,4,,,,,\n2020-05-15T00:00:02Z,m,a,8,,,,,\n")
        heard = set()
        while ("plant", "a") not in heard:
            update = board.expect(pb.Update)
            heard |= {(state.node.split("/")[0], state.org) for state in update.states}
        self.assertEqual(heard - set(allowed), set())
        for name, may in (("ops", everything), ("board", allowed)):  # all that was heard of is in the log
            self.assertEqual(self.logged(name), may)
            self.assertEqual(self.logged(name, "plant"), [one for one in may if one[0] == "plant"])

    def test_the_past_below_what_may_not_be_seen(self):
        self.peers[2] |= {"read": [{"scorecards": ["plant"], "orgs": ["a"]}]}
        self.start()
        self.seed()
        for arguments in (["--org", "a"], ["plant", "--org", "a"], ["--all-orgs"]):
            self.assertEqual(self.seen("board", "--history", *arguments), [("plant", "a")])
        self.assertIn("may not read ", self.get("board", "--history", check=1).stderr)
        self.assertIn("several; name the scorecard", self.get("ops", "--history", check=1).stderr)

    def logged(self, name, *arguments):
        """What the log of changes shows."""
        log = run(POISE, "changes", "--from", self.aggregator.query, "--format", "jsonl", *self.keys(name), *arguments)
        return sorted({(line["node"].split("/")[0], line["org"]) for line in map(json.loads, log.stdout.splitlines())})

    def until_last(self, peer):
        states = []
        while True:
            part = peer.expect(pb.Snapshot)
            states += part.states
            if part.last:
                return states

    def test_losses_are_for_who_reads(self):
        """Anything: a loss knows no org."""
        self.peers[1] |= {"administer": True}
        self.peers.append({"name": "evil", "key": self.public["evil"], "query": True})
        self.start()
        shop = self.producer("shop")
        shop.hello()
        shop.seq = 3
        shop.put(pb.Batch(epoch=shop.epoch, seq=1, loss=pb.Loss(last_seq=3, rows=7, from_ms=MAY, to_ms=MAY, reason=pb.LOSS_OLDEST)))
        ask = ["losses", "--from", self.aggregator.query]
        for name in ("board", "ops", "other"):
            self.assertIn("7 measurements lost", run(POISE, *ask, *self.keys(name)).stdout)
        self.assertIn("evil, key ", (said := run(POISE, *ask, *self.keys("evil"), check=1).stderr))
        self.assertIn("may not see losses", said)

    def test_orders_are_for_operators(self):
        self.start(settings="backups: backups")
        self.seed()
        at = ["--from", self.aggregator.query]
        orders = [["restate", "--reason", "because", *at], ["rescore", "--from", "2020-01-01T00:00:00Z", "--at", self.aggregator.query],
                  ["erase", "--org", "b", "--reason", "because", *at], ["backup", "monday", *at], ["dump", *at]]
        for order in orders:
            done = run(POISE, *order, *self.keys("board"), check=1)
            self.assertIn("may not administer", done.stderr)
        board = self.peer("board")
        self.assertIn("poise_nodes", board.stats())  # `query`
        ask = self.peers[2].copy()
        self.aggregator.reload(self.without("board") + [dict(ask, query=False)])
        board.send(pb.StatsRequest(id=1))
        self.assertEqual(board.expect(pb.Error).code, DENIED)
        self.assertIn("may not ask about the past", self.get("board", "plant", "--as-of", "2020-06-01T00:00:00Z", check=1).stderr)
        self.assertEqual(self.aggregator.audit()[-1]["what"], "reload")
        for order in orders:
            run(POISE, *order, *self.keys("ops"))
        run(POISE, "backup", "monday", *at, *self.keys("ops"), check=1)  # there is one
        key = self.public["ops"][:8]
        noted = [(line["what"], line["result"]) for line in self.aggregator.audit() if line["who"] == "ops"]
        self.assertEqual(noted[:9], [("restate", "begun"), ("restate", "done"), ("rescore", "begun"), ("rescore", "done"),
                                     ("erase", "begun"), ("erase", "done"), ("backup", "begun"), ("backup", "done"), ("dump", "begun")])
        self.assertEqual(noted[-2], ("backup", "begun"))
        self.assertIn("monday", noted[-1][1])
        self.assertTrue(all(line["key"] == key for line in self.aggregator.audit() if line["who"] == "ops"))
        self.assertIn("because", [line for line in self.aggregator.audit() if line["what"] == "restate"][0]["about"])
        run(POISE, "restore", self.folder / "backups" / "monday", self.folder / "restored")
        line = json.loads((self.folder / "restored" / "audit.jsonl").read_text())
        self.assertEqual((line["what"], line["who"], line["result"]), ("restore", f"uid {os.getuid()}", "done"))

    def test_what_cannot_be_noted_is_not_done(self):
        self.start(settings="backups: backups")
        audit = self.folder / "store" / "audit.jsonl"
        audit.rename(self.folder / "kept")
        audit.mkdir()
        done = run(POISE, "backup", "monday", "--from", self.aggregator.query, *self.keys("ops"), check=1)
        self.assertIn("cannot be noted in the audit log", done.stderr)
        self.assertFalse((self.folder / "backups" / "monday").exists())
        self.assertIn(" not_audited action=reload ", self.aggregator.reload(self.without("board")))  # but who is out is out
        self.assertEqual(self.stats()["poise_access_keys"], 3)
        audit.rmdir()
        run(POISE, "backup", "monday", "--from", self.aggregator.query, *self.keys("ops"))

    def test_the_examples_have_keys(self):
        self.peers[3]["producers"] = ["send.py"]
        self.start()
        rows = self.write("rows.csv", HEADER + "2020-05-15T00:00:00Z,m,a,1,,,,,\n")
        environment = {**os.environ, "POISE_KEY_FILE": str(self.folder / "ops.key"),
                       "POISE_SERVER_KEY": str(self.folder / "aggregator.pub")}
        run(sys.executable, SOURCE / "examples" / "python" / "send.py", self.aggregator.ingest, rows, env=environment)
        self.assertEqual(self.stats()["poise_rows_accepted"], 1)

    # ---- while it runs ----

    def renew(self, peer):
        """Another connection, for ZeroMQ waits ever longer between tries."""
        end = peer.socket.getsockopt(zmq.LAST_ENDPOINT)
        peer.socket.disconnect(end)
        while peer.receive(0) is not None:
            pass
        peer.socket.connect(end)

    def test_connections_of_revoked_keys_are_closed(self):
        """All of a key, whether they have said something or not; those of others come again by themselves."""
        self.start()
        watched = [self.peer(name, RECONNECT_IVL=100, IMMEDIATE=1) for name in ("board", "board", "ops", "ops")]
        for peer in watched[::2]:
            self.assertIn("poise_nodes", peer.stats())  # the others say nothing
        self.wait_stat("poise_query_connections", 5)
        begun = time.monotonic()
        self.aggregator.reload(self.without("board"))
        self.wait_stat("poise_connections_revoked", 3)
        self.assertIn("connections_revoked", self.aggregator.log.read_text())
        while self.stats()["poise_connections_denied"] < 2:  # both try again
            self.assertLess(time.monotonic() - begun, 60)
        for peer in watched[2:]:
            self.assertIn("poise_nodes", peer.stats())
        for peer in watched[:2]:
            self.assertTrue(self.hears_nothing(peer))
        # Who may do other things than before, but something still, keeps its connection.
        revoked = self.stats()["poise_connections_revoked"]
        self.aggregator.reload(self.without("board", "ops") + [dict(self.peers[3], read=[{"orgs": ["a"]}])])
        self.assertIn("poise_nodes", watched[2].stats())
        time.sleep(0.5)
        self.assertEqual(self.stats()["poise_connections_revoked"], revoked)

    def test_failed_handshakes_are_told(self):
        self.start(settings="handshake: 1s")
        host, port = self.aggregator.query.removeprefix("tcp://").split(":")
        raw = [socket.create_connection((host, int(port))) for _ in range(3)]
        raw[0].sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48))  # no key at all
        raw[1].sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(47) + b"\x04\x05nothing")
        self.peer("ops", CURVE_SERVERKEY=bytes.fromhex(self.public["evil"]))
        self.peer("evil")
        reasons = ("mechanism", "malformed", "timeout", "wrong_key", "denied")
        for reason in reasons:
            self.wait_stat(f'poise_handshakes{{reason="{reason}"}}')
            if reason != "denied":
                self.aggregator.wait_log(f"handshake_failed .* reason={reason}")
        log = self.aggregator.log.read_text()
        for part, reason in zip(raw, reasons):
            address = ":".join(map(str, part.getsockname()))
            known = address if reason == "timeout" else f"({address}|-)"  # it is closed at once, be it before we look
            self.assertRegex(log, f"handshake_failed endpoint={self.aggregator.query} from={known} reason={reason}")
            part.close()
        self.assertRegex(log, r"handshake_failed endpoint=\S+ from=(127.0.0.1:\d+|-) reason=wrong_key")
        self.assertIn(f'access_denied key={self.public["evil"][:8]} name=- producer=- code=EDENIED reason="an unknown key at the query', log)
        for number in range(60):  # many are counted, and not all told
            socket.create_connection((host, int(port))).close()
        self.wait_stat('poise_handshakes{reason="closed"}', 60)
        self.assertLessEqual(self.aggregator.log.read_text().count(" handshake_failed "), 20)

    def test_a_revoked_key_hears_no_more(self):
        self.start()
        self.seed()
        board, ops = self.peer("board"), self.peer("ops")
        for peer in (board, ops):
            peer.send(pb.Subscribe(id=7, credit=1000))
            self.until_last(peer)
        self.aggregator.reload(self.without("board"))
        error = board.expect(pb.Error, SECOND)
        self.assertEqual((error.id, error.code), (7, DENIED))
        self.seed("2020-05-15T00:00:01Z,m,a,4,,,,,\n")
        ops.expect(pb.Update)
        self.assertIsNone(board.receive(0.2))
        self.wait_stat("poise_connections_revoked")  # and not even its connection is left
        self.assertTrue(self.hears_nothing(board))
        # Other rights: the subscription is over, and the next sees what may be seen now.
        self.aggregator.reload(self.without("board") + [dict(self.peers[2], read=[{"orgs": ["b"]}])])
        self.renew(board)
        board.send(pb.Subscribe(id=11, credit=1000))
        self.assertEqual({state.org for state in self.until_last(board)}, {"b"})
        self.aggregator.reload(self.peers)
        self.assertEqual(board.expect(pb.Error, SECOND).code, GONE)
        self.seed("2020-05-15T00:00:02Z,m,b,4,,,,,\n")
        ops.expect(pb.Update)
        self.assertIsNone(board.receive(0.2))

    def test_questions_of_a_revoked_key_end(self):
        self.start()
        self.seed()
        board = self.peer("board")
        for number, (left, code) in enumerate(((self.without("board") + [dict(self.peers[2], read="all")], GONE),
                                               (self.without("board"), DENIED))):
            board.send(pb.Query(id=7 + number, scorecard="plant", as_of_ms=MAY, credit=0))  # whose answer waits for credit
            board.stats()  # so it was asked
            self.aggregator.reload(left)
            error = board.expect(pb.Error, SECOND)
            self.assertEqual((error.id, error.code), (7 + number, code))

    def test_the_log_of_changes_ends_with_its_key(self):
        """Each page is asked for anew, and so is whether it may be."""
        self.start()
        self.seed()
        board = self.peer("board")

        def page(number):
            board.send(pb.Changes(id=number))
            return {state.org for state in board.expect(pb.Changed).states}

        self.assertEqual(page(7), {"", "a"})
        self.aggregator.reload(self.without("board") + [dict(self.peers[2], read=[{"orgs": ["b"]}])])
        self.assertEqual(page(8), {"b"})
        self.aggregator.reload(self.without("board"))
        board.send(pb.Changes(id=9))
        self.wait_stat("poise_connections_revoked")
        while (answer := board.receive(0)) is not None:
            self.assertIsInstance(answer, pb.Error)

    def test_watching_goes_on_or_ends(self):
        self.start()
        self.seed()
        watch = self.spawn(POISE, "watch", "--from", self.aggregator.query, *self.keys("board"), stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
        self.wait_stat("poise_subscriptions")
        self.aggregator.reload(self.without("board") + [dict(self.peers[2], administer=True)])
        self.wait_stat("poise_snapshots", 2)  # libpoise subscribed again
        self.aggregator.reload(self.without("board"))
        self.assertEqual(watch.wait(20), 1)
        self.assertIn("is not known any more", watch.stderr.read())

    def test_a_broken_file_changes_nothing(self):
        self.start()
        self.aggregator.access.write_text('{"peers": [{"name": "shop"}, {"key": "abc"')
        log = self.aggregator.reload(event="access_not_reloaded")
        self.assertIn("access_problem file=", log)
        self.seed()
        stats = self.stats()
        self.assertEqual((stats["poise_access_keys"], stats["poise_access_reloads"], stats["poise_access_reloads_failed"]), (4, 0, 1))
        self.aggregator.access.unlink()
        self.aggregator.reload(event="access_not_reloaded")
        self.assertEqual([line["what"] for line in self.aggregator.audit()], ["start", "reload", "reload"])
        self.assertIn("problem", self.aggregator.audit()[-1]["result"])
        self.aggregator.reload(self.without("board"))
        self.assertEqual(self.aggregator.audit()[-1]["about"], f"removed board {self.public['board'][:8]}")
        self.assertEqual(self.stats()["poise_access_reloads"], 1)

    def test_refusals_do_not_fill_the_log(self):
        self.start()
        board = self.peer("board")
        for number in range(300):
            board.send(pb.Dump(id=number + 1, from_ms=0, to_ms=1))
            self.assertEqual(board.expect(pb.Error).code, DENIED)
        shop = self.producer("shop")
        shop.hello()
        for number in range(60):
            shop.send(shop.batch([("m", "b", MAY, 1.0)]))
        self.assertEqual(len(shop.acknowledged(60)), 60)
        for number in range(60):
            self.peer("evil", RECONNECT_IVL=-1)  # comes once
        self.wait_stat('poise_handshakes{reason="denied"}', 60)
        stats = self.stats()
        self.assertEqual([stats[f"poise_{what}_denied"] for what in ("messages", "batches", "connections")], [300, 60, 60])
        log = self.aggregator.log.read_text()
        for reason in ("board, key ", "in a batch of ", "an unknown key at "):
            self.assertEqual(len(re.findall(f' access_denied .* reason="{reason}', log)), 20)
        self.assertEqual(log.count(" access_denied "), 60)

    def test_a_key_is_replaced(self):
        both = {"name": "board", "key": [self.public["board"], self.public["evil"]], "read": "all"}
        self.start()
        self.seed()
        self.aggregator.reload(self.without("board") + [both])
        for name in ("board", "evil"):
            self.assertEqual(json.loads(self.get(name).stdout)[0]["org"], "")
        self.aggregator.reload(self.without("board") + [dict(both, key=self.public["evil"])])
        self.get("evil")
        run(POISE, "get", "--from", self.aggregator.query, "--timeout", "500ms", *self.keys("board"), check=1)

    def test_ipc_needs_no_key(self):
        self.aggregator = Aggregator(self.folder, self.cards, settings="key: aggregator.key\naccess: access.yaml")
        (self.folder / "access.yaml").write_text("peers: []\n")
        (self.folder / "access.yaml").chmod(0o600)
        self.aggregator.start()
        self.send("2020-05-15T00:00:00Z,m,a,1,,,,,\n")
        self.assertEqual(self.aggregator.get("plant")[0]["org"], "")


if __name__ == "__main__":
    sys.argv.append("--failfast")
    system.main()
