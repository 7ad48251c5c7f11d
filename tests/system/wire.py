"""The wire protocol in plain Python (pyzmq, protobuf), for peers that do what our own programs never would."""
import itertools
import os
import subprocess
import sys
import tempfile
import time

import zmq

from system import SOURCE

with tempfile.TemporaryDirectory() as generated:
    subprocess.run(["protoc", f"--proto_path={SOURCE / 'proto'}", f"--python_out={generated}", "poise.proto"], check=True)
    sys.path.insert(0, generated)
    import poise_pb2 as pb  # noqa: E402
    sys.path.remove(generated)

VERSION = 1
KINDS = {1: pb.Hello, 2: pb.Welcome, 3: pb.Batch, 4: pb.Ack, 5: pb.Gap, 6: pb.Error, 16: pb.Subscribe, 17: pb.Credit,
         18: pb.Unsubscribe, 19: pb.Snapshot, 20: pb.Update, 24: pb.Query, 25: pb.Result, 26: pb.StatsRequest,
         27: pb.Stats, 36: pb.Dump, 37: pb.Rows, 42: pb.Changes, 43: pb.Changed, 46: pb.Spool}
NUMBERS = {message: kind for kind, message in KINDS.items()}
WHOLE = 0xFFFFFFFF  # Refusal.row: all of the batch


class Peer:
    """A DEALER that sends what it is told, well or badly formed."""

    def __init__(self, endpoint, **options):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDTIMEO, 20000)
        for name, value in options.items():
            self.socket.setsockopt(getattr(zmq, name), value)
        self.socket.connect(endpoint)

    def close(self):
        self.socket.close()

    def frames(self, *frames):
        self.socket.send_multipart(frames)

    def send(self, message, body=None):
        """The message, or other bytes under its kind."""
        head = bytes([VERSION, NUMBERS[type(message)]])
        self.frames(head, message.SerializeToString() if body is None else body)

    def receive(self, seconds=20):
        """The next message; None: none came in time."""
        if not self.socket.poll(int(seconds * 1000)):
            return None
        head, body = self.socket.recv_multipart()
        return KINDS[head[1]].FromString(body)

    def expect(self, kind, seconds=20):
        """The next message of a kind, passing over others."""
        until = time.monotonic() + seconds
        seen = []
        while time.monotonic() < until:
            message = self.receive(until - time.monotonic())
            if isinstance(message, kind):
                return message
            seen.append(message)
        raise AssertionError(f"no {kind.__name__} came, but {str(seen)[:1000]}")

    def stats(self):
        self.send(pb.StatsRequest(id=1))
        stats = self.expect(pb.Stats)
        return dict(zip(stats.name, stats.value))


class Producer(Peer):
    """A producer without a spool; batches of what `rows` says, each acknowledged before the next."""

    def __init__(self, endpoint, name, epoch=None, **options):
        super().__init__(endpoint, **options)
        self.name, self.epoch, self.seq = name, epoch or int.from_bytes(os.urandom(8), "big") | 1, 0

    def hello(self, **fields):
        self.send(pb.Hello(**{"producer": self.name, "epoch": self.epoch, "next_seq": self.seq + 1, **fields}))
        return self.expect(pb.Welcome)

    def batch(self, rows, **fields):
        self.seq += 1
        batch = batch_of(rows, self.epoch, self.seq)
        for name, value in fields.items():
            field = getattr(batch, name)
            if hasattr(field, "extend"):
                del field[:]
                field.extend(value)
            else:
                setattr(batch, name, value)
        return batch

    def put(self, message, body=None):
        """Sends a batch and returns the refusals of its ACK."""
        self.send(message, body)
        return self.acknowledged(self.seq)

    def acknowledged(self, seq):
        refusals = []
        while True:
            ack = self.expect(pb.Ack)
            refusals += ack.refusals
            if ack.epoch == self.epoch and ack.seq >= seq:
                return [(refusal.seq, refusal.row, refusal.reason) for refusal in refusals]


def batch_of(rows, epoch, seq):
    """Rows of (measure, org, time_ms, value) and then, where wanted, of, key, row_seq, retract, source."""
    batch, symbols, series, before = pb.Batch(epoch=epoch, seq=seq), {}, {}, 0
    sources = any(len(row) > 8 for row in rows)
    for row in rows:
        measure, org, time_ms, value, of, key, row_seq, retract, source = (*row, *(1.0, "", 0, False, "")[len(row) - 4:])
        names = tuple(symbols.setdefault(name, len(symbols)) for name in (measure, org, *([source] if sources else [])))
        batch.series.append(series.setdefault(names, len(series)))
        batch.time_delta_ms.append(time_ms - before)
        before = time_ms
        batch.value.append(value)
        batch.of.append(of)
        batch.key.append(symbols.setdefault(key, len(symbols)) + 1 if key else 0)
        batch.row_seq.append(row_seq)
        batch.retract.append(retract)
    batch.symbols.extend(symbols)
    for column, indices in zip((batch.series_measure, batch.series_org, batch.series_source), zip(*series)):
        column.extend(indices)
    return batch


class View:
    """A subscriber's view, made only of SNAPSHOT and UPDATE as the contract says."""
    ids = itertools.count(1)

    def __init__(self, endpoint, credit=64, options=None, **subscribe):
        self.peer = Peer(endpoint, **options or {})
        self.subscribe = {"credit": credit, **subscribe}
        self.states, self.lsn, self.revisions = {}, 0, []
        self.snapshots = self.updates = 0
        self.parted = False  # a part of an update came, and not yet the last
        self.ask()

    def ask(self):
        self.id, self.complete, self.in_snapshot, self.owed = next(self.ids), False, False, 0
        self.peer.send(pb.Subscribe(id=self.id, **self.subscribe))

    def close(self):
        self.peer.close()

    def take(self, seconds=20):
        """Takes in one message; False: none came in time."""
        message = self.peer.receive(seconds)
        if message is None:
            return False
        if message.id != self.id:
            return True  # of an id before
        if isinstance(message, pb.Error):
            assert message.code == pb.CODE_ENOTFOUND, message
            self.ask()
        elif isinstance(message, pb.Snapshot):
            self.on_snapshot(message)
        else:
            self.on_update(message)
        return True

    def on_snapshot(self, part):
        if not self.in_snapshot:
            self.states = {}
            self.snapshots += 1
        self.in_snapshot, self.complete, self.parted = not part.last, part.last, False
        self.merge(part)

    def on_update(self, update):
        if update.prev == update.lsn and not update.states:
            return  # a sign of life
        revisions = [state for state in update.states if state.revision]
        live = [state for state in update.states if not state.revision]
        assert self.complete or self.parted
        assert update.prev == self.lsn <= update.lsn, f"{update.prev} to {update.lsn}, had {self.lsn}"
        assert live or revisions or (self.parted and not update.part)
        assert len({(state.org, state.node) for state in live}) == len(live)
        assert self.lsn < update.lsn or update.part or not live, "only revisions may come later"
        assert not update.part or (update.lsn == self.lsn and not revisions)
        self.complete, self.parted = not update.part, update.part
        self.revisions += revisions
        self.updates += not update.part
        self.merge(update)

    def merge(self, message):
        self.lsn = message.lsn
        self.owed += 1
        for state in message.states:
            if not state.revision:
                self.states[state.org, state.node] = state

    def give(self):
        """Gives back the credit of what was taken in."""
        if self.owed:
            self.peer.send(pb.Credit(id=self.id, more=self.owed))
        self.owed = 0

    def probe(self):
        """Does it still stand?"""
        self.peer.send(pb.Credit(id=self.id, more=0))

    def until(self, done):
        """Takes in and gives back until it is done."""
        while not done():
            assert self.take(), "the stream went silent"
            self.give()
        return self
