"""Poise: batches of columns over ZeroMQ to an aggregator that scores them, with one live subscriber to everything."""
import os
import subprocess

import aggregator
import report

from .base import ASKED_MEASURE, BUCKETS, MEASURES, TICK_MS, Failed, System, disk_usage

AGGREGATES = 'sum,mean,ratio,last,stddev'.split(',')
POISE = os.path.join(report.BUILD, 'cli', 'poise')


def hour_text():
    """The average of all series over the last hour, at the root."""
    inputs = [f'm{measure}' for measure in range(MEASURES)]
    return card_text('hour', [f'id: average, formula: ({" + ".join(inputs)}) / {MEASURES}',
                              *(f'id: {name}, weight: 0, aggregate: mean, rolling: 1h' for name in inputs)], 'orgs: [""], ')


def bucket_text(bucket_ms):
    """That of a series over a bucket; in a scorecard of its own, so that a question reads the rows of nothing else."""
    return card_text('bucket', [f'id: bucket, input: m{ASKED_MEASURE}, aggregate: mean, rolling: {bucket_ms}ms'])


def card_text(name, measures, more=''):
    return (f'scorecard: {name}\ntick: {TICK_MS}ms\nperspectives:\n  - id: p\n    objectives:\n      - id: o\n        measures:\n' +
            ''.join(f'          - {{{measure}, {more}score: {{linear: {{from: 0, to: 100}}}}}}\n' for measure in measures))


class Poise(System):
    name, title, format = 'poise', 'Poise, scored and streamed, batches of 1,000', ''
    rows, shards = 1000, 1
    settings = 'as shipped; 48 measures at every org, one live subscriber to everything; corrected rows have keys'
    server = None

    def start(self):
        try:
            self.server = aggregator.Aggregator(self.directory, [aggregator.scorecard_text(False, AGGREGATES)])
        except aggregator.Died as failed:
            raise Failed(str(failed)) from failed
        self.process = self.server.process

    def bench(self, *arguments, server=None):
        try:
            return aggregator.run(*arguments, '--lines', str(self.world.lines), '--samples', str(self.world.samples),
                                  '--rows', str(self.rows), '--variant', self.world.variant, aggregator=server or self.server)
        except aggregator.Died as failed:
            raise Failed(f'{failed}\n{self.log_end()}') from failed

    def load(self, bodies):
        """bench_ingest makes its batches itself before its clock starts: a time of its own, 10 s apart, up to now."""
        figures = self.bench('throughput', '--unchecked')
        figures['push_cpu_s'] = figures['bench_cpu_share'] * figures['seconds']
        figures['push_bytes'] = figures['wire_bytes_per_sample'] * figures['samples']
        return figures

    def load_tick(self, bodies):
        return self.bench('send')

    def settle(self):
        try:
            self.server.settle()
        except aggregator.Died as failed:
            raise Failed(str(failed)) from failed

    def count(self):
        return int(self.bench('count')['count'])

    def size(self):
        """All tables without the journal, of which much stays that is in runs; but what is in none counts, by records."""
        stats = self.server.stats()
        in_runs = 1 - stats['poise_uncompacted'] / max(1, stats['poise_journal_records'])
        stored = stats['poise_used_bytes'] - stats['tables']['journal']['bytes'] * in_runs
        return stored, disk_usage(os.path.join(self.directory, 'store'))

    def queries(self, expected):
        figures = self.bench('ask') | self.parts()
        self.check('last', [figures['last_value']], expected)
        self.check('recent', [figures['recent_value']], expected)
        self.check('buckets', [figures[f'bucket_{i}'] for i in range(BUCKETS)], expected)
        return {f'{name}_us{which}': figures[f'{name}_us_p{quantile}'] for name in ('last', 'recent', 'buckets', 'root')
                for which, quantile in (('', 50), ('_p99', 99))}

    def parts(self):
        """Of another aggregator with the same rows, by their clock: W's scorecard has neither the hour nor the buckets."""
        start = '--start', str(self.world.start_ms)
        server = aggregator.Aggregator(os.path.join(self.directory, 'parts'), [hour_text(), bucket_text(self.world.bucket_ms)],
                                       'clock: event\n')
        try:
            self.bench('send', *start, server=server)
            server.settle()
            return self.bench('parts', *start, server=server)
        except aggregator.Died as failed:
            raise Failed(str(failed)) from failed
        finally:
            server.end()

    def send(self, measure, value, *more):
        done = subprocess.run([POISE, 'send', '--to', self.server.arguments[1], '--spool', f'{self.directory}/spool',
                               '--org', 'again', '--time', '2026-01-01T00:00:00Z', *more, measure, str(value)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise Failed(f'poise send: {done.stdout.strip()}')

    def value(self, measure):
        done = subprocess.run([POISE, 'get', '--from', self.server.arguments[3], '--org', 'again', '--format', 'csv'],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        lines = [line.split(',') for line in done.stdout.splitlines()]
        if done.returncode or not lines:
            raise Failed(f'poise get: {done.stdout.strip()}')
        return next(float(line[lines[0].index('value')]) for line in lines
                    if line[lines[0].index('node')].endswith(f'/{measure}'))

    def restate(self):
        for value in 10, 3:
            self.send('m0', value, '--key', 'order-1')  # m0 and m5 are sums
            self.send('m5', value)
        return f'with a key {self.value("m0"):g}; without one each is an event: {self.value("m5"):g}'


class Poise100(Poise):
    name, title, rows = 'poise-100', 'Poise, batches of 100', 100
    variants, crashes = ('plain',), False


class Poise1(Poise):
    name, title, rows = 'poise-1', 'Poise, one measurement a batch', 1
    variants, crashes = ('plain',), False
