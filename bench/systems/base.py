"""What bench/peers does with every system: starts it in a directory, loads it, counts, settles, asks, kills, ends it.

A system is a class with the names of System below; a world is what it is measured with.
"""
import dataclasses
import os
import pwd
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import report

TICK_MS, HOUR_MS, MEASURES, PLANTS, BUCKETS = 10000, 3600000, 48, 10, 10
ASKED_MEASURE = 3  # its aggregate in the scorecard of W is `last`
TICKS_PER_SECOND = os.sysconf('SC_CLK_TCK')
PATIENCE_S = 300
BODIES, PUSH = (os.path.join(report.BUILD, 'bench', name) for name in ('bench_bodies', 'bench_push'))


class Failed(Exception):
    """This run has no result; its text says why."""


@dataclasses.dataclass
class World:
    variant: str  # plain, late, keyed
    lines: int
    samples: int
    start_ms: int

    @property
    def series(self):
        return self.lines * MEASURES

    @property
    def end_ms(self):
        """Of the last sample."""
        return self.start_ms + (self.samples - 1) * TICK_MS

    @property
    def recent_ms(self):
        """The first sample of the last hour."""
        return max(self.start_ms, self.end_ms + TICK_MS - HOUR_MS)

    @property
    def bucket_ms(self):
        return self.samples * TICK_MS // BUCKETS


def org(line):
    return f'plant-{line % PLANTS}/line-{line // PLANTS}'


def free_port():
    with socket.socket() as listening:
        listening.bind(('127.0.0.1', 0))
        return listening.getsockname()[1]


def disk_usage(path):
    """Bytes that the files take on the disk."""
    return sum(os.lstat(os.path.join(folder, name)).st_blocks * 512
               for folder, _, names in os.walk(path) for name in names)


# ---- processes ----

def read_stat(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii', errors='replace') as file:
        return file.read().rpartition(')')[2].split()


def tree_of(root):
    """The process and all below it that live."""
    children = {}
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                children.setdefault(int(read_stat(name)[1]), []).append(int(name))
            except OSError:
                pass  # it ended meanwhile
    tree = [root]
    for pid in tree:
        tree += children.get(pid, [])
    return tree


def tree_cpu(root):
    """Seconds of the processes that live, and of those below them that have ended."""
    total = 0
    for pid in tree_of(root):
        try:
            total += sum(int(field) for field in read_stat(pid)[11:15])
        except OSError:
            pass
    return total / TICKS_PER_SECOND


def is_alive(pid):
    try:
        return read_stat(pid)[0] not in 'ZX'
    except OSError:
        return False


def field_of(path, name):
    with open(path, encoding='ascii', errors='replace') as file:
        return next((int(line.split()[1]) * 1024 for line in file if line.startswith(name)), 0)


class Sampler(threading.Thread):
    """The peak of a process tree's memory, shared pages counted once."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root, self.peak, self.ended = root, 0, threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.25):
            total = 0
            for pid in tree_of(self.root):
                try:
                    total += field_of(f'/proc/{pid}/smaps_rollup', 'Pss:')
                except OSError:
                    pass
            self.peak = max(self.peak, total)


# ---- a system ----

class System:
    """Subclasses say the rest: name, title, packages, format, arguments(), settle(), count(), size(), queries()."""
    name = title = format = ''
    packages = ()
    user = None        # that the server must run as where we are root
    programs = ()      # what apt-get must have brought
    rows = 10000       # of a request
    shards = 2         # connections
    postgres = False   # speaks PostgreSQL's protocol, not HTTP
    variants = ('plain', 'many', 'late', 'keyed')
    without = {}       # a variant that it does not take, and why
    corrections = 'replace'  # or 'add': both count, or 'refuse'
    crashes = True     # is killed, and asked what a restated value gives
    processes = 1      # more than one: memory is sampled
    settings = ''      # that differ from what Debian ships

    def __init__(self, directory, world):
        self.directory, self.world = directory, world
        self.data = os.path.join(directory, 'data')
        self.process = self.sampler = None
        self.cpu_before = 0  # of servers that have ended
        self.port = free_port()

    # -- its life

    def start(self):
        """Begins in the directory, or goes on with what is there; returns when the system answers."""
        new = not os.path.exists(self.data)
        os.makedirs(self.data, exist_ok=True)
        self.give(self.directory)
        self.give(self.data)
        if new:
            self.make()
        with open(os.path.join(self.directory, 'log'), 'ab') as log:
            self.process = subprocess.Popen(self.arguments(), stdout=log, stderr=log, cwd=self.directory,
                                            env={**os.environ, **self.environment()}, start_new_session=True,
                                            **self.as_user())
        self.sampler = Sampler(self.process.pid) if self.processes > 1 else None
        self.wait_until(self.is_ready, 'is not ready')
        if new:
            self.begin()

    def make(self):
        """The data directory, before the server is there."""

    def begin(self):
        """Tables and the like, once the server answers for the first time."""

    def environment(self):
        return {}

    def is_ready(self):
        raise NotImplementedError

    def as_user(self):
        return {'user': self.user, 'group': pwd.getpwnam(self.user).pw_gid, 'extra_groups': []} \
            if self.user and os.geteuid() == 0 else {}

    def give(self, path):
        if self.as_user():
            os.chown(path, pwd.getpwnam(self.user).pw_uid, -1)

    def tree(self):
        return tree_of(self.process.pid) if self.process and self.process.poll() is None else []

    def signal(self, number):
        for pid in self.tree():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def stop(self):
        """Ends it in an orderly way, by force after a while. Can be called at any time."""
        if self.process and self.process.poll() is None:
            self.cpu_before += tree_cpu(self.process.pid)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.kill()
        self.ended()

    def kill(self):
        pids = self.tree()
        self.signal(signal.SIGKILL)
        self.ended()
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and any(is_alive(pid) for pid in pids):
            time.sleep(0.01)

    def ended(self):
        if self.sampler:
            self.sampler.ended.set()
        if self.process:
            self.process.wait()

    def wait_until(self, is_so, what):
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Failed(f'{self.title} ended: {self.log_end()}')
            if is_so():
                return
            time.sleep(0.05)
        raise Failed(f'{self.title} {what} after {PATIENCE_S} s: {self.log_end()}')

    def log_end(self):
        with open(os.path.join(self.directory, 'log'), encoding='utf-8', errors='replace') as file:
            return file.read()[-600:].strip()

    # -- what is measured

    def cpu(self):
        return self.cpu_before + (tree_cpu(self.process.pid) if self.tree() else 0)

    def memory(self):
        if self.sampler:
            return self.sampler.peak
        return field_of(f'/proc/{self.process.pid}/status', 'VmHWM:')

    def load(self, bodies):
        """Sends the requests of these files; returns bench_push's figures."""
        return push(['--port', str(self.port)], bodies, self.postgres)

    def load_tick(self, bodies):
        """The same for one tick, right after whose acknowledgement the system may be killed."""
        return self.load(bodies)

    def settle(self):
        """Whatever the system still has to do for what it acknowledged is done."""
        self.quiet(2)

    def rest(self):
        """What was loaded so far has reached files, as it does by itself in time."""
        self.quiet(3)

    def quiet(self, seconds):
        """Until it has done next to nothing for so long."""
        until, since, before = time.monotonic() + PATIENCE_S, time.monotonic(), self.cpu()
        while time.monotonic() < until and time.monotonic() - since < seconds:
            time.sleep(0.5)
            now = self.cpu()
            if now - before > 0.02:
                since = time.monotonic()
            before = now

    def count(self):
        """Rows, by query."""
        raise NotImplementedError

    def size(self):
        """Bytes of what is stored, and of everything in the directory."""
        raise NotImplementedError

    def questions(self):
        """Requests by name: `last`, `buckets` (some series each), `recent` (one)."""
        raise NotImplementedError

    def answer(self, name):
        """Of the first request of that name, as a list of numbers, for comparison."""
        raise NotImplementedError

    def restate(self):
        """Says 10, then 3 at the same time of one series; returns what a query gives afterwards."""
        raise NotImplementedError

    def check(self, name, got, expected):
        wanted = [expected[f'bucket_{i}'] for i in range(BUCKETS)] if name == 'buckets' else [expected[name]]
        if len(got) != len(wanted) or any(abs(a - b) > 1e-9 * max(1, abs(b)) for a, b in zip(got, wanted)):
            raise Failed(f'{self.title} answers {got} to {name}, not {wanted}')

    def queries(self, expected):
        """Median and p99 of each question in us; fails where an answer is wrong."""
        figures = {}
        for name, requests in self.questions().items():
            self.check(name, self.answer(name), expected)
            with tempfile.NamedTemporaryFile(dir=self.directory) as file:
                file.write(b''.join(struct.pack('<I', len(request)) + request for request in requests))
                file.flush()
                times = 10 if name == 'recent' else 300
                taken = push(['--port', str(self.port), '--times', str(times)], [file.name], self.postgres)
            figures.update({f'{name}_us': taken['us_p50'], f'{name}_us_p99': taken['us_p99']})
        return figures

    # -- HTTP

    def url(self, path, parameters):
        return f'http://127.0.0.1:{self.port}{path}' + (f'?{urllib.parse.urlencode(parameters)}' if parameters else '')

    def ask(self, path, parameters=None, body=None, headers=None):
        request = urllib.request.Request(self.url(path, parameters), data=body, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=600) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            raise Failed(f'{self.title} answered {error.code} to {path}: '
                         f'{error.read()[:300].decode(errors="replace").strip()}') from error

    def answers(self, path, parameters=None):
        try:
            self.ask(path, parameters)
            return True
        except (OSError, Failed):
            return False

    def get(self, path, parameters):
        """A request for bench_push."""
        return (f'GET {path}?{urllib.parse.urlencode(parameters)} HTTP/1.1\r\nHost: localhost\r\n\r\n').encode()


# ---- bodies ----

def run(arguments):
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Failed(done.stderr.strip()[-600:] or f'{arguments[0]} failed')
    return report.figures_of(done.stdout)


def push(arguments, bodies, postgres=False):
    return run([PUSH, *arguments, *(['--postgres'] if postgres else []), *bodies])


def make_bodies(system, world, path):
    """Files of requests, and what bench_bodies says of them."""
    corrections = ['--no-corrections'] if system.corrections == 'refuse' else []
    figures = run([BODIES, '--format', system.format, '--output', path, '--lines', str(world.lines),
                   '--samples', str(world.samples), '--variant', world.variant, '--start', str(world.start_ms),
                   '--shards', str(system.shards), '--rows', str(system.rows), *corrections])
    return [f'{path}.{i}' for i in range(system.shards)], figures
