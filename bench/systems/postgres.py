"""PostgreSQL 15: COPY in binary, each request a transaction, which is synced as shipped."""
import os
import re
import struct
import subprocess

from .base import ASKED_MEASURE, BUCKETS, Failed, MEASURES, System, disk_usage

BIN = '/usr/lib/postgresql/15/bin'


class Postgres(System):
    name, title, format = 'postgres', 'PostgreSQL, COPY, key (series, time), 2 connections', 'postgres'
    packages, programs = ('postgresql-15',), (f'{BIN}/postgres', f'{BIN}/initdb', f'{BIN}/psql')
    user, postgres, processes, rows = 'postgres', True, 2, 100000
    settings = 'as shipped; COPY into a temporary table and INSERT ... ON CONFLICT DO UPDATE where rows are corrected'

    def make(self):
        done = subprocess.run([f'{BIN}/initdb', '-D', self.data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8',
                               '--no-locale'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              cwd=self.directory, **self.as_user())
        if done.returncode:
            raise Failed(f'initdb: {done.stdout[-600:]}')

    def arguments(self):
        return [f'{BIN}/postgres', '-D', self.data, '-c', 'listen_addresses=127.0.0.1', '-c', f'port={self.port}', '-c',
                'unix_socket_directories=']

    def is_ready(self):
        return self.psql('SELECT 1', check=False) == '1'

    def begin(self):
        self.psql('CREATE TABLE w (series int, time_ms bigint, value float8, PRIMARY KEY (series, time_ms))')

    def psql(self, text, check=True):
        done = subprocess.run([f'{BIN}/psql', '-h', '127.0.0.1', '-p', str(self.port), '-U', 'postgres', '-XAtq', '-v',
                               'ON_ERROR_STOP=1', '-c', text], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, check=False)
        if check and done.returncode:
            raise Failed(f'{self.title}: {done.stderr.strip()}')
        return done.stdout.strip()

    def settle(self):
        self.psql('VACUUM ANALYZE w')
        self.psql('CHECKPOINT')
        self.quiet(2)

    def count(self):
        return int(self.psql('SELECT count(*) FROM w'))

    def size(self):
        return int(self.psql("SELECT pg_total_relation_size('w')")), disk_usage(self.data)

    def texts(self, name):
        world = self.world
        if name == 'recent':
            return [f'SELECT avg(value) FROM w WHERE time_ms >= {world.recent_ms}']
        series = [line * MEASURES + ASKED_MEASURE for line in range(min(world.lines, 50))]
        if name == 'last':
            return [f'SELECT value FROM w WHERE series = {one} ORDER BY time_ms DESC LIMIT 1' for one in series]
        return [f'SELECT (time_ms - {world.start_ms}) / {world.bucket_ms} AS bucket, avg(value) FROM w WHERE '
                f'series = {one} AND time_ms >= {world.start_ms} AND time_ms < '
                f'{world.start_ms + BUCKETS * world.bucket_ms} GROUP BY bucket ORDER BY bucket' for one in series]

    def questions(self):
        return {name: [b'Q' + struct.pack('>I', len(text) + 5) + text.encode() + b'\0' for text in self.texts(name)]
                for name in ('last', 'buckets', 'recent')}

    def answer(self, name):
        return [float(line.split('|')[-1]) for line in self.psql(self.texts(name)[0]).splitlines()]

    def restate(self):
        insert = 'INSERT INTO w VALUES (-1, 1000, %d)'
        self.psql(insert % 10)
        try:
            self.psql(insert % 3)
            first = 'taken'
        except Failed as refused:
            first = 'refused (' + re.search(r'duplicate key|[^:]*$', str(refused))[0].strip() + ')'
        self.psql(insert % 3 + ' ON CONFLICT (series, time_ms) DO UPDATE SET value = excluded.value')
        result = float(self.psql('SELECT sum(value) FROM w WHERE series = -1'))
        self.psql('DELETE FROM w WHERE series = -1')
        return f'{first}; with ON CONFLICT DO UPDATE {result:g}'
