"""Limits of the query endpoint, set small, over TCP: each is met, then exceeded, and what is refused then is what
docs/configuration.md says. What hostile peers make of limits: test_hostile.py and test_flood.py."""
import socket
import time

import system
from attacker import GREETING, connect, frame, through
from system import POISE, Aggregator, Case, run
from wire import VERSION, Peer, Producer, View, pb

CARD = """
scorecard: plant
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: total, input: m, aggregate: sum, score: {linear: {from: 0, to: 1000}}}
"""
T0 = 1772445600000
REQUEST, HANDSHAKES, QUESTIONS, QUESTIONS_EACH, ANSWER = 4096, 5, 3, 2, 1 << 20
ORGS = 3000  # the scores of all are above ANSWER


class Limits(Case):
    def setUp(self):
        super().setUp()
        card = self.write("plant.yaml", CARD)
        self.aggregator = Aggregator(self.folder, [card], tcp=True, settings=(
            f"max_request: {REQUEST // 1024}KiB\nmax_handshakes: {HANDSHAKES}\nhandshake: 10m\n"
            f"max_questions: {QUESTIONS}\nmax_questions_each: {QUESTIONS_EACH}\nmax_answer: {ANSWER >> 20}MiB")).start()
        self.open = [Peer(self.aggregator.query)]
        self.peer = self.open[0]
        self.stats()  # so it is through the handshake

    def tearDown(self):
        for peer in self.open:
            peer.close()
        super().tearDown()

    def own(self, peer):
        self.open.append(peer)
        return peer

    def stats(self):
        return self.peer.stats()

    def await_stat(self, name, wanted):
        until = time.monotonic() + 60
        while self.stats()[name] != wanted:
            self.assertLess(time.monotonic(), until, self.stats()[name])
            time.sleep(0.02)

    def ends(self, raw, seconds=60):
        """Whether it is cut in time, whatever was said to it before."""
        raw.settimeout(seconds)
        try:
            while raw.recv(65536):
                pass
        except socket.timeout:
            return False
        except ConnectionResetError:
            pass
        return True

    def next_byte(self, raw):
        raw.settimeout(60)
        try:
            return raw.recv(1)
        except ConnectionResetError:
            return b""

    def test_requests(self):
        producer = self.own(Producer(self.aggregator.ingest, "p"))
        producer.hello()
        self.assertEqual(producer.put(producer.batch([("m", "a", T0, 1.0)] * 2000)), [])  # these may be longer
        wanted = pb.Subscribe(id=1, credit=9).SerializeToString() + b"\x7a"  # and a field that nobody knows
        for length in (REQUEST, REQUEST + 1):
            rest = length - len(wanted) - 2
            body = wanted + bytes([rest & 127 | 128, rest >> 7]) + bytes(rest)
            self.assertEqual(len(body), length)
            raw = self.own(through(self.aggregator.query))
            raw.sendall(frame(bytes([VERSION, 16]), more=True) + frame(body))
            if length > REQUEST:
                self.assertEqual(self.next_byte(raw), b"")
            self.await_stat("poise_subscriptions", 1)
        view = self.own(View(self.aggregator.query))
        view.until(lambda: view.complete)

    def test_handshakes(self):
        for endpoint in (self.aggregator.ingest, self.aggregator.query):
            slow = self.stats()["poise_connections_slow"]
            half_open = []
            for number in range(HANDSHAKES + 2):
                half_open.append(self.own(connect(endpoint, GREETING[:20])))
                self.await_stat("poise_connections_slow", slow + max(0, number + 1 - HANDSHAKES))
            self.assertTrue(all(self.ends(raw) for raw in half_open[:2]))
            self.assertFalse(any(self.ends(raw, 0.1) for raw in half_open[2:]))
            for raw in half_open:
                raw.close()
        self.assertEqual(self.aggregator.log.read_text().count(" slow_handshake "), 4)

    def ask(self, number, **fields):
        self.peer.send(pb.Query(**{"id": number, "scorecard": "plant", "org": "o/1", "as_of_ms": T0, "credit": 9, **fields}))

    def error(self, number, code):
        error = self.peer.expect(pb.Error)
        self.assertEqual((error.id, pb.Code.Name(error.code)), (number, code))
        return error.text

    def fill(self):
        producer = self.own(Producer(self.aggregator.ingest, "p"))
        producer.hello()
        for at in range(0, ORGS, 500):
            self.assertEqual(producer.put(producer.batch([("m", f"o/{at + row}", T0, 1.0) for row in range(500)])), [])

    def test_questions_and_answers(self):
        self.fill()
        for number in range(1, QUESTIONS_EACH + 1):
            self.ask(number, credit=0)  # nothing of the answer may come yet
        self.ask(7)
        self.assertIn(f"{QUESTIONS_EACH} questions of this connection are being", self.error(7, "CODE_EBUSY"))
        first, self.peer = self.peer, self.own(Peer(self.aggregator.query))
        self.ask(1, credit=0)
        other = self.own(Peer(self.aggregator.query))
        self.stats()  # so that it was asked
        other.send(pb.Dump(id=8, to_ms=T0))
        error = other.expect(pb.Error)
        self.assertEqual((error.id, error.code), (8, pb.CODE_EBUSY))
        self.assertIn(f"{QUESTIONS} questions are being answered", error.text)
        self.assertEqual(self.stats()["poise_questions_refused"], 2)
        run(POISE, "losses", "--from", self.aggregator.query)  # there is room for operators
        self.peer = first
        self.peer.send(pb.Credit(id=1, more=9))
        self.assertEqual(self.peer.expect(pb.Result).id, 1)
        self.ask(7, all_orgs=True)
        self.assertIn("more than 1 MiB (max_answer)", self.error(7, "CODE_ELIMIT"))
        self.ask(7)
        result = self.peer.expect(pb.Result)
        self.assertEqual((result.id, result.last, {state.org for state in result.states}), (7, True, {"o/1"}))


if __name__ == "__main__":
    system.main()
