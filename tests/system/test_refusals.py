"""Bad input, end to end: refused with a reason that reaches its sender, and nothing else is touched by it."""
import json
import time

import system
from system import COLLECTOR, HEADER, POISE, Aggregator, Case, run
from wire import WHOLE, Producer, batch_of, pb

CARD = """
scorecard: plant
perspectives:
  - id: internal
    objectives:
      - id: all
        measures:
          - {id: total, input: m, aggregate: sum, score: {linear: {from: 0, to: 10}}}
          - {id: rows, input: m, aggregate: count, score: {linear: {from: 0, to: 100}}}
          - {id: spread, input: m, aggregate: stddev, score: {linear: {from: 1, to: 0}}}
          - {id: ratio, input: r, aggregate: ratio, score: {linear: {from: 0, to: 10}}}
          - {id: old, aggregate: sum, lock_after: 5d, score: {linear: {from: 0, to: 10}}}
          - id: mood
            aggregate: last
            score: {levels: [{name: poor, value: 1, score: 0}, {name: good, value: 2, score: 100}]}
"""
INT64_MIN, INT64_MAX = -2 ** 63, 2 ** 63 - 1
MAY, JANUARY = 1589500800000, 1579046400000  # 2020-05-15, 2020-01-15: `old` is locked there
COLLECTED = """
producer: tests
aggregator: {ingest}
spool: spool
dead_letters: dead.jsonl
log_level: error
sources:
  - csv: {{path: rows.csv}}
    time: {{column: when, format: rfc3339}}
    org: '{{org}}'
    source: '{{source}}'
    measurements:
      - {{measure: m, value: {{column: number}}, when: {{column: what, is: m}}}}
      - {{measure: m, value: {{column: number}}, key: '{{key}}', seq: seq, when: {{column: what, is: keyed}}}}
      - {{measure: r, value: 1, of: {{column: number}}, when: {{column: what, is: r}}}}
      - {{measure: old, value: {{column: number}}, when: {{column: what, is: old}}}}
      - {{measure: mood, value: {{column: number}}, when: {{column: what, is: mood}}}}
      - {{measure: nobody, value: {{column: number}}, when: {{column: what, is: nobody}}}}
"""


def instant(text):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(text / 1000))


class Refusals(Case):
    def setUp(self):
        super().setUp()
        self.card = self.write("plant.yaml", CARD)
        self.accepted = ""

    def start(self, settings=""):
        """An aggregator to which January is locked, with a measurement there."""
        self.aggregator = Aggregator(self.folder, [self.card], settings=settings).start()
        for row in (f"{instant(JANUARY)},old,a,3,,in-january,,,\n", f"{instant(MAY)},old,a,4,,in-may,,,\n"):
            self.send(row, spool="first")
            self.accepted += row

    def untouched(self):
        """The aggregator's states are those of what was accepted, now and from its journal."""
        for restarted in (False, True):
            live = self.aggregator.get("plant", "--all-orgs", "--as-of", "2020-06-01T00:00:00Z")
            self.same_states(live, self.evaluate(self.card, self.accepted, "--all-orgs", "--as-of", "2020-06-01T00:00:00Z"))
            self.same_states(self.aggregator.get("plant", "--all-orgs", "--history"),
                             self.evaluate(self.card, self.accepted, "--all-orgs", "--history"))
            run(POISE, "verify", "--from", self.aggregator.query)
            if not restarted:
                self.aggregator.kill()
                self.aggregator.start()

    # ---- the collector: dead letters ----

    def collect(self, *more, check=0):
        run(COLLECTOR, "--config", self.folder / "collector.yaml", "--once", *more, check=check)

    def letters(self):
        return [json.loads(line) for line in (self.folder / "dead.jsonl").read_text().splitlines()]

    def test_dead_letters(self):
        self.start()
        may, january, ahead = instant(MAY), instant(JANUARY), instant(time.time() * 1000 + 3600000)
        good = f"{may},a,s,,,m,0.1".encode()
        by_collector = [
            (f"{may},a,s,,,m,nan", "'nan' is not a number"),
            (f"{may},a,s,,,m,inf", "'inf' is not a number"),
            (f"{may},a,s,,,m,-1e999", "'-1e999' is not a number"),
            (f"{may},a,s,,,m,1e101", "value is not 0 and not between"),
            (f"{may},a,s,,,m,1e-101", "value is not 0 and not between"),
            (f"{may},a,s,,,m,", "column 'number' is empty"),
            (f"{may},a,s,,,r,NaN", "'NaN' is not a number"),
            (f"{may},a,s,,,r,9e100", "`of` is not 0 and not between"),
            ("soon,a,s,,,m,1", "'soon' is not a time of the form rfc3339"),
            ("1899-12-31T23:59:59Z,a,s,,,m,1", "time is outside 1900-01-01"),
            ("2200-01-01T00:00:00.001Z,a,s,,,m,1", "time is outside 1900-01-01"),
            ("9999999-01-01T00:00:00Z,a,s,,,m,1", "is not a time of the form rfc3339"),
            (f"{may},{'x' * 256},s,,,m,1", "the org is too long"),
            (f"{may},a ,s,,,m,1", "blank-edged segment"),
            (f"{may},a,{'s' * 128},,,m,1", "the source is too long"),
            (f"{may},a,s,{'k' * 256},1,keyed,1", "the key is empty, too long"),
            (f"{may},a,s,k,4611686018427387905,keyed,1", "seq is above 2^62"),
            (b"\xff\xfe".join(f"{may},a?,s,,,m,1".encode().split(b"?")), "is not printable UTF-8"),
            (f"{may},a\x07,s,,,m,1", "is not printable UTF-8"),
            (f"{may},a,s,m,1", "the row has 5 fields"),
        ]
        by_aggregator = [
            (f"{may},a,s,,,nobody,1", "unknown_measure: ", "nobody"),
            (f"{may},a,s,,,mood,1.5", "level: ", "mood"),
            (f"{ahead},a,s,,,m,1", "time_ahead: ", "m"),
            (f"{may},a,s,k,7,keyed,0.6", "seq_conflict: ", "m"),
            (f"{january},a,s,,,old,1", "locked: ", "old"),
        ]
        first = f"{may},a,s,k,7,keyed,0.5"
        lines = ["when,org,source,key,seq,what,number", first]
        for row, *_ in by_collector + by_aggregator:
            lines += [row, good]
        count = len(by_collector + by_aggregator)
        (self.folder / "rows.csv").write_bytes(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n"
                                                        for line in lines))
        self.write("collector.yaml", COLLECTED.format(ingest=self.aggregator.ingest))
        self.collect(check=1)
        self.accepted += f"{may},m,a,0.5,,k,8,s,\n" + f"{may},m,a,0.1,,,,s,\n" * count

        letters = self.letters()
        rows = [letter for letter in letters if "line" in letter]
        refused = [letter for letter in letters if "measurement" in letter]
        self.assertEqual(len(letters), count)
        self.assertEqual([letter["line"] for letter in rows], [3 + 2 * at for at in range(len(by_collector))])
        for letter, (_, reason) in zip(rows, by_collector):
            self.assertIn(reason, letter["reason"])
        self.assertEqual([letter["measurement"]["measure"] for letter in refused], [name for _, _, name in by_aggregator])
        for letter, (_, reason, _) in zip(refused, by_aggregator):
            self.assertTrue(letter["reason"].startswith(reason), letter["reason"])
        self.untouched()

        # Sent again they are refused again; what is locked is held already, and must not come twice.
        self.collect("--replay", check=1)
        self.assertEqual(sorted(letter["reason"] for letter in self.letters()), sorted(letter["reason"] for letter in letters))
        self.untouched()
        done = run(POISE, "restate", "--from", self.aggregator.query, "--reason", "late").stdout
        self.assertEqual(done.strip(), "1 let in, 0 refused")
        self.accepted += f"{january},old,a,1,,,,s,\n"
        self.untouched()

    # ---- poise send: its report ----

    def test_reports_of_poise_send(self):
        self.start()
        may, january, ahead = instant(MAY), instant(JANUARY), instant(time.time() * 1000 + 3600000)
        good = f"{may},m,b,0.1,,,,,\n"
        first = f"{may},m,b,0.5,,k,7,s,\n"
        bad = [
            (f"{may},m,b,nan,,,,,\n", "value 'nan' cannot be read"),
            (f"{may},m,b,inf,,,,,\n", "value 'inf' cannot be read"),
            (f"{may},m,b,1e101,,,,,\n", "the value is not 0 and not between"),
            (f"{may},r,b,1,nan,,,,\n", "of 'nan' cannot be read"),
            (f"{may},r,b,1,1e-200,,,,\n", "`of` is not 0 and not between"),
            ("1899-12-31T00:00:00Z,m,b,1,,,,,\n", "the time is outside 1900-01-01"),
            ("20200515,m,b,1,,,,,\n", "time '20200515' cannot be read"),
            (f"{ahead},m,b,1,,,,,\n", "further ahead of the clock"),
            (f"{may},nobody,b,1,,,,,\n", "no scorecard here has a measure that reads this input"),
            (f"{may},{'m' * 65},b,1,,,,,\n", "the measure's name is empty, too long"),
            (f"{may},m,{'b' * 256},1,,,,,\n", "the org is too long"),
            (f"{may},m,b//c,1,,,,,\n", "empty or blank-edged segment"),
            (f"{may},m,b\udcff,1,,,,,\n", "not valid UTF-8"),
            (f"{may},m,b,1,,{'k' * 256},,,\n", "the key is empty, too long"),
            (f"{may},m,b,1,,,,{'s' * 128},\n", "the source is too long"),
            (f"{may},m,b,1,,k,4611686018427387905,,\n", "seq is above 2^62"),
            (f"{may},m,b,0.6,,k,7,s,\n", "another measurement with this key and seq"),
            (f"{may},m,b,1,,,,,true\n", "a retraction needs a key"),
            (f"{may},mood,b,3,,,,,\n", "no level of the measures that read it"),
            (f"{january},old,b,1,,,,,\n", "is locked"),
            (f"{may},old,a,9,,in-january,,,\n", "is locked"),
            (",old,,,,in-january,,,true\n", "is locked"),
        ]
        path = self.folder / "some.csv"
        path.write_bytes((HEADER + first + "".join(row + good for row, _ in bad)).encode(errors="surrogateescape"))
        done = run(POISE, "send", "--to", self.aggregator.ingest, "--spool", self.folder / "spool", "--csv", path, check=1)
        said = {int(line.split(":")[1]): line for line in done.stderr.splitlines()}
        self.assertEqual(sorted(said), [3 + 2 * at for at in range(len(bad))], done.stderr)
        for at, (_, reason) in enumerate(bad):
            self.assertIn(reason, said[3 + 2 * at])
        self.assertEqual(done.stdout.strip(), f"{len(bad) + 1} counted, {len(bad)} refused")
        self.accepted += first + good * len(bad)
        self.untouched()

    # ---- what our senders would never send ----

    def test_rows_on_the_wire(self):
        self.start()
        producer = Producer(self.aggregator.ingest, "raw")
        producer.hello()
        good, may, january = ("m", "c", MAY, 0.1), instant(MAY), instant(JANUARY)
        bad = [(("m", "c", MAY, value), "VALUE") for value in (float("nan"), float("inf"), -float("inf"), 1e101, 5e-324)]
        bad += [(("r", "c", MAY, 1.0, of), "OF") for of in (float("nan"), -float("inf"), 1e-101)]
        bad += [(("m", "c", time_ms, 1.0), "TIME_RANGE") for time_ms in (-2 ** 62, 2 ** 62, -2208988800001, 7258118400001)]
        bad += [(("m", "c", int(time.time() * 1000) + 3600000, 1.0), "TIME_AHEAD"),
                (("nobody", "c", MAY, 1.0), "UNKNOWN_MEASURE"), (("m" * 65, "c", MAY, 1.0), "MEASURE_NAME"),
                (("m", "c//d", MAY, 1.0), "ORG"), (("m", "c", MAY, 1.0, 1.0, "", 0, False, "s" * 128), "SOURCE"),
                (("m", "c", MAY, 1.0, 1.0, "EMPTY"), "KEY"), (("m", "c", MAY, 1.0, 1.0, "k", 2 ** 62 + 1), "SEQ_RANGE"),
                (("m", "c", MAY, 0.6, 1.0, "k", 7), "SEQ_CONFLICT"), (("m", "c", MAY, 0.5, 1.0, "k", 7, True), "SEQ_CONFLICT"),
                (("m", "c", MAY, 1.0, 1.0, "", 0, True), "RETRACT_KEY"), (("mood", "c", MAY, 1.5), "LEVEL"),
                (("old", "c", JANUARY, 1.0), "LOCKED"), (("old", "a", MAY, 9.0, 1.0, "in-january"), "LOCKED"),
                (("old", "a", JANUARY, 9.0, 1.0, "in-may"), "LOCKED"), (("old", "", 0, 0.0, 1.0, "in-january", 0, True), "LOCKED")]
        rows = [("m", "c", MAY, 0.5, 1.0, "k", 7)] + [row for pair in bad for row in (pair[0], good)]
        batch = producer.batch(rows)
        batch.symbols[list(batch.symbols).index("EMPTY")] = ""
        expected = [(1, 2 * at + 1, getattr(pb, "REASON_" + reason)) for at, (_, reason) in enumerate(bad)]
        self.assertEqual(producer.put(batch), expected)
        self.accepted += f"{may},m,c,0.5,,k,7,,\n" + f"{may},m,c,0.1,,,,,\n" * len(bad)
        self.untouched()

        producer.send(pb.Hello(producer="raw", epoch=producer.epoch, next_seq=1))  # it missed the acknowledgement
        self.assertEqual(producer.acknowledged(1), expected, "told again after a kill -9, too")
        producer.close()

    def test_batches_on_the_wire(self):
        """Texts that are none, or too long for any: of that batch nothing counts, of those before and behind it all."""
        self.start()
        producer = Producer(self.aggregator.ingest, "raw")
        producer.hello()
        may, good = instant(MAY), [("m", "d", MAY, 0.1)] * 3

        def neighbours():
            self.assertEqual(producer.put(producer.batch(good)), [])
            self.accepted += f"{may},m,d,0.1,,,,,\n" * 3

        neighbours()
        for text in (b"\xff\xff\xff\xff\xff", b"\xed\xa0\x80aa", b"\xc0\xafaaa", b"a\x00aaa", b"a\x1b[2J", b"\xc2\x85aaa"):
            for place in (("m", "PLACE", MAY, 1.0), ("m", "d", MAY, 1.0, 1.0, "PLACE"), ("PLACE", "d", MAY, 1.0),
                          ("m", "d", MAY, 1.0, 1.0, "", 0, False, "PLACE")):
                body = producer.batch([*good, place, *good]).SerializeToString().replace(b"PLACE", text)
                self.assertEqual(producer.put(pb.Batch(), body), [(producer.seq, WHOLE, pb.REASON_MALFORMED)])
                neighbours()
        for place in (("m", "x" * 256, MAY, 1.0), ("m", "d", MAY, 1.0, 1.0, "k" * 256), ("x" * 100000, "d", MAY, 1.0)):
            self.assertEqual(producer.put(producer.batch([*good, place, *good])), [(producer.seq, WHOLE, pb.REASON_MALFORMED)])
            neighbours()
        producer.close()
        self.untouched()

    def test_limits(self):
        """Orgs and series that peers may make; what is known already goes on."""
        self.start("max_orgs: 3\nmax_series: 3")  # the root and a; old at a
        producer = Producer(self.aggregator.ingest, "raw")
        producer.hello()
        may = instant(MAY)
        rows = [("m", "a", MAY, 1.0), ("m", "b/c", MAY, 1.0), ("m", "b", MAY, 2.0), ("m", "d", MAY, 1.0), ("r", "a", MAY, 1.0),
                ("m", "a", MAY, 4.0, 1.0, "", 0, False, "other"), ("m", "b", MAY, 8.0), ("old", "a", MAY, 1.0)]
        self.assertEqual(producer.put(producer.batch(rows)),
                         [(1, 1, pb.REASON_TOO_MANY_ORGS), (1, 3, pb.REASON_TOO_MANY_ORGS), (1, 4, pb.REASON_TOO_MANY_SERIES),
                          (1, 5, pb.REASON_TOO_MANY_SERIES)])
        self.accepted += f"{may},m,a,1,,,,,\n{may},m,b,2,,,,,\n{may},m,b,8,,,,,\n{may},old,a,1,,,,,\n"
        producer.close()
        self.untouched()

    def test_retractions_with_anything_in_their_columns(self):
        """Time, value and `of` of a retraction mean nothing, be they no numbers; the rows go into runs all the same."""
        self.start("compact: 1KiB\ncompact_after: 1s")
        may, nan = instant(MAY), float("nan")
        producer = Producer(self.aggregator.ingest, "raw")
        producer.hello()
        rows = [("m", "a", MAY, 1.0, 1.0, f"k{number}", 1, False) for number in range(20)]
        self.assertEqual(producer.put(producer.batch(rows)), [])
        gone = [("m", "a", INT64_MIN if number % 2 else INT64_MAX, nan, float("-inf") if number % 3 else nan, f"k{number}", 2, True)
                for number in range(0, 20, 2)]
        producer.seq += 1
        for row in gone:  # a time is a difference to the one before, so each has its own batch
            batch = batch_of([(row[0], row[1], 0, *row[3:])], producer.epoch, producer.seq)
            batch.base_time_ms = row[2]
            self.assertEqual(producer.put(batch), [])
            producer.seq += 1
        self.accepted += "".join(f"{may},m,a,1,,k{number},1,,\n" for number in range(1, 20, 2))
        until = time.monotonic() + 60
        while True:
            stats = json.loads(run(POISE, "stats", "--json", "--from", self.aggregator.query).stdout)
            self.assertEqual(stats["poise_compactions_failed"], 0, self.aggregator.log.read_text())
            if stats["poise_uncompacted"] == 0 and stats["poise_compactions"] > 0:
                break
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)
        producer.close()
        self.untouched()

    def test_limits_of_batches(self):
        """Our producers learn them; a batch that is larger leaves nothing behind, and the next one counts."""
        self.start("max_batch_rows: 1000\nmax_batch_bytes: 64KiB\nmax_batch_symbols: 4096\nmax_questions: 1")
        may = instant(MAY)
        producer = Producer(self.aggregator.ingest, "raw")
        told = producer.hello()
        self.assertEqual((told.max_batch_rows, told.max_batch_bytes, told.max_batch_symbols), (1000, 65536, 4096))
        row = ("m", "a", MAY, 1.0)
        large = [producer.batch([row] * 1001), producer.batch([row], symbols=["m", "a"] + ["x"] * 4095),
                 producer.batch([row] + [("m", "a", MAY, 1.0, 1.0, "k" * 200 + str(number)) for number in range(400)])]
        for seq, batch in enumerate(large, 1):
            producer.send(batch)
            self.assertEqual(producer.acknowledged(seq), [(seq, WHOLE, pb.REASON_MALFORMED)])
        self.assertEqual(producer.put(producer.batch([row] * 1000)), [])
        self.accepted += f"{may},m,a,1,,,,,\n" * 1000
        log = self.aggregator.log.read_text()
        self.assertEqual(log.count(" batch_too_large key=- name=- producer=raw "), 3)
        self.assertIn(" 1001 rows,", log)
        self.write("collector.yaml", COLLECTED.format(ingest=self.aggregator.ingest) + "batch_rows: 5000\n")
        self.write("rows.csv", "when,org,source,key,seq,what,number\n" +
                   "".join(f"{may},a,s,{'long-key-' * 8}{number},1,keyed,0.5\n" for number in range(6000)))
        self.collect()
        self.accepted += "".join(f"{may},m,a,0.5,,{'long-key-' * 8}{number},1,s,\n" for number in range(6000))
        stats = json.loads(run(POISE, "stats", "--json", "--from", self.aggregator.query).stdout)
        self.assertEqual(stats["poise_batches_too_large"], 3)
        self.assertEqual(stats["poise_rows_accepted"], 7002)
        producer.close()
        self.untouched()


if __name__ == "__main__":
    system.main()
