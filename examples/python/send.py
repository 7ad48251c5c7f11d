#!/usr/bin/python3
"""Sends measurements to an aggregator's ingest endpoint: send.py ENDPOINT [FILE.csv]

Reads CSV (header: time,measure,org,value and, where wanted, of,key,seq,source,retract) from the file or standard input,
waits until all of it is acknowledged, prints what was refused, and exits 1 if anything was. There is no spool: what is
not acknowledged when this ends is lost, and sending a file twice counts its rows twice, but for those with a key."""
import csv
import datetime
import itertools
import secrets
import sys

from poise_wire import Link, name_of, pb

EPOCH_START = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
ROWS = 250  # of a batch, which then fits whatever the length of its texts


def time_ms(text):
    return (datetime.datetime.fromisoformat(text) - EPOCH_START) // datetime.timedelta(milliseconds=1)


def batch_of(rows, epoch, seq):
    batch = pb.Batch(epoch=epoch, seq=seq)
    symbols, series, before = {}, {}, None
    for row in rows:
        retract = row.get("retract") in ("true", "1")
        names = [symbols.setdefault(row.get(name) or "", len(symbols)) for name in ("measure", "org", "source")]
        number = series.setdefault(tuple(names), len(series))
        time = (before or 0) if retract else time_ms(row["time"])
        if before is None:
            batch.base_time_ms = before = time
        batch.series.append(number)
        batch.time_delta_ms.append(time - before)
        batch.value.append(0 if retract else float(row["value"]))
        batch.of.append(1 if retract else float(row.get("of") or 1))
        batch.key.append(symbols.setdefault(row["key"], len(symbols)) + 1 if row.get("key") else 0)
        batch.row_seq.append(int(row.get("seq") or 0))
        batch.retract.append(retract)
        before = time
    batch.symbols.extend(symbols)
    for column, indices in zip((batch.series_measure, batch.series_org, batch.series_source), zip(*series)):
        column.extend(indices)
    return batch


class Producer:
    def __init__(self, endpoint, rows):
        self.link, self.rows = Link(endpoint), rows
        self.epoch = secrets.randbits(63) + 1
        self.unacknowledged = {}  # seq: batch and its rows
        self.next_seq = 1         # to be made
        self.next_send = 1
        self.acknowledged = self.credit = self.refused = 0

    def hello(self):
        self.credit = 0  # until the WELCOME
        self.link.send(pb.Hello(producer="send.py", epoch=self.epoch, next_seq=self.acknowledged + 1))

    def make(self):
        """Another batch; False: the input is at its end."""
        rows = list(itertools.islice(self.rows, ROWS))
        if rows:
            self.unacknowledged[self.next_seq] = batch_of(rows, self.epoch, self.next_seq), rows
            self.next_seq += 1
        return bool(rows)

    def send_what_credit_allows(self):
        while self.next_send <= self.acknowledged + self.credit and (self.next_send < self.next_seq or self.make()):
            self.link.send(self.unacknowledged[self.next_send][0])
            self.next_send += 1

    def take(self, message):
        if isinstance(message, pb.Welcome) and message.epoch == self.epoch:
            if message.next_seq <= self.acknowledged:
                sys.exit("the aggregator was restored from an older backup: send everything again")
            self.credit, self.next_send = message.credit, message.next_seq  # ACKs of what is before it follow
        elif isinstance(message, pb.Ack) and message.epoch == self.epoch:
            for refusal in message.refusals:
                self.print_refusal(refusal)
            self.acknowledge(message.seq)
            self.credit = message.credit
        elif isinstance(message, pb.Gap) and message.epoch == self.epoch:
            self.next_send = message.expected
        elif isinstance(message, pb.Error) and message.code == pb.CODE_ENOTFOUND:
            self.hello()  # the aggregator was restarted
        elif isinstance(message, pb.Error):
            sys.exit(f"{name_of(pb.Code, message.code)}: {message.text}")

    def acknowledge(self, seq):
        for known in [known for known in self.unacknowledged if known <= seq]:
            del self.unacknowledged[known]
        self.acknowledged = max(self.acknowledged, seq)
        self.next_send = max(self.next_send, seq + 1)

    def print_refusal(self, refusal):
        rows = self.unacknowledged.get(refusal.seq, (None, []))[1]
        for row in rows if refusal.row == 0xFFFFFFFF else rows[refusal.row:refusal.row + 1]:
            self.refused += 1
            print(f"refused, {name_of(pb.Reason, refusal.reason)}: {','.join(filter(None, row.values()))}")

    def run(self):
        self.hello()
        while self.unacknowledged or self.credit == 0 or self.make():
            self.send_what_credit_allows()
            message = self.link.receive(10000)
            self.take(message) if message else self.hello()  # silence: perhaps a connection was lost


def main():
    source = open(sys.argv[2], newline="", encoding="utf-8") if len(sys.argv) > 2 else sys.stdin
    producer = Producer(sys.argv[1], csv.DictReader(source))
    producer.run()
    print(f"{producer.acknowledged} batches acknowledged, {producer.refused} rows refused")
    return 1 if producer.refused else 0


if __name__ == "__main__":
    sys.exit(main())
