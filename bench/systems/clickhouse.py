"""ClickHouse: blocks of 100,000 rows in its own columnar format over HTTP. No setting of 18.16 syncs data."""
import os
import urllib.parse

from .base import ASKED_MEASURE, BUCKETS, MEASURES, System, disk_usage

CONFIG = """<yandex>
<logger><level>warning</level><log>{directory}/server.log</log><errorlog>{directory}/errors.log</errorlog></logger>
<http_port>{port}</http_port><listen_host>127.0.0.1</listen_host><max_concurrent_queries>100</max_concurrent_queries>
<mark_cache_size>5368709120</mark_cache_size><path>{data}/</path><tmp_path>{data}/tmp/</tmp_path>
<user_files_path>{data}/user_files/</user_files_path><users_config>/etc/clickhouse-server/users.xml</users_config>
<default_profile>default</default_profile><default_database>default</default_database>
</yandex>
"""
COLUMNS = '(series UInt32, time_ms Int64, value Float64)'


class ClickHouse(System):
    name, title, format = 'clickhouse', 'ClickHouse, blocks of 100,000', 'clickhouse'
    packages, programs = ('clickhouse-server',), ('clickhouse-server',)
    rows = 100000
    settings = 'as shipped; series as numbers, sorted by series and time; ReplacingMergeTree where rows are corrected'

    def make(self):
        with open(self.config(), 'w', encoding='utf-8') as file:
            file.write(CONFIG.format(directory=self.directory, data=self.data, port=self.port))

    def config(self):
        return os.path.join(self.directory, 'config.xml')

    def arguments(self):
        self.make()  # the port is another one after a restart elsewhere
        return ['clickhouse-server', f'--config-file={self.config()}']

    def is_ready(self):
        return self.answers('/ping')

    def begin(self):
        engine = 'MergeTree' if self.world.variant == 'plain' else 'ReplacingMergeTree'
        self.sql(f'CREATE TABLE w {COLUMNS} ENGINE = {engine}() ORDER BY (series, time_ms)')

    def sql(self, text):
        return self.ask('/', body=text.encode()).decode()

    def settle(self):
        """OPTIMIZE does nothing while a merge runs."""
        self.wait_until(self.is_merged, 'has more than one part')
        self.quiet(2)

    def is_merged(self):
        self.sql('OPTIMIZE TABLE w FINAL')
        return int(self.sql("SELECT count() FROM system.parts WHERE active AND table = 'w'")) <= 1

    def count(self):
        return int(self.sql('SELECT count() FROM w'))

    def size(self):
        return (int(self.sql("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'w'")),
                disk_usage(self.data))

    def texts(self, name):
        world = self.world
        if name == 'recent':
            return [f'SELECT avg(value) FROM w WHERE time_ms >= {world.recent_ms}']
        series = [line * MEASURES + ASKED_MEASURE for line in range(min(world.lines, 50))]
        if name == 'last':
            return [f'SELECT argMax(value, time_ms) FROM w WHERE series = {one}' for one in series]
        return [f'SELECT intDiv(time_ms - {world.start_ms}, {world.bucket_ms}) AS bucket, avg(value) FROM w WHERE '
                f'series = {one} AND time_ms >= {world.start_ms} AND time_ms < '
                f'{world.start_ms + BUCKETS * world.bucket_ms} GROUP BY bucket ORDER BY bucket' for one in series]

    def questions(self):
        return {name: [f'GET /?query={urllib.parse.quote(text)} HTTP/1.1\r\nHost: localhost\r\n\r\n'.encode()
                       for text in self.texts(name)] for name in ('last', 'buckets', 'recent')}

    def answer(self, name):
        return [float(line.split('\t')[-1]) for line in self.sql(self.texts(name)[0]).splitlines()]

    def restate(self):
        results = []
        for engine in 'MergeTree', 'ReplacingMergeTree':
            self.sql('DROP TABLE IF EXISTS again')
            self.sql(f'CREATE TABLE again {COLUMNS} ENGINE = {engine}() ORDER BY (series, time_ms)')
            for value in 10, 3:
                self.sql(f'INSERT INTO again VALUES (1, 1000, {value})')
            results.append(float(self.sql('SELECT sum(value) FROM again')))
        self.sql('OPTIMIZE TABLE again FINAL')
        results.append(float(self.sql('SELECT sum(value) FROM again')))
        self.sql('DROP TABLE again')
        return f'{results[0]:g}; ReplacingMergeTree {results[1]:g}, once merged {results[2]:g}'
