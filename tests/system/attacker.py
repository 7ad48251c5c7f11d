"""attacker.py KIND ENDPOINT COUNT: a hostile process of its own, which says `ready` and goes on until it is killed. It
is nice: what it needs of the processor is that of another machine. Who has keys finds them in his directory, says `leak`
where he is told something, and `cut` where his connection was."""
import itertools
import os
import pathlib
import random
import socket
import struct
import sys
import threading
import time

import zmq

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
READY = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER\x08Identity" + struct.pack(">I", 0)
SHAKEN = GREETING + b"\x04" + bytes([len(READY)]) + READY


def say(word):
    """In one piece: others say something, too."""
    os.write(1, word.encode() + b"\n")


def connect(endpoint, shaken=SHAKEN):
    """A connection that has said its part of the handshake."""
    host, port = endpoint.removeprefix("tcp://").split(":")
    raw = socket.create_connection((host, int(port)), timeout=10)
    raw.sendall(shaken)
    return raw


def through(endpoint):
    """A connection that is let in: what comes before libzmq has said its part, too, is no message to it."""
    raw = connect(endpoint)
    left = len(SHAKEN)
    while left:
        left -= len(raw.recv(left)) or left
    return raw


def frame(body, more=False):
    return bytes([more | 2 * (len(body) > 255)]) + (struct.pack(">Q", len(body)) if len(body) > 255 else bytes([len(body)])) + body


def varint(number):
    return bytes([number & 127 | 128, number >> 7 & 127 | 128, number >> 14])


def again_and_again(attack):
    """Until it is killed, also when the connection is cut."""
    def run():
        while True:
            try:
                attack()
            except OSError:
                time.sleep(0.5 + random.random())
    return run


def idle(raw):
    """Idle, not a storm: who is cut takes his time."""
    try:
        while raw.recv(65536):  # also the aggregator's heartbeats, which stay without an answer
            pass
    except OSError:
        pass
    time.sleep(5 + 5 * random.random())


def half_open(endpoint):
    raw = connect(endpoint, GREETING[:20])
    while raw.recv(65536):
        pass
    raise OSError


def garbage(endpoint):
    before = random.random() < 0.5
    raw = connect(endpoint, b"") if before else through(endpoint)
    raw.sendall(random.randbytes(random.randrange(100, 20000)))
    raw.close()
    time.sleep(0.005)


def endless(endpoint, body):
    """A message without an end."""
    raw = through(endpoint)
    piece = frame(body, more=True) * (1 + (1 << 18) // (len(body) + 2))
    while True:
        raw.sendall(piece)


def many_frames(endpoint):
    raw = through(endpoint)
    raw.sendall(frame(b"\x01\x03", more=True) + frame(bytes(1600), more=True) * 199998 + frame(b""))
    raw.recv(1)
    raw.close()


def many_subscriptions(endpoint):
    """Each connection subscribes to everything, 50,000 times."""
    raw = through(endpoint)
    for number in range(1, 50001):
        raw.sendall(frame(b"\x01\x10", more=True) + frame(b"\x08" + varint(number) + b"\x20\x05"))
    while raw.recv(65536):
        pass
    raise OSError


def large_filters(endpoint):
    """Each connection subscribes by 100 filters, each another one, of 256 nodes with long names."""
    raw = through(endpoint)
    for number in range(1, 101):
        nodes = (b"\x1a" + varint(500) + b"%04d" % number + b"o" * 496) * 256
        raw.sendall(frame(b"\x01\x10", more=True) + frame(b"\x08" + varint(number) + b"\x12" + varint(len(nodes)) + nodes + b"\x20\x05"))
    while raw.recv(65536):
        pass
    raise OSError


def deaf(endpoint):
    """Asks for everything under endless credit, and reads nothing."""
    raw = through(endpoint)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for number in range(1, 100):
        raw.sendall(frame(b"\x01\x10", more=True) + frame(b"\x08" + bytes([number]) + b"\x20\xff\xff\xff\xff\x0f"))
    while True:
        time.sleep(1)
        raw.sendall(frame(b"\x01\x11", more=True) + frame(b"\x08\x01\x10\x01"))


def amplifier(endpoint):
    """The largest bodies that decode to most."""
    raw = through(endpoint)
    hello = b"\x0a\x01a\x11" + b"\x01" * 8 + b"\x18\x01"
    raw.sendall(frame(b"\x01\x01", more=True) + frame(hello))
    body = b"\x09" + b"\x01" * 8 + b"\x10\x01" + b"\x1a\x00" * 131000
    while True:
        raw.sendall(frame(b"\x01\x03", more=True) + frame(body))
        time.sleep(0.01)


def hellos(endpoint):
    """Each connection begins new epochs, and sends nothing."""
    raw = through(endpoint)
    for _ in range(50):
        raw.sendall(frame(b"\x01\x01", more=True) + frame(b"\x0a\x01h\x11" + random.randbytes(8) + b"\x18\x01"))
    raw.recv(1)
    raw.close()
    time.sleep(0.005)


# ---- with keys ----

class Keyed:
    """A DEALER that goes on connecting. Without a name its keys are new."""

    def __init__(self, endpoint, name=None, pause=20):
        from system import curve  # not for those who are to be quick
        options = curve(pathlib.Path(), name) if name else dict(zip(("CURVE_PUBLICKEY", "CURVE_SECRETKEY"), zmq.curve_keypair()))
        options.setdefault("CURVE_SERVERKEY", bytes.fromhex(pathlib.Path("aggregator.pub").read_text().split()[-1]))
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        for option, value in {"LINGER": 0, "SNDTIMEO": 50, "IMMEDIATE": 1, "RECONNECT_IVL": pause, **options}.items():
            self.socket.setsockopt(getattr(zmq, option), value)
        self.socket.connect(endpoint)

    def send(self, head, body):
        try:
            self.socket.send_multipart([head, body])
        except zmq.Again:
            pass

    def replies(self, milliseconds=10):
        while self.socket.poll(milliseconds):
            yield self.socket.recv_multipart()


def demands():
    """What anybody would like to have done, in the name of somebody else, too."""
    from wire import batch_of, pb
    rows = [("m", "honest", 1772445600000 + row, 1e6) for row in range(10)]
    for seq in itertools.cycle(range(1, 21)):
        epoch = random.getrandbits(63) | 1 if seq == 1 else epoch  # where one was lost, the rest is not looked at
        for producer in ("honest", "other"):
            yield b"\x01\x01", pb.Hello(producer=producer, epoch=epoch, next_seq=seq)
            yield b"\x01\x03", batch_of(rows, epoch, seq)
        yield b"\x01\x10", pb.Subscribe(id=seq, credit=100)
        yield b"\x01\x24", pb.Dump(id=seq, from_ms=0, to_ms=1 << 50)
        yield b"\x01\x1a", pb.StatsRequest(id=seq)


def let_in(kind):
    return kind in (19, 20, 25, 27, 37)  # SNAPSHOT, UPDATE, RESULT, STATS, ROWS


def unknown_key(endpoint):
    peer = Keyed(endpoint)
    for head, message in itertools.islice(demands(), 3):  # libzmq itself would not come again so soon
        peer.send(head, message.SerializeToString())
        for _ in peer.replies():
            say("leak")
    peer.socket.close()


def wrong_org(endpoint):
    """A key that may send and read, but nothing of others."""
    peer = Keyed(endpoint, "other")
    for head, message in demands():
        peer.send(head, message.SerializeToString())
        for head, body in peer.replies(1):
            if let_in(head[1]) and b"honest" in body:
                say("leak")


def revoked_key(endpoint):
    peer = Keyed(endpoint, "revoked")
    for head, message in itertools.islice(demands(), 20):
        peer.send(head, message.SerializeToString())
        for _ in peer.replies(1):
            pass  # of before it was revoked; test_flood looks at what comes then
    peer.socket.close()


CUTS = itertools.count()


def garbage_in_a_lock(endpoint):
    """Goes between the aggregator and one that is let in, and when the handshake is over it says something else."""
    listener = socket.create_server(("127.0.0.1", 0))
    peer = Keyed(f"tcp://127.0.0.1:{listener.getsockname()[1]}", "other", pause=-1)
    client = listener.accept()[0]
    listener.close()
    host, port = endpoint.removeprefix("tcp://").split(":")
    raw = socket.create_connection((host, int(port)), timeout=10)
    threading.Thread(target=pass_on, args=(client, raw), daemon=True).start()
    left = 64 + 170 + 60  # greeting, WELCOME, and some of READY
    while left > 0 and (got := raw.recv(4096)):
        client.sendall(got)
        left -= len(got)
    if left <= 0:
        bad = random.randbytes(random.randrange(600, 20000))
        raw.sendall(random.choice((bad, frame(b"\x07MESSAGE" + bad), frame(b"\x07MESSAGE" + bad[:9]))))
        raw.settimeout(20)
        while raw.recv(4096):  # until it is cut
            pass
        if next(CUTS) < 100:
            say("cut")
    raw.close()
    client.close()
    peer.socket.close()


def pass_on(source, target):
    try:
        while got := source.recv(4096):
            target.sendall(got)
    except OSError:
        pass


KINDS = {
    "unknown_key": unknown_key, "wrong_org": wrong_org, "revoked_key": revoked_key, "garbage_in_a_lock": garbage_in_a_lock,
    "idle_in_a_lock": lambda endpoint: idle(connect(endpoint, GREETING.replace(b"NULL\0", b"CURVE"))),
    "idle": lambda endpoint: idle(through(endpoint)), "half_open": half_open, "garbage": garbage, "endless": lambda endpoint: endless(endpoint, b""),
    "endless_large": lambda endpoint: endless(endpoint, bytes(1600)), "many_frames": many_frames,
    "many_subscriptions": many_subscriptions, "large_filters": large_filters, "deaf": deaf, "amplifier": amplifier,
    "hellos": hellos,
}


def main():
    os.nice(19)
    threading.stack_size(1 << 17)
    kind, endpoint, count = sys.argv[1:4]
    for _ in range(int(count)):
        threading.Thread(target=again_and_again(lambda: KINDS[kind](endpoint)), daemon=True).start()
    say("ready")
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
