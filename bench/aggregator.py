"""The scorecard of workload W and an aggregator of its own, as bench/ingest and bench/peers want them."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import report

PATIENCE_S = 300
SETTLED_S = 13  # nothing came for 10 s: what is worth a run becomes one, which is merged (aggregator/compactor.c)
WRITTEN = [f'poise_{name}' for name in ('lsn', 'checkpoint_slices', 'upkeep_slices', 'compactions', 'merges', 'piece_puts')]


class Died(SystemExit):
    """Ends the script with its text, unless somebody minds."""


def measure_text(index, aggregates):
    return (f'          - {{id: m{index}, aggregate: {aggregates[index % len(aggregates)]}, '
            'score: {linear: {from: 0, to: 100}}}\n')


def scorecard_text(one_measure, aggregates, period='year', more=''):
    """4 perspectives, 12 objectives, 48 measures, or one of each."""
    perspectives, objectives, measures = (1, 1, 1) if one_measure else (4, 3, 4)
    text = f'scorecard: plant\nperiod: {period}\n{more}perspectives:\n'
    for p in range(perspectives):
        text += f'  - id: p{p}\n    objectives:\n'
        for o in range(objectives):
            text += f'      - id: o{o}\n        measures:\n'
            for m in range(measures):
                text += measure_text((p * objectives + o) * measures + m, aggregates)
    return text


def keygen(directory, name):
    poise = os.path.join(report.BUILD, 'cli', 'poise')
    return subprocess.run([poise, 'keygen', os.path.join(directory, name)], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def keys(directory, senders=()):
    """Makes keys, and a file that lets the benchmark do all, and each of `senders` send as itself; gives the settings and
    the environment that name them."""
    keygen(directory, 'aggregator')
    peers = [f'{{name: bench, key: {keygen(directory, "bench")}, send: all, read: all, query: true, administer: true}}']
    peers += [f'{{name: {name}, key: {keygen(directory, name)}, send: all}}' for name in senders]
    with open(os.path.join(directory, 'access.yaml'), 'w', encoding='utf-8') as file:
        file.write('peers:\n' + ''.join(f'  - {peer}\n' for peer in peers))
    os.chmod(os.path.join(directory, 'access.yaml'), 0o600)
    return 'key: aggregator.key\naccess: access.yaml\n', {'POISE_KEY_FILE': os.path.join(directory, 'bench.key'),
                                                          'POISE_SERVER_KEY': os.path.join(directory, 'aggregator.pub')}


class Aggregator:
    """Lives in `directory`, which is made if it is absent; the store is begun there or taken up again."""

    def __init__(self, directory, scorecards, settings='', environment=None):
        self.directory = directory
        self.environment = {**os.environ, **(environment or {})}  # of who speaks to it
        self.ingest = self.query = 'tcp://127.0.0.1:*'
        self.process = None
        try:
            self.configure(scorecards, settings)
            self.start()
        except BaseException:
            self.end()
            raise

    def configure(self, scorecards, settings):
        """From its first start on with the ports that it has."""
        os.makedirs(self.directory, exist_ok=True)
        names = [f'scorecard-{i}.yaml' for i in range(len(scorecards))]
        for name, text in zip(names, scorecards):
            with open(os.path.join(self.directory, name), 'w', encoding='utf-8') as file:
                file.write(text)
        with open(os.path.join(self.directory, 'aggregator.yaml'), 'w', encoding='utf-8') as file:
            file.write(f'ingest: {self.ingest}\nquery: {self.query}\nstore: store\n'
                       f'scorecards: [{", ".join(names)}]\n{settings}')

    def start(self):
        """On what its directory has; returns when it takes connections."""
        config = os.path.join(self.directory, 'aggregator.yaml')
        program = os.path.join(report.BUILD, 'aggregator', 'poise-aggregator')
        with open(os.path.join(self.directory, 'log'), 'w', encoding='utf-8') as out:
            self.process = subprocess.Popen([program, '--config', config], stderr=out)
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self.process.poll() is None:
            found = re.search(r' listening ingest=(\S+) query=(\S+)', self.log())
            if found:
                self.ingest, self.query = found[1], found[2]
                self.arguments = ['--ingest', self.ingest, '--query', self.query, '--pid', str(self.process.pid)]
                return
            time.sleep(0.01)
        raise Died(f'{self.log()}{sys.argv[0]}: the aggregator did not start')

    def log(self):
        with open(os.path.join(self.directory, 'log'), encoding='utf-8') as file:
            return file.read()

    def peak_memory(self):
        with open(f'/proc/{self.process.pid}/status', encoding='ascii') as file:
            return int(re.search(r'VmHWM:\s+(\d+) kB', file.read())[1]) * 1024

    def cpu(self):
        """Seconds of its life so far."""
        with open(f'/proc/{self.process.pid}/stat', encoding='ascii') as file:
            return sum(map(int, file.read().rpartition(')')[2].split()[11:13])) / os.sysconf('SC_CLK_TCK')

    def stats(self):
        """Its own numbers, by name."""
        said = subprocess.run([os.path.join(report.BUILD, 'cli', 'poise'), 'stats', '--json', '--from', self.arguments[3]], check=True,
                              env=self.environment, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(said)

    def settle(self):
        """Until all is in a checkpoint, rows are in runs that are merged, and nothing is written any more."""
        until = time.monotonic() + PATIENCE_S
        written, since = None, 0
        while written is None or written[0] > 0 or time.monotonic() - since < SETTLED_S:
            stats = self.stats()
            now = [stats[name] for name in ('poise_journal_lag', *WRITTEN)]
            if now != written:
                written, since = now, time.monotonic()
            if time.monotonic() > until:
                raise Died(f'{sys.argv[0]}: the aggregator still writes after {PATIENCE_S} s')
            time.sleep(1)

    def own_memory(self):
        """Without the pages of the store that are mapped."""
        with open(f'/proc/{self.process.pid}/status', encoding='ascii') as file:
            return int(re.search(r'RssAnon:\s+(\d+) kB', file.read())[1]) * 1024

    def store_bytes(self):
        path = os.path.join(self.directory, 'store')
        return sum(os.stat(os.path.join(path, name)).st_blocks * 512 for name in os.listdir(path)
                   if not name.startswith('lock'))

    def end(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def wait_for(bench, aggregator):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            return bench.communicate(timeout=0.2)[0]
        except subprocess.TimeoutExpired:
            if aggregator and aggregator.process.poll() is not None:
                raise Died(f'{aggregator.log()}{sys.argv[0]}: the aggregator died')
    raise Died(f'{sys.argv[0]}: a run took more than {PATIENCE_S} s')


def run(*arguments, aggregator=None):
    """bench_ingest; gives its figures."""
    program = os.path.join(report.BUILD, 'bench', 'bench_ingest')
    ends = aggregator.arguments if aggregator else []
    environment = aggregator.environment if aggregator else None
    with subprocess.Popen([program, *arguments, *ends], stdout=subprocess.PIPE, text=True, env=environment) as bench:
        try:
            output = wait_for(bench, aggregator)
        except BaseException:
            bench.kill()
            raise
    if bench.returncode:
        raise Died(f'{sys.argv[0]}: a run failed')
    return report.figures_of(output)
