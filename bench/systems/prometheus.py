"""Prometheus and VictoriaMetrics, which share remote write and queries in PromQL."""
import json
import os
import struct
import time

from .base import ASKED_MEASURE, BUCKETS, Failed, MEASURES, TICK_MS, System, disk_usage, org


def varint(value):
    out = b''
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def block(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def one_sample(name, value, time_ms):
    """A remote write of one sample; snappy as a single literal."""
    sample = b'\x09' + struct.pack('<d', value) + b'\x10' + varint(time_ms)
    label = block(1, b'__name__') + block(2, name.encode())
    request = block(1, block(1, label) + block(2, sample))
    return varint(len(request)) + bytes([60 << 2, len(request) - 1]) + request


class RemoteWrite(System):
    format = 'remote_write'
    extra = {}  # parameters of each query

    def query(self, text, time_ms):
        answer = json.loads(self.ask('/api/v1/query', {'query': text, 'time': time_ms / 1000, **self.extra}))
        result = answer['data']['result']
        return float(result[0]['value'][1]) if result else 0.0

    def count(self):
        """A measure at a time, so that none meets a limit."""
        span = self.world.samples * TICK_MS // 1000
        return sum(int(self.query(f'sum(count_over_time({{__name__="m{measure}"}}[{span}s]))', self.world.end_ms))
                   for measure in range(MEASURES))

    def parameters(self, name, line):
        world, series = self.world, f'm{ASKED_MEASURE}{{org="{org(line)}"}}'
        if name == 'last':
            return {'query': series, 'time': world.end_ms / 1000, **self.extra}
        if name == 'recent':
            span = world.end_ms + TICK_MS - world.recent_ms
            return {'query': self.average_of_all(span), 'time': (world.end_ms + TICK_MS - 1) / 1000,
                    **self.extra}
        # A window leaves its left end out: they end 1 ms before the next bucket.
        first = world.start_ms + world.bucket_ms - 1
        return {'query': f'avg_over_time({series}[{world.bucket_ms}ms])', 'start': first / 1000,
                'end': (first + (BUCKETS - 1) * world.bucket_ms) / 1000, 'step': world.bucket_ms / 1000, **self.extra}

    def average_of_all(self, span_ms):
        """All series have the same number of samples."""
        return f'avg(avg_over_time({{__name__=~"m[0-9]+"}}[{span_ms}ms]))'

    def path(self, name):
        return '/api/v1/query_range' if name == 'buckets' else '/api/v1/query'

    def questions(self):
        return {name: [self.get(self.path(name), self.parameters(name, line))
                       for line in range(1 if name == 'recent' else min(self.world.lines, 50))]
                for name in ('last', 'buckets', 'recent')}

    def answer(self, name):
        result = json.loads(self.ask(self.path(name), self.parameters(name, 0)))['data']['result']
        if len(result) != 1:
            raise Failed(f'{self.title} gives {len(result)} series for {name}')
        return [float(value) for _, value in result[0].get('values', [result[0].get('value')])]

    def restate(self):
        time_ms = self.world.end_ms
        for value in 10, 3:
            try:
                self.ask('/api/v1/write', body=one_sample('again', value, time_ms),
                         headers={'Content-Encoding': 'snappy', 'Content-Type': 'application/x-protobuf'})
            except Failed as refused:
                if value == 10 or ' answered 4' not in str(refused):
                    raise
                return f'refused ({str(refused).split(" answered ")[1].split()[0]}), stays ' \
                       f'{self.restated(time_ms):g}'
        return f'{self.restated(time_ms):g}'

    def restated(self, time_ms):
        return self.query('sum_over_time(again[1m])', time_ms)


class Prometheus(RemoteWrite):
    name, title = 'prometheus', 'Prometheus, remote write, 2 connections'
    packages, programs = ('prometheus',), ('prometheus',)
    corrections = 'refuse'
    without = {'keyed': 'refuses a value restated'}
    settings = 'as shipped; with late rows `out_of_order_time_window` is 1 day, else it refuses them'

    def arguments(self):
        with open(os.path.join(self.directory, 'prometheus.yml'), 'w', encoding='utf-8') as file:
            file.write('global: {}\n' + ('storage:\n  tsdb:\n    out_of_order_time_window: 1d\n'
                                         if self.world.variant == 'late' else ''))
        return ['prometheus', f'--config.file={self.directory}/prometheus.yml', f'--storage.tsdb.path={self.data}',
                f'--web.listen-address=127.0.0.1:{self.port}', '--web.enable-remote-write-receiver',
                '--web.enable-admin-api', '--log.level=warn']

    def is_ready(self):
        return self.answers('/-/ready')

    def average_of_all(self, span_ms):
        """It wants no two metrics with the same labels in one vector."""
        terms = ' + '.join(f'avg(avg_over_time(m{measure}[{span_ms}ms]))' for measure in range(MEASURES))
        return f'({terms}) / {MEASURES}'

    def size(self):
        """WAL and head are all there is until two hours are full; a snapshot shows what they become."""
        whole = disk_usage(self.data)
        self.ask('/api/v1/admin/tsdb/snapshot', body=b'')
        return disk_usage(os.path.join(self.data, 'snapshots')), whole


class VictoriaMetrics(RemoteWrite):
    name, title = 'victoria', 'VictoriaMetrics, remote write, 2 connections'
    packages, programs = ('victoria-metrics',), ('victoria-metrics',)
    corrections = 'add'
    extra = {'nocache': 1}
    without = {'keyed': 'counts both where a value is restated'}
    settings = 'as shipped; queries without its cache of answers'

    def arguments(self):
        return ['victoria-metrics', f'-storageDataPath={self.data}', f'-httpListenAddr=127.0.0.1:{self.port}']

    def is_ready(self):
        return self.answers('/health')

    def settle(self):
        self.ask('/internal/force_flush')
        self.ask('/internal/force_merge')
        self.quiet(2)

    def rest(self):
        """It keeps some seconds in memory."""
        self.settle()
        time.sleep(10)

    def size(self):
        return disk_usage(self.data), disk_usage(self.data)

    def restated(self, time_ms):
        """A new series can be asked for some seconds later only."""
        self.ask('/internal/force_flush')
        until = time.monotonic() + 30
        while time.monotonic() < until and not self.query('sum_over_time(again[1m])', time_ms):
            time.sleep(0.2)
        return self.query('sum_over_time(again[1m])', time_ms)


class VictoriaMetricsJson(VictoriaMetrics):
    name, title, format = 'victoria-json', 'VictoriaMetrics, JSON import (a series a line, not interleaved)', 'json'
    crashes = False  # as by remote write
    without = {'late': 'the import is by series, not by time', 'keyed': 'counts both where a value is restated'}
