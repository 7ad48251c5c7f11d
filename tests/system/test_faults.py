"""Networks that fail and processes that are killed, at random moments under load: every measurement counts once, scores are those
of `poise eval`, and every subscriber has what a fresh snapshot has. POISE_SEED=N for another run, POISE_ROUNDS=N for so
many kills of each process."""
import collections
import os
import pathlib
import random
import re
import subprocess
import threading
import time

import system
from proxy import DOWN, UP, Proxy
from system import COLLECTOR, POISE, Aggregator, Case, Locked, run
from test_streams import plain
from wire import View, pb

CARD = """
scorecard: plant
period: month
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: rows, input: m, aggregate: count, score: {linear: {from: 0, to: 100000}}}
          - {id: total, input: m, aggregate: sum, score: {linear: {from: 0, to: 100000}}}
          - {id: top, input: m, aggregate: max, score: {linear: {from: 0, to: 100000}}}
          - {id: share, input: r, aggregate: ratio, score: {linear: {from: 0, to: 2}}}
"""
QUALITY = "plant/internal/quality/"
FEW = "line-3"
SETTINGS = "checkpoint: 300ms\nsettle: 10ms"
SEED = int(os.environ.get("POISE_SEED", "1"))
ROUNDS = int(os.environ.get("POISE_ROUNDS", "0"))
KILL_S = 10  # of kills, where no number of them is asked for
VICTIMS = ("aggregator", "collector", "importer", "watch")
MS = "2026-03-{:02d}T{:02d}:{:02d}:07.123Z"


class Rows:
    """What was sent, and what must come of it: counted here, of nothing but the rows."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lines, self.plain, self.keyed = [], [], {}
        self.seq = 0

    def make(self, count, key=None):
        """CSV lines; with `key` a third of them are keyed, of which some correct or take back what another said."""
        lines = []
        for _ in range(count):
            time_ = MS.format(self.random.randrange(1, 28), self.random.randrange(24), self.random.randrange(60))
            org, value = f"line-{self.random.randrange(7)}", self.random.randrange(1000)
            self.seq += 1
            if key and self.random.random() < 0.33:
                name, gone = f"{key}{self.random.randrange(1 + count // 3)}", self.random.random() < 0.1
                lines.append(f"{time_},m,{org},{value},,{name},{self.seq},,{'true' if gone else ''}\n")
                self.keyed[name] = None if gone else (org, value)
            elif key and self.random.random() < 0.2:
                lines.append(f"{time_},r,{org},{value},{value + 1},,,,\n")
            else:
                lines.append(f"{time_},m,{org},{value},,,,,\n")
                self.plain.append((org, value))
        self.lines += lines
        return lines

    def counted(self):
        """Of each org and of all: how many, their sum."""
        result = collections.defaultdict(lambda: [0, 0])
        for org, value in self.plain + [row for row in self.keyed.values() if row]:
            for name in ("", org):
                result[name][0] += 1
                result[name][1] += value
        return {org: tuple(numbers) for org, numbers in result.items()}


class Follower(threading.Thread):
    """A subscriber that goes by the contract: it asks in silence, and connects anew when nobody answers."""

    def __init__(self, endpoint, options, **subscribe):
        super().__init__(daemon=True)
        self.endpoint, self.options, self.subscribe = endpoint, options, subscribe
        self.stop, self.failure = threading.Event(), None
        self.views = 0
        self.view = None
        self.start()

    def open(self):
        if self.view:
            self.view.close()
        self.view = View(self.endpoint, credit=16, options=self.options, **self.subscribe)
        self.views += 1

    def run(self):
        try:
            self.open()
            silent = 0
            while not self.stop.is_set():
                if self.view.take(0.25):
                    silent = 0
                    self.view.give()
                    continue
                silent += 1
                if silent % 12 == 0:
                    self.open()
                else:
                    self.view.probe()
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def until(self, expected, seconds=60):
        """Whether it comes to have that view."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.failure:
            view = self.view
            if view.complete and plain(dict(view.states)) == expected:
                return True
            time.sleep(0.05)
        return False

    def end(self):
        self.stop.set()
        self.join(30)
        self.view.close()


class Faults(Case):
    def setUp(self):
        super().setUp()
        self.card = self.write("plant.yaml", CARD)
        self.rows = Rows(SEED)
        self.proxies, self.followers = [], []
        self.keys, self.curve = {}, {}  # of all programs, and for sockets; none
        self.aggregator = Aggregator(self.folder, [self.card], settings=SETTINGS).start()

    def tearDown(self):
        for follower in self.followers:
            follower.end()
        for proxy in self.proxies:
            proxy.close()
        super().tearDown()

    def proxy(self, target, seed):
        self.proxies.append(Proxy(target, seed))
        return self.proxies[-1]

    def lock(self):
        """From here on with keys: another aggregator, by TCP."""
        self.aggregator.stop()
        public = {name: run(POISE, "keygen", self.folder / name).stdout.strip() for name in ("aggregator", "all")}
        secret = re.search(r"secret (\w+)", (self.folder / "all.key").read_text())[1]
        self.keys = {"key": self.folder / "all.key", "server_key": self.folder / "aggregator.pub"}
        self.curve = {"CURVE_PUBLICKEY": bytes.fromhex(public["all"]), "CURVE_SECRETKEY": bytes.fromhex(secret),
                      "CURVE_SERVERKEY": bytes.fromhex(public["aggregator"])}
        peers = [{"name": "all", "key": public["all"], "send": "all", "producers": ["line", "cli-*"],
                  "read": "all", "query": True}]
        self.aggregator = Locked(self.folder, [self.card], peers, SETTINGS).start()

    def arguments(self):
        return ["--key-file", self.keys["key"], "--server-key", self.keys["server_key"]] if self.keys else []

    def follow(self, endpoint):
        for subscribe in {}, {}, {"filter": pb.Filter(orgs=[FEW]), "least_interval_ms": 50}:
            self.followers.append(Follower(endpoint, self.curve, **subscribe))

    def start_watch(self, endpoint):
        self.watched = self.folder / "watched.jsonl"
        with open(self.watched, "w") as out:
            return self.spawn(POISE, "watch", "plant", "--from", endpoint, "--all-orgs", "--format", "json", *self.arguments(),
                              stdout=out, stderr=subprocess.DEVNULL)

    def start_import(self, number):
        """`poise import`, which goes on where it was when it is started again."""
        return self.spawn(POISE, "import", self.folder / f"import-{number}.csv", "--to", self.ingest, "--spool",
                          self.folder / "import-spool", *self.arguments(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start_collector(self, *arguments):
        return self.spawn(COLLECTOR, "--config", self.folder / "collector.yaml", *arguments, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)

    def write_collector(self):
        self.source = self.write("source.csv", system.HEADER)
        keys = "".join(f"{name}: {path}\n" for name, path in self.keys.items())
        self.write("collector.yaml", f"""{keys}
producer: line
aggregator: {self.ingest}
spool: {self.folder}/collector-spool
dead_letters: {self.folder}/dead.jsonl
batch_rows: 100
sources:
  - csv: {{path: {self.source}, follow: true}}
    time: {{column: time, format: rfc3339}}
    measurements:
      - measure: m
        org: '{{org}}'
        value: {{column: value}}
""")

    # ---- what must hold ----

    def expected(self, subscribe):
        """What a fresh snapshot has, of the same filter."""
        view = View(self.aggregator.query, options=self.curve, **{**subscribe, "once": True})
        states = plain(view.until(lambda: view.complete).states)
        view.close()
        return states

    def last_watched(self):
        """Of each node the last line, but for closed periods."""
        states = {}
        for line in self.watched.read_text().splitlines():
            state = system.json.loads(line)
            if not state.get("revision"):
                states[state["org"], state["node"]] = state["score"], state["value"], state["count"]
        return states

    def check(self):
        live = self.aggregator.get("plant", "--all-orgs", *self.arguments())
        states = {(state["org"], state["node"]): state for state in live}
        counted = self.rows.counted()
        for org, (count, total) in counted.items():
            self.assertEqual(states[org, QUALITY + "rows"]["value"], count, org)
            self.assertEqual(states[org, QUALITY + "total"]["value"], total, org)
        offline = self.evaluate(self.card, "".join(self.rows.lines), "--all-orgs", "--as-of", live[0]["as_of"])
        self.same_states(live, offline)
        for follower in self.followers:
            expected = self.expected(follower.subscribe)
            wanted = [key for key in states if not follower.subscribe or key[0] == FEW]
            self.assertEqual(sorted(expected), sorted(wanted))
            self.assertTrue(follower.until(expected), follower.failure or "another view than a snapshot's")
            self.assertIsNone(follower.failure)
        shown = {key: (state["score"], state["value"], state["count"]) for key, state in states.items()}
        deadline = time.monotonic() + 30
        while self.last_watched() != shown and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(self.last_watched(), shown)

    # ---- the network ----

    def trouble(self, seconds, pause_s):
        """The network between all of them fails, for so long."""
        up = self.proxy(self.aggregator.ingest, SEED)
        down = self.proxy(self.aggregator.query, SEED + 1)
        self.ingest = up.endpoint
        self.follow(down.endpoint)
        watch = self.start_watch(down.endpoint)
        self.write_collector()
        collector = self.start_collector()
        up.begin(pause_s, early=0.4)
        down.begin(pause_s, early=0.4)
        until = time.monotonic() + seconds
        importer, number = None, 0
        while time.monotonic() < until or importer.poll() is None:
            with open(self.source, "a", encoding="ascii") as out:
                out.write("".join(self.rows.make(50)))
            if (importer is None or importer.poll() is not None) and time.monotonic() < until:
                self.assertIn(importer and importer.returncode, (None, 0))
                number += 1
                self.write(f"import-{number}.csv", system.HEADER + "".join(self.rows.make(1500, "i")))
                importer = self.start_import(number)
            if time.monotonic() > until:
                up.end()
            time.sleep(0.05)
        down.end()
        self.assertEqual(importer.wait(60), 0)
        collector.terminate()
        self.assertEqual(collector.wait(60), 0)
        self.assertEqual(self.start_collector("--once").wait(60), 0)
        self.check()
        self.assertIsNone(watch.poll())
        for proxy in (up, down):  # else it was no test
            self.assertGreaterEqual(len(proxy.counts), 5, proxy.counts)
            self.assertGreater(sum(proxy.counts.values()), 10, proxy.counts)
            self.assertGreaterEqual(proxy.met_early, 1)
            print(proxy.counts, proxy.met_early, file=system.sys.stderr)

    def test_network_that_fails(self):
        self.trouble(6, 0.15)

    def test_network_that_fails_with_keys(self):
        """The same to CURVE's handshakes and sessions."""
        self.lock()
        self.trouble(6, 0.08)

    def test_half_open_for_long(self):
        """Each side in turn hears no end and no answer: they find out by themselves."""
        up = self.proxy(self.aggregator.ingest, SEED)
        down = self.proxy(self.aggregator.query, SEED + 1)
        self.ingest = up.endpoint
        self.follow(down.endpoint)
        self.start_watch(down.endpoint)
        self.write_collector()
        collector = self.start_collector()

        def write():
            with open(self.source, "a", encoding="ascii") as out:
                out.write("".join(self.rows.make(200)))

        write()
        time.sleep(0.5)
        up.inflict("half_open", UP)      # the aggregator sees the end, the collector nothing
        down.inflict("half_open", DOWN)  # the subscribers see the end, the aggregator nothing
        write()
        time.sleep(1)
        write()
        deadline = time.monotonic() + 60
        while collector.poll() is None and time.monotonic() < deadline:
            count = sum(state["value"] or 0 for state in self.aggregator.get("plant") if state["node"] == QUALITY + "rows")
            if count == self.rows.counted()[""][0]:
                break
            time.sleep(0.2)
        collector.terminate()
        self.assertEqual(collector.wait(60), 0)
        self.check()

    # ---- processes ----

    def test_processes_that_are_killed(self):
        """kill -9 of each in turn: the aggregator, a collector, an import, a subscriber."""
        random_ = random.Random(SEED)
        self.ingest = self.aggregator.ingest
        self.write_collector()
        self.follow(self.aggregator.query)
        self.watch, self.collector, self.importer = self.start_watch(self.aggregator.query), self.start_collector(), None
        self.imports = 0
        began, rounds = time.monotonic(), 0
        while rounds < ROUNDS if ROUNDS else time.monotonic() < began + KILL_S:
            for victim in VICTIMS:
                self.kill(victim, random_)
            rounds += 1
        self.assertGreaterEqual(rounds, 2)
        self.assertEqual(self.importer.wait(90), 0)
        self.collector.terminate()
        self.assertEqual(self.collector.wait(60), 0)
        self.assertEqual(self.start_collector("--once").wait(60), 0)
        self.check()
        print(f"{rounds} rounds, {len(self.rows.lines)} rows, {time.monotonic() - began:.0f} s", file=system.sys.stderr)

    def kill(self, victim, random_):
        """Once, at a random moment under load."""
        killed = False
        while not killed:
            self.load()
            time.sleep(random_.random() * 0.25)  # not to wait for something: to be killed at a random moment
            self.load()
            killed = getattr(self, "kill_" + victim)()

    def load(self):
        with open(self.source, "a", encoding="ascii") as out:
            out.write("".join(self.rows.make(100)))
        if self.importer is None or self.importer.poll() is not None:
            self.assertIn(self.importer and self.importer.returncode, (None, 0))
            self.imports += 1
            self.write(f"import-{self.imports}.csv", system.HEADER + "".join(self.rows.make(3000, "i")))
            self.importer = self.start_import(self.imports)

    def kill_aggregator(self):
        self.aggregator.kill()
        self.aggregator.start()
        return True

    def kill_collector(self):
        self.collector.kill()
        self.collector.wait()
        self.collector = self.start_collector()
        return True

    def kill_importer(self):
        """Unless it was done already."""
        self.importer.kill()
        if self.importer.wait() == 0:
            return False
        self.importer = self.start_import(self.imports)
        return True

    def kill_watch(self):
        self.watch.kill()
        self.watch.wait()
        self.watch = self.start_watch(self.aggregator.query)
        return True


if __name__ == "__main__":
    system.main()
