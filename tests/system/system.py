"""Running Poise's programs in a temporary directory: what the system tests share."""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = pathlib.Path(os.environ["POISE_BUILD"])
SOURCE = pathlib.Path(os.environ["POISE_SOURCE"])
SHARED = SOURCE.parent / "shared"
AGGREGATOR = BUILD / "aggregator" / "poise-aggregator"
COLLECTOR = BUILD / "collector" / "poise-collector"
POISE = BUILD / "cli" / "poise"
HEADER = "time,measure,org,value,of,key,seq,source,retract\n"


def run(*command, check=0, **options):
    """Runs a command to its end; its exit code must be `check` (None: any)."""
    options.setdefault("timeout", 90)
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if check is not None and done.returncode != check:
        raise AssertionError(f"{command} gave {done.returncode}, not {check}\n{done.stdout}\n{done.stderr}")
    return done


def needs_shared(*parts):
    """The path of shared test data; where there is none the test is skipped, but in CI it fails."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        if os.environ.get("POISE_REQUIRE_SHARED"):
            raise AssertionError(f"no test data at {path}")
        raise unittest.SkipTest(f"no test data at {path}")
    return path


def free_port():
    """A port of loopback that was free a moment ago, below those that the kernel gives to who asks for any."""
    while True:
        port = random.randrange(15000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Aggregator:
    """An aggregator over a store in `folder`; started, stopped and killed at will."""

    def __init__(self, folder, scorecards, clock="event", settings="", tcp=False):
        self.folder = pathlib.Path(folder)
        self.ingest = f"tcp://127.0.0.1:{free_port()}" if tcp else f"ipc://{self.folder}/ingest"
        self.query = f"tcp://127.0.0.1:{free_port()}" if tcp else f"ipc://{self.folder}/query"
        self.config = self.folder / "aggregator.yaml"
        self.log = self.folder / "aggregator.log"
        self.process = None
        self.config.write_text(
            f"ingest: {self.ingest}\nquery: {self.query}\nstore: store\nclock: {clock}\nmap: 1GiB\n"
            f"scorecards: {json.dumps([str(card) for card in scorecards])}\n{settings}\n")

    def start(self):
        with open(self.log, "ab") as log:
            start = log.tell()
            self.process = subprocess.Popen([AGGREGATOR, "--config", self.config], stderr=log, stdout=log)
        self.wait_log("listening", start)
        return self

    def wait_log(self, event, start=0, seconds=60):
        """Waits until the log has an event after `start` bytes; returns that part of the log."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            text = self.log.read_bytes()[start:].decode()
            if re.search(rf" {event}( |$)", text, re.M):
                return text
            if self.process.poll() is not None:
                raise AssertionError(f"the aggregator ended with {self.process.returncode}:\n{text}")
            time.sleep(0.01)
        raise AssertionError(f"no '{event}' in the aggregator's log:\n{text}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(60)
            if code != 0:
                raise AssertionError(f"the aggregator ended with {code}:\n{self.log.read_text()}")

    def kill(self):
        self.process.kill()
        self.process.wait(60)

    def get(self, *arguments):
        return json.loads(run(POISE, "get", "--from", self.query, "--format", "json", *arguments).stdout)


class Locked(Aggregator):
    """An aggregator on free TCP ports of the loopback, with keys."""

    def __init__(self, folder, scorecards, peers, settings=""):
        super().__init__(folder, scorecards, settings=f"key: aggregator.key\naccess: access.yaml\n{settings}")
        self.config.write_text(re.sub(r"ipc://\S+", "tcp://127.0.0.1:*", self.config.read_text()))
        self.access = self.folder / "access.yaml"
        self.write_access(peers)

    def write_access(self, peers):
        self.access.write_text(json.dumps({"peers": peers}))
        self.access.chmod(0o600)

    def start(self):
        start = self.log.stat().st_size if self.log.exists() else 0
        super().start()
        found = re.search(r" listening ingest=(\S+) query=(\S+)", self.log.read_bytes()[start:].decode())
        self.ingest, self.query = found[1], found[2]
        return self

    def reload(self, peers=None, event="access_reloaded"):
        if peers is not None:
            self.write_access(peers)
        start = self.log.stat().st_size
        self.process.send_signal(signal.SIGHUP)
        return self.wait_log(event, start)

    def audit(self):
        return [json.loads(line) for line in (self.folder / "store" / "audit.jsonl").read_text().splitlines()]


def curve(folder, name, server="aggregator"):
    """Options of a socket with a pair of keys that `poise keygen` has made."""
    text = (folder / f"{name}.key").read_text() + (folder / f"{server}.pub").read_text()
    public, secret, other = re.findall(r"^(?:public|secret) (\w+)", text, re.M)
    return {"CURVE_PUBLICKEY": bytes.fromhex(public), "CURVE_SECRETKEY": bytes.fromhex(secret),
            "CURVE_SERVERKEY": bytes.fromhex(other)}


class Case(unittest.TestCase):
    """A test with a temporary folder and an aggregator that does not outlive it."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="poise-"))
        self.aggregator = None
        self.children = []

    def tearDown(self):
        if self.aggregator and self.aggregator.process and self.aggregator.process.poll() is None:
            self.aggregator.kill()
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe:
                    pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def spawn(self, *command, **options):
        child = subprocess.Popen([str(part) for part in command], text=True, **options)
        self.children.append(child)
        return child

    def send(self, rows, spool="spool", check=0):
        """Sends CSV rows through `poise send` and waits for their acknowledgement."""
        path = self.write("rows.csv", HEADER + rows)
        return run(POISE, "send", "--to", self.aggregator.ingest, "--spool", self.folder / spool, "--csv", path,
                   check=check)

    def evaluate(self, card, rows, *arguments):
        path = self.write("eval.csv", HEADER + rows)
        done = run(POISE, "eval", "--scorecard", card, "--measurements", path, "--format", "json", *arguments)
        return json.loads(done.stdout)

    def same_states(self, live, offline):
        """Equal to the bit, but for the numbers of definition and revision, which offline has none of."""
        def strip(states):
            return [{key: value for key, value in state.items() if key not in ("definition", "revision")}
                    for state in states]
        for shown, wanted in zip(strip(live), strip(offline)):  # not as lists: unittest takes minutes to show a difference
            self.assertEqual(shown, wanted)
        self.assertEqual(len(live), len(offline))


def main():
    """Runs the script's tests; exit code 77, which ctest knows as skipped, where all of them were."""
    if os.environ.get("POISE_FAILFAST"):
        sys.argv.append("--failfast")
    result = unittest.main(module="__main__", verbosity=2, exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.testsRun and len(result.skipped) == result.testsRun else 0)
