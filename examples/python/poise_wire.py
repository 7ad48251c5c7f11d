"""Poise's wire protocol for the examples: the generated messages, frames, kinds. proto/README.md is the contract."""
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import zmq

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"

with tempfile.TemporaryDirectory() as generated:  # a project of its own would keep poise_pb2.py
    subprocess.run(["protoc", f"--proto_path={PROTO}", f"--python_out={generated}", "poise.proto"], check=True)
    sys.path.insert(0, generated)
    import poise_pb2 as pb  # noqa: E402
    sys.path.remove(generated)

VERSION = 1
KINDS = {1: pb.Hello, 2: pb.Welcome, 3: pb.Batch, 4: pb.Ack, 5: pb.Gap, 6: pb.Error, 16: pb.Subscribe, 17: pb.Credit,
         18: pb.Unsubscribe, 19: pb.Snapshot, 20: pb.Update, 24: pb.Query, 25: pb.Result}
NUMBERS = {message: kind for kind, message in KINDS.items()}


def keys_of(path):
    """The keys of a file that `poise keygen` wrote: lines of a word and 64 hex digits."""
    lines = [line.partition("#")[0].split() for line in pathlib.Path(path).read_text().splitlines()]
    return {words[0]: bytes.fromhex(words[1]) for words in lines if words}


class Link:
    """A DEALER with the options that the contract asks for, and the keys that the environment names."""

    def __init__(self, endpoint):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        for option, value in [(zmq.IMMEDIATE, 1), (zmq.LINGER, 0), (zmq.RECONNECT_IVL, 500),
                              (zmq.RECONNECT_IVL_MAX, random.randrange(3000, 6000)), (zmq.HEARTBEAT_IVL, 5000),
                              (zmq.HEARTBEAT_TIMEOUT, 15000), (zmq.HEARTBEAT_TTL, 15000)]:
            self.socket.setsockopt(option, value)
        if os.environ.get("POISE_KEY_FILE"):  # docs/access.md
            ours, server = (keys_of(os.environ[name]) for name in ("POISE_KEY_FILE", "POISE_SERVER_KEY"))
            self.socket.setsockopt(zmq.CURVE_PUBLICKEY, ours["public"])
            self.socket.setsockopt(zmq.CURVE_SECRETKEY, ours["secret"])
            self.socket.setsockopt(zmq.CURVE_SERVERKEY, server["public"])
        self.socket.connect(endpoint)

    def send(self, message):
        """Waits until there is a connection and room."""
        head = bytes([VERSION, NUMBERS[type(message)]])
        self.socket.send_multipart([head, message.SerializeToString()])

    def receive(self, timeout_ms):
        """The next message, or None."""
        if not self.socket.poll(timeout_ms):
            return None
        head, body = self.socket.recv_multipart()
        if len(head) != 2 or head[0] != VERSION:
            sys.exit(f"this client speaks version {VERSION}; the peer sent {head!r}")
        message = KINDS.get(head[1])
        return message.FromString(body) if message else None


def name_of(enum, number):
    """REASON_UNKNOWN_MEASURE -> unknown_measure; a number that is newer than this schema stays one."""
    known = enum.DESCRIPTOR.values_by_number.get(number)
    return known.name.split("_", 1)[1].lower() if known else str(number)
