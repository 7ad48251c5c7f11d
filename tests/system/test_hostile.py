"""Hostile and clumsy peers: the aggregator stays up, its memory bounded, and honest peers see exact numbers meanwhile."""
import fractions
import os
import pathlib
import random
import socket
import struct
import time

import zmq

import system
from attacker import GREETING, SHAKEN
from system import AGGREGATOR, Aggregator, Case
from wire import VERSION, WHOLE, Peer, Producer, View, batch_of, pb

CARD = """
scorecard: plant
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: total, input: m, aggregate: sum, score: {linear: {from: 0, to: 1000}}}
          - {id: rows, input: m, aggregate: count, score: {linear: {from: 0, to: 1000}}}
          - {id: ratio, input: r, aggregate: ratio, score: {linear: {from: 0, to: 10}}}
"""
QUALITY = "plant/internal/quality/"
T0 = 1772445600000
MESSAGE_MAX = 262144
INT64_MAX = 2 ** 63 - 1
RSS_MAX_MIB = 400  # of the aggregator; what an attack may cost at most
SANITIZED = any(name in AGGREGATOR.read_bytes() for name in (b"__asan_init", b"__tsan_init"))
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"  # else memory is the quarantine's


class Hostile(Case):
    def setUp(self):
        super().setUp()
        card = self.write("plant.yaml", CARD)
        self.aggregator = Aggregator(self.folder, [card], settings="max_subscriptions: 200\nmax_subscriptions_each: 200\nmax_producers: 300").start()
        self.ingest, self.query = self.aggregator.ingest, self.aggregator.query
        self.peers = []
        self.producer = self.own(Producer(self.ingest, "honest"))
        self.producer.hello()
        self.rows = 0
        self.view = self.own(View(self.query, filter=pb.Filter(orgs=["honest"])))
        self.honest()

    def tearDown(self):
        for peer in self.peers:
            peer.close()
        super().tearDown()

    def own(self, peer):
        self.peers.append(peer)
        return peer

    def honest(self):
        """An honest producer is acknowledged, and an honest subscriber sees exactly what it sent."""
        rows = [("m", "honest", T0 + row, 1.25) for row in range(10)]
        self.assertEqual(self.producer.put(self.producer.batch(rows)), [])
        self.rows += len(rows)
        while self.number("rows").count != self.rows:
            self.assertTrue(self.view.take(), "the honest subscriber got nothing")
            self.view.give()
        self.assertEqual(self.number("total").value, 1.25 * self.rows)

    def number(self, measure):
        return self.view.states.get(("honest", QUALITY + measure), pb.State())

    def through(self, peer, endpoint):
        """Waits until all that a peer has sent was looked at."""
        valid = pb.Hello(producer="through", epoch=1, next_seq=1) if endpoint == self.ingest else pb.StatsRequest(id=1)
        for _ in range(60):
            peer.send(valid)
            message = peer.receive(1)
            while message and not isinstance(message, (pb.Welcome, pb.Stats)):
                message = peer.receive(1)
            if message:
                return
        self.fail("no answer")

    def unharmed(self):
        """At the end of each test."""
        self.honest()
        self.assertLess(self.memory_mib(), RSS_MAX_MIB * (3 if SANITIZED else 1))
        self.aggregator.stop()
        log = self.aggregator.log.read_text()
        self.assertNotRegex(log, "Sanitizer|runtime error")
        self.assertLess(len(log), 100000)

    def memory_mib(self):
        status = pathlib.Path(f"/proc/{self.aggregator.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def error(self, peer, code):
        self.assertEqual(pb.Code.Name(peer.expect(pb.Error).code), code)

    # ---- messages that are none ----

    def test_frames_and_heads(self):
        for endpoint in (self.ingest, self.query):
            peer = self.own(Peer(endpoint))
            good = bytes([VERSION, 1])
            for frames in ([b""], [b"x"], [good], [b"", b"", b""], [good, b"", b""], [good] * 100):
                peer.frames(*frames)
                self.error(peer, "CODE_EPROTO")
            for head in (b"", b"\x01", b"\x01\x01\x01", b"\x01\x00", b"x" * MESSAGE_MAX):
                peer.frames(head, b"")
                self.error(peer, "CODE_EPROTO")
            for version in (0, 2, 255):
                peer.frames(bytes([version, 1]), b"")
                self.error(peer, "CODE_EVERSION")
            others = set(range(1, 256)) - ({1, 3, 46} if endpoint == self.ingest else {16, 17, 18, 24, 26})
            for kind in others:
                peer.frames(bytes([VERSION, kind]), b"")
                self.error(peer, "CODE_EPROTO")
            chosen = self.own(Peer(endpoint, ROUTING_ID=b"mine"))
            chosen.frames(good, b"")
        self.unharmed()

    def test_bodies(self):
        random_ = random.Random(1)
        hello = pb.Hello(producer="x", epoch=1, next_seq=1, store_id=b"x" * 16, software="y").SerializeToString()
        subscribe = pb.Subscribe(id=1, filter=pb.Filter(orgs=["a"], nodes=["b"]), credit=1).SerializeToString()
        query = pb.Query(id=1, scorecard="plant", org="honest", as_of_ms=T0, credit=1).SerializeToString()
        dump = pb.Dump(id=1, org="honest", from_ms=-1, to_ms=T0, cursor=bytes(33)).SerializeToString()
        bodies = [random_.randbytes(random_.randrange(200)) for _ in range(300)]
        for whole in (hello, subscribe, query, dump):
            bodies += [whole[:end] for end in range(len(whole))]
            for _ in range(200):
                body = bytearray(whole)
                body[random_.randrange(len(body))] ^= 1 << random_.randrange(8)
                bodies.append(bytes(body))
        bodies += [b"\x0a\xff\xff\xff\xff\x0f", b"\xff" * 20, b"\x12\x00" * (MESSAGE_MAX // 2), bytes(MESSAGE_MAX),
                   b"\x78\x00" * (MESSAGE_MAX // 2), b"\x0a\x00" * (MESSAGE_MAX // 2)]
        for endpoint, kinds in ((self.ingest, (1, 3)), (self.query, (16, 17, 18, 24, 26, 36))):
            for kind in kinds:
                peer = self.own(Peer(endpoint, RCVHWM=0))
                for body in bodies:
                    peer.frames(bytes([VERSION, kind]), body)
                self.through(peer, endpoint)
            self.honest()
        self.unharmed()

    def test_bytes_below_zeromq(self):
        random_ = random.Random(2)
        sockets = []
        greeting, shaken = GREETING, SHAKEN
        for endpoint in (self.ingest, self.query):
            for sent in (b"", b"\xff", greeting[:20], greeting, shaken, random_.randbytes(5000), b"GET / HTTP/1.1\r\n\r\n",
                         shaken + b"\x02" + struct.pack(">Q", 2 ** 62),             # a frame that will never fit
                         shaken + b"\x02" + struct.pack(">Q", MESSAGE_MAX + 1),
                         shaken + b"\x01\x02\x01\x01" * 1000,                        # a message without end
                         shaken + random_.randbytes(5000),
                         greeting + b"\x06" + struct.pack(">Q", 2 ** 63)):
                raw = socket.socket(socket.AF_UNIX)
                sockets.append(raw)
                raw.connect(endpoint.removeprefix("ipc://"))
                try:
                    if sent.startswith(shaken):  # what comes before libzmq has said its part is no message
                        raw.sendall(shaken)
                        left = len(shaken)
                        while left:
                            left -= len(raw.recv(left)) or left
                        sent = sent.removeprefix(shaken)
                    raw.sendall(sent)
                except BrokenPipeError:
                    pass  # it was cut off before all was said
        self.honest()
        for raw in sockets:
            raw.close()
        self.unharmed()

    # ---- producers ----

    def test_hellos(self):
        peer = self.own(Peer(self.ingest))
        for name in ("", "x" * 65, "a b", "a/b", "ä", "a\0b", "..\n", "x" * 100000):
            peer.send(pb.Hello(producer=name, epoch=1, next_seq=1))
            self.error(peer, "CODE_EPROTO")
        for fields in ({"epoch": 0}, {"next_seq": 0}, {"store_id": b"x"}, {"store_id": b"x" * 17}):
            peer.send(pb.Hello(**{"producer": "p", "epoch": 1, "next_seq": 1, **fields}))
            self.error(peer, "CODE_EPROTO")
        peer.send(pb.Hello(producer="p", epoch=1, next_seq=1, store_id=b"x" * 16))
        self.error(peer, "CODE_ESTORE")
        peer.send(batch_of([], 1, 1))
        self.error(peer, "CODE_ENOTFOUND")

        producer = self.own(Producer(self.ingest, "-._.-"))
        self.assertEqual(producer.hello(next_seq=2 ** 64 - 1, last_hash=5).next_seq, 1)
        for epoch, seq in ((0, 1), (producer.epoch, 0), (producer.epoch ^ 2, 1)):
            producer.send(pb.Batch(epoch=epoch, seq=seq))
            self.error(producer, "CODE_EPROTO")
        producer.hello()
        self.assertEqual(producer.put(producer.batch([])), [])
        for number in range(400):  # more than max_producers, which take a place only with what they send
            peer.send(pb.Hello(producer="p", epoch=number + 1, next_seq=1))
            self.assertEqual(peer.expect(pb.Welcome).next_seq, 1)
        for number in range(400):
            peer.send(pb.Hello(producer="p", epoch=number + 1, next_seq=1))
            peer.send(batch_of([], number + 1, 1))
        self.error(peer, "CODE_ELIMIT")
        producer.hello()  # who is known is not locked out
        self.unharmed()

    def test_sequences(self):
        producer = self.own(Producer(self.ingest, "jumps"))
        producer.hello()
        row = [("m", "j", T0, 1.0)]
        first, second, third = (producer.batch(row) for _ in range(3))
        for far in (third, pb.Batch(epoch=producer.epoch, seq=2 ** 64 - 1), second):
            producer.send(far)
        self.assertEqual(producer.expect(pb.Gap).expected, 1)
        for batch in (first, second, first, third, third, second):
            producer.send(batch)
        producer.acknowledged(3)
        for seq in (1, 2, 3):  # a restored spool: known numbers, other contents
            producer.hello()
            producer.send(batch_of([("m", "j", T0, 9.0)], producer.epoch, seq))
            self.error(producer, "CODE_EFORK")
        other = self.own(Producer(self.ingest, "jumps", epoch=producer.epoch))
        other.send(pb.Hello(producer="jumps", epoch=producer.epoch, next_seq=4, last_hash=12345))
        self.error(other, "CODE_EFORK")

        other.seq = 3  # two connections speak for one producer: the one that said HELLO last is heard
        other.hello()
        producer.send(batch_of(row, producer.epoch, 4))
        self.error(producer, "CODE_ENOTFOUND")
        self.assertEqual(other.put(other.batch(row)), [])
        producer.seq = 3
        self.assertEqual(producer.hello().next_seq, 5)
        for _ in range(50):
            for rival in (producer, other):
                rival.send(pb.Hello(producer="jumps", epoch=producer.epoch, next_seq=5))
        state = [state for state in self.aggregator.get("plant", "--org", "j") if state["node"] == QUALITY + "rows"]
        self.assertEqual([state[0]["value"], state[0]["count"]], [4, 4])
        self.unharmed()

    def test_rows(self):
        """Each bad row is refused with its reason; the good ones between them count, exactly."""
        producer = self.own(Producer(self.ingest, "rows"))
        producer.hello()
        good = ("m", "rows", T0, 0.1)
        huge = 1.7976931348623157e308
        bad = [(("m", "rows", T0, value), "VALUE")
               for value in (float("nan"), float("inf"), -float("inf"), huge, -huge, 1.0000001e100, 5e-324, 9.9e-101)]
        bad += [(("r", "rows", T0, 1.0, of), "OF") for of in (float("nan"), float("inf"), huge, -5e-324)]
        bad += [(("m", "rows", time_ms, 1.0), "TIME_RANGE") for time_ms in (-2 ** 60, 2 ** 60, -10 ** 13, 7258118400001)]
        bad += [(("m", "rows", int(time.time() * 1000) + 10 ** 9, 1.0), "TIME_AHEAD")]
        bad += [((measure, "rows", T0, 1.0), "MEASURE_NAME") for measure in ("", "a b", "x" * 65, "ä")]
        bad += [(("unknown", "rows", T0, 1.0), "UNKNOWN_MEASURE")]
        bad += [(("m", org, T0, 1.0), "ORG") for org in ("/", "a//b", "a/", " a", "/".join("a" * 17))]
        bad += [(("m", "rows", T0, 1.0, 1.0, "k", 2 ** 62 + 1), "SEQ_RANGE"), (("m", "rows", T0, 1.0, 1.0, "", 0, True), "RETRACT_KEY")]
        rows = [row for pair in bad for row in (good, pair[0])]
        expected = [(1, 2 * number + 1, getattr(pb, "REASON_" + reason)) for number, (_, reason) in enumerate(bad)]
        self.assertEqual(producer.put(producer.batch(rows)), expected)
        extreme = [("m", "extreme", T0, value) for value in (1e100, -1e100, 1e-100, 1.0, -1e-100)]
        self.assertEqual(producer.put(producer.batch(extreme)), [])
        for org, value, count in (("rows", float(fractions.Fraction(0.1) * len(bad)), len(bad)), ("extreme", 1.0, 5)):
            states = {state["node"]: state for state in self.aggregator.get("plant", "--org", org)}
            self.assertEqual(states[QUALITY + "total"]["value"], value)
            self.assertEqual(states[QUALITY + "rows"]["count"], count)
        self.unharmed()

    def test_batches(self):
        """A batch that cannot be decoded is refused whole, takes its number, and the stream goes on."""
        producer = self.own(Producer(self.ingest, "batches"))
        producer.hello()
        rows = [("m", "PLACE", T0 + number, 1.0) for number in range(3)]

        def refused(body):
            self.assertEqual(producer.put(pb.Batch(), body), [(producer.seq, WHOLE, pb.REASON_MALFORMED)])
            self.assertEqual(producer.put(producer.batch([("m", "batches", T0, 1.0)])), [])

        columns = {"series": [0, 0, 1], "series_measure": [2], "series_org": [0, 1], "series_source": [0, 0],
                   "key": [0, 0, 5], "time_delta_ms": [1, 2], "value": [1.0], "of": [1.0] * 4, "row_seq": [1], "retract": [True]}
        for name, values in columns.items():
            refused(producer.batch(rows, **{name: values}).SerializeToString())
        refused(producer.batch(rows, base_time_ms=INT64_MAX, time_delta_ms=[0, 1, 0]).SerializeToString())
        refused(producer.batch(rows, time_delta_ms=[-2 ** 63, -2 ** 63, 0]).SerializeToString())
        refused(producer.batch(rows, symbols=["m", "x" * 256]).SerializeToString())
        optional = {"of": [], "key": [], "row_seq": [], "retract": []}
        refused(producer.batch([("m", "a", T0, 1.0)] * 16385, **optional).SerializeToString())
        for text in (b"\xff\xff\xff\xff\xff", b"a\0bcd", b"a\x1bbcd", b"\xed\xa0\x80aa", b"\xc0\xafaaa"):
            refused(producer.batch(rows).SerializeToString().replace(b"PLACE", text))
        for amplifier in (b"\x1a\x00", b"\x22\x00", b"\x78\x00"):  # empty symbols, empty columns, unknown fields
            body = producer.batch([]).SerializeToString()
            body += amplifier * ((MESSAGE_MAX - len(body)) // 2)
            producer.put(pb.Batch(), body)
        for end in range(14, len(rows), 3):  # cut off behind epoch and seq
            refused(producer.batch(rows).SerializeToString()[:end])
        self.unharmed()

    def test_amplifying_batches_all_at_once(self):
        """Small bodies that decode large: together they may not take more than honest ones."""
        producers = [self.own(Producer(self.ingest, f"p{number}")) for number in range(16)]
        for producer in producers:
            producer.hello()
        peak = 0
        for _ in range(5):
            for producer in producers:
                body = producer.batch([]).SerializeToString()
                producer.send(pb.Batch(), body + b"\x78\x00" * ((MESSAGE_MAX - len(body)) // 2))
            peak = max(peak, self.memory_mib())
        self.honest()
        self.assertLess(peak, RSS_MAX_MIB * (3 if SANITIZED else 1))
        for producer in producers:
            producer.acknowledged(5)
        self.unharmed()

    def test_deaf_producers(self):
        """They send and ask, and never read an acknowledgement."""
        deaf = [self.own(Producer(self.ingest, f"deaf{number}", RCVHWM=1)) for number in range(8)]
        for producer in deaf:
            producer.hello()
            for _ in range(40):
                producer.send(producer.batch([("unknown", "x", T0, 1.0)] * 800))
        self.honest()
        for _ in range(300):
            for producer in deaf:
                producer.send(pb.Hello(producer=producer.name, epoch=producer.epoch, next_seq=1))
        self.unharmed()

    def test_no_acknowledgement_before_its_refusals(self):
        """A producer that reads too late may miss acknowledgements, but never a refusal of what is acknowledged."""
        producer = self.own(Producer(self.ingest, "late", RCVHWM=1))
        producer.hello()
        refused = [("unknown", "x", T0, 1.0)] * 800
        producer.put(producer.batch(refused))
        for _ in range(300):  # until there is no room for answers
            producer.send(pb.Hello(producer="late", epoch=producer.epoch, next_seq=1))
        for _ in range(19):
            producer.send(producer.batch(refused))
        self.honest()
        told, acknowledged, read = set(), 0, 0
        while acknowledged < 50:
            message = producer.receive(0.2)
            read += 1
            if isinstance(message, pb.Ack):
                told.update((refusal.seq, refusal.row) for refusal in message.refusals)
                acknowledged = max(acknowledged, message.seq)
            elif message is None:
                producer.send(pb.Hello(producer="late", epoch=producer.epoch, next_seq=acknowledged + 1))
            self.assertEqual(len([1 for seq, _ in told if seq <= acknowledged]), 800 * min(acknowledged, 20))
            if producer.seq < 50 and (read % 10 == 0 or message is None):  # now and then there is room again
                producer.send(producer.batch([("m", "late", T0, 1.0)]))
        self.unharmed()

    # ---- subscribers and askers ----

    def test_subscriptions(self):
        peer = self.own(Peer(self.query))
        peer.send(pb.Subscribe(id=0))
        self.error(peer, "CODE_EPROTO")
        peer.send(pb.Subscribe(id=1, credit=1000))
        self.assertEqual(peer.expect(pb.Snapshot).id, 1)
        for reuse in (pb.Subscribe(id=1), pb.Query(id=1, scorecard="plant", as_of_ms=T0)):
            peer.send(reuse)
            self.error(peer, "CODE_EPROTO")
        for _ in range(1000):
            peer.send(pb.Credit(id=1, more=0xFFFFFFFF))
        peer.send(pb.Credit(id=2, more=1))
        self.error(peer, "CODE_ENOTFOUND")
        peer.send(pb.Unsubscribe(id=3))
        long = "*" + "a" * 120 + "b*"
        for orgs, code in ((["*" * 200], "CODE_EPROTO"), (["a/**b"], "CODE_EPROTO"), (["a//b"], "CODE_EPROTO"),
                           (["x" * 256], "CODE_EPROTO"), (["x" * 512], "CODE_EPROTO"), (["a"] * 257, "CODE_ELIMIT"),
                           ([long] * 256, "CODE_ELIMIT")):
            peer.send(pb.Subscribe(id=5, filter=pb.Filter(orgs=orgs)))
            self.error(peer, code)
        for lists in ({"scorecards": ["x" * 511] * 256}, {"nodes": ["x" * 511] * 256}, {"nodes": ["", "/", "plant/"]},
                      {"orgs": [long] * 16}):
            peer.send(pb.Subscribe(id=6, credit=0xFFFFFFFF, least_interval_ms=0xFFFFFFFF, filter=pb.Filter(**lists)))
            self.assertTrue(peer.expect(pb.Snapshot).last)
            peer.send(pb.Unsubscribe(id=6))
        self.unharmed()

    def test_ten_thousand_subscriptions(self):
        peer = self.own(Peer(self.query, RCVHWM=0))
        for number in range(10000):
            peer.send(pb.Subscribe(id=number + 10, credit=0xFFFFFFFF))
        self.error(peer, "CODE_ELIMIT")
        self.assertEqual(self.own(Peer(self.query)).stats()["poise_subscriptions"], 200)
        self.honest()
        peer.close()
        self.unharmed()

    def test_costly_globs(self):
        """Long globs on long orgs; the stream must answer in between."""
        producer = self.own(Producer(self.ingest, "globs"))
        producer.hello()
        for part in range(3):
            producer.put(producer.batch([("m", "a" * 240 + f"/{part * 900 + number}", T0, 1.0) for number in range(900)]))
        peer = self.own(Peer(self.query))
        for number in range(10):
            glob = "*" + "a" * 100 + "b*"
            peer.send(pb.Subscribe(id=number + 1, credit=64, filter=pb.Filter(orgs=["**/" + glob, glob + "/*"] + [glob] * 16)))
        self.assertTrue(peer.expect(pb.Snapshot).last)
        start = time.monotonic()
        peer.stats()
        self.assertLess(time.monotonic() - start, 5)
        self.unharmed()

    def test_dumps(self):
        peer = self.own(Peer(self.query, RCVHWM=0))
        everything = {"from_ms": 0, "to_ms": T0 * 2}
        for fields in ({"id": 0}, {"to_ms": 0}, {"org": "//"}, {"org": "x" * 600}, {"measure": "m" * 300}, {"cursor": b"x"},
                       {"cursor": bytes(33)}, {"cursor": b"x" * 64}, {"cursor": b"x" * 100000}):
            peer.send(pb.Dump(**{"id": 7, **everything, **fields}))
            self.error(peer, "CODE_EPROTO")
        for number in range(200):  # the first 4 are answered, and each that comes when there is room again
            peer.send(pb.Dump(id=number + 1, **everything))
        answers = [peer.receive(60) for _ in range(200)]
        self.assertEqual({type(answer) for answer in answers} - {pb.Error}, {pb.Rows})
        for answer in answers:
            if isinstance(answer, pb.Error):
                self.assertEqual(answer.code, pb.CODE_EBUSY)
            else:
                self.assertEqual((len(answer.place_delta), answer.cursor), (10, b""))
        deaf = [self.own(Peer(self.query, RCVHWM=1)) for _ in range(20)]
        for peer in deaf:
            for number in range(200):
                peer.send(pb.Dump(id=number + 1, **everything))
        self.unharmed()

    def test_questions(self):
        peer = self.own(Peer(self.query))
        for fields, code in (({"as_of_ms": INT64_MAX}, "CODE_EPROTO"), ({"as_of_ms": -2 ** 63}, "CODE_EPROTO"),
                             ({"id": 0}, "CODE_EPROTO"), ({"scorecard": "x" * 65}, "CODE_EPROTO"),
                             ({"org": "x" * 256}, "CODE_EPROTO"), ({"org": "x" * 512}, "CODE_EPROTO"),
                             ({"scorecard": ""}, "CODE_ENOTFOUND"), ({"scorecard": "none"}, "CODE_ENOTFOUND"),
                             ({"org": "none"}, "CODE_ENOTFOUND"), ({"org": "//"}, "CODE_ENOTFOUND")):
            peer.send(pb.Query(**{"id": 7, "scorecard": "plant", "org": "honest", "as_of_ms": T0, "credit": 9, **fields}))
            self.error(peer, code)
        question = {"scorecard": "plant", "all_orgs": True, "as_of_ms": 7258118399999}
        for number in range(100):
            peer.send(pb.Query(id=number + 1, credit=0xFFFFFFFF, history=True, **question))
        answered = busy = 0
        while answered + busy < 100:
            message = peer.receive(60)
            if isinstance(message, pb.Result):
                answered += message.last
            else:
                self.assertEqual(message.code, pb.CODE_EBUSY)
                busy += 1
        self.assertGreaterEqual(answered, 1)
        for number in range(4):  # asked and never taken in; then given up
            peer.send(pb.Query(id=number + 1000, credit=0, **question))
        peer.send(pb.Query(id=2000, credit=1, **question))
        self.error(peer, "CODE_EBUSY")
        for number in range(4):
            peer.send(pb.Unsubscribe(id=number + 1000))
        for number in range(2001, 3000):
            peer.send(pb.Query(id=number, credit=0xFFFFFFFF, **question))
            if isinstance(peer.receive(), pb.Result):
                break
        self.unharmed()

    # ---- those who go ----

    def test_peers_that_vanish(self):
        producer = self.own(Producer(self.ingest, "filler"))
        producer.hello()
        for part in range(4):
            producer.put(producer.batch([("m", f"o{part}/{number}", T0, 1.0) for number in range(500)]))
        self.honest()
        for _ in range(40):
            peer = Peer(self.query)
            peer.send(pb.Subscribe(id=1, credit=1))  # the snapshot has more parts
            peer.send(pb.Query(id=2, scorecard="plant", all_orgs=True, as_of_ms=T0, credit=1))
            peer.expect(pb.Snapshot)
            peer.close()
        self.unharmed()

    def test_coming_and_going(self):
        hello = pb.Hello(producer="mayfly", epoch=1, next_seq=1)
        for number in range(1500):
            peer = Peer(self.ingest if number % 2 else self.query)
            if number % 4 > 1:
                peer.send(hello if number % 2 else pb.Subscribe(id=1, credit=9, once=number % 8 > 3))
            peer.close()
        crowd = [self.own(Peer(self.query)) for _ in range(300)]
        crowd[-1].stats()
        self.honest()
        for peer in crowd:
            peer.close()
        self.unharmed()


if __name__ == "__main__":
    zmq.Context.instance().set(zmq.MAX_SOCKETS, 4000)
    system.main()
