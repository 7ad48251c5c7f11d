"""InfluxDB 1.6: line protocol. It syncs its log before it answers, as shipped."""
import json
import os

from .base import ASKED_MEASURE, BUCKETS, MEASURES, System, disk_usage, free_port, org


class Influx(System):
    name, title, format = 'influx', 'InfluxDB, line protocol', 'influx'
    packages, programs = ('influxdb',), ('influxd',)
    settings = 'as shipped, but without limits of series; restarted with short cold durations to settle'
    is_settling = False

    def arguments(self):
        return ['influxd', '-config', '/etc/influxdb/influxdb.conf']

    def environment(self):
        set_to = {'HTTP_BIND_ADDRESS': f'127.0.0.1:{self.port}', 'BIND_ADDRESS': f'127.0.0.1:{free_port()}',
                  'META_DIR': os.path.join(self.data, 'meta'), 'DATA_DIR': os.path.join(self.data, 'data'),
                  'DATA_WAL_DIR': os.path.join(self.data, 'wal'), 'DATA_MAX_SERIES_PER_DATABASE': '0',
                  'DATA_MAX_VALUES_PER_TAG': '0', 'HTTP_LOG_ENABLED': 'false'}
        if self.is_settling:
            set_to.update({'DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION': '1s',
                           'DATA_COMPACT_FULL_WRITE_COLD_DURATION': '1s'})
        return {f'INFLUXDB_{name.replace("-", "_")}': value for name, value in set_to.items()}

    def is_ready(self):
        return self.answers('/ping')

    def begin(self):
        self.ask('/query', {'q': 'CREATE DATABASE w'}, body=b'')

    def settle(self):
        """It compacts after hours without a write; with other settings after a second."""
        self.quiet(1)
        self.stop()
        self.is_settling = True
        self.start()
        self.quiet(4)

    def rows_of(self, text):
        result = json.loads(self.ask('/query', {'db': 'w', 'epoch': 'ms', 'q': text}))['results'][0]
        return [row[1:] for series in result.get('series', []) for row in series['values']]

    def count(self):
        return sum(row[0] for measure in range(MEASURES)
                   for row in self.rows_of(f"SELECT count(value) FROM w WHERE measure = 'm{measure}'"))

    def size(self):
        whole = disk_usage(self.data)
        return whole - disk_usage(os.path.join(self.data, 'wal')), whole

    def texts(self, name):
        world = self.world
        if name == 'recent':
            return [f'SELECT mean(value) FROM w WHERE time >= {world.recent_ms}ms']
        wheres = [f"measure = 'm{ASKED_MEASURE}' AND org = '{org(line)}'" for line in range(min(world.lines, 50))]
        if name == 'last':
            return [f'SELECT last(value) FROM w WHERE {where}' for where in wheres]
        return [f'SELECT mean(value) FROM w WHERE {where} AND time >= {world.start_ms}ms AND time < '
                f'{world.start_ms + BUCKETS * world.bucket_ms}ms GROUP BY '
                f'time({world.bucket_ms}ms, {world.start_ms % world.bucket_ms}ms)' for where in wheres]

    def questions(self):
        return {name: [self.get('/query', {'db': 'w', 'epoch': 'ms', 'q': text}) for text in self.texts(name)]
                for name in ('last', 'buckets', 'recent')}

    def answer(self, name):
        return [row[0] for row in self.rows_of(self.texts(name)[0])]

    def restate(self):
        for value in 10, 3:
            self.ask('/write', {'db': 'w', 'precision': 'ms'}, body=f'again value={value} 1000'.encode())
        return f'{self.rows_of("SELECT sum(value) FROM again")[0][0]:g}'
