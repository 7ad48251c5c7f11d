"""The results of bench/peers as tables, and as a drawing."""
import os
import re
import statistics

import report

from . import drawing

TEXTS = {'plain': 'W: {series:,} series, {samples:,} samples each, every tick all series',
         'many': '{series:,} series, {samples:,} samples each',
         'late': 'W, 1 % of the rows an hour late, 1 % corrected',
         'keyed': 'W, all rows keyed, 10 % corrected'}
DOCS = os.path.join(report.TOP, 'docs', 'benchmarks.md')
DRAWING = os.path.join(report.TOP, 'docs', 'peers.svg')
BEGIN, END = '<!-- bench/peers writes from here -->', '<!-- to here -->'


def runs_of(results, system, variant):
    return [run for run in results['runs'] if run['system'] == system and run['variant'] == variant]


def good(runs, name):
    return [run[name] for run in runs if 'failed' not in run and name in run]


def millions(value):
    return f'{value / 1e6:.2f} M' if value >= 1e6 else f'{value / 1e3:,.0f} k'


def span(runs, name, show):
    values = good(runs, name)
    if not values:
        return '-'
    text = show(statistics.median(values))
    return f'{text} ({show(min(values))} to {show(max(values))})' if len(values) > 1 else text


def duration(us):
    return f'{us / 1000:.3g} ms' if us >= 1000 else f'{us:.0f} us'


def one_of(runs, name, show):
    values = good(runs, name)
    return show(statistics.median(values)) if values else '-'


def row(cells):
    return '| ' + ' | '.join(cells) + ' |'


def table(head, rows):
    return '\n'.join([row(head), row(['---'] * len(head)).replace(' ', ''), *map(row, rows)])


# ---- the tables ----

def variant_table(results, systems, variant):
    rows, missing = [], []
    for name, cls in systems.items():
        runs = runs_of(results, name, variant)
        if variant in cls.without:
            missing.append(f'{cls.title}: {cls.without[variant]}')
        missing += sorted({f'{cls.title}: failed: {run["failed"]}' for run in runs if 'failed' in run})
        if not good(runs, 'samples_per_s'):
            continue
        stored, whole = (statistics.median(good(runs, f'{what}_per_sample')) for what in ('stored', 'directory'))
        sinks = [one['samples_per_s'] for one in results['sinks'] if (one['system'], one['variant']) == (name, variant)]
        rows.append([cls.title, span(runs, 'samples_per_s', millions),
                     span(runs, 'cpu_us_per_sample', lambda value: f'{value:.2f}'),
                     one_of(runs, 'memory_mb', lambda value: f'{value:,.0f}'),
                     f'{stored:.1f}' + (f' ({whole:.1f})' if whole > 1.05 * stored else ''),
                     one_of(runs, 'push_cpu_share', lambda value: f'{value:.2f}'),
                     millions(sinks[0]) if sinks else '-'])
    if not rows:
        return ''
    text = table(['', 'samples/s', 'CPU us a sample', 'peak memory, MB', 'bytes a sample (whole directory)',
                  'sender, cores', 'sender to a sink'], rows)
    return text + ''.join(f'\n\n- {line}' if i == 0 else f'\n- {line}' for i, line in enumerate(missing))


def query_table(results, systems):
    rows = []
    for name, cls in systems.items():
        runs = runs_of(results, name, 'plain')
        if good(runs, 'last_us'):
            rows.append([cls.title, *(one_of(runs, f'{what}_us', duration) for what in ('last', 'buckets', 'recent')),
                         one_of(runs, 'root_us', duration)])
    return table(['', 'last value of a series', 'a series in 10 buckets', 'average of all, last hour',
                  'all scores of the root'], rows) if rows else ''


def survival(results, name, way):
    found = [one for one in results['crashes'] if (one['system'], one['way']) == (name, way)]
    texts = ['all' if one['left'] == one['of'] else f'{one["left"]:,} of {one["of"]:,}' if one['left'] else 'none'
             for one in found if 'failed' not in one]
    texts += [one['failed'].split(': ')[0] for one in found if 'failed' in one]
    return ', '.join(dict.fromkeys(texts)) or '-'


def promise_table(results, systems):
    rows = [[cls.title, survival(results, name, 'kill'), survival(results, name, 'power'),
             results['restated'].get(name, '-')]
            for name, cls in systems.items()
            if name in results['restated'] or any(one['system'] == name for one in results['crashes'])]
    return table(['', 'left after kill -9', 'left after a power cut', '10, then 3 at the same time'],
                 rows) if rows else ''


def title(results, variant):
    run = next(run for run in results['runs'] if run['variant'] == variant and 'failed' not in run)
    return TEXTS[variant].format(series=run['series'], samples=run['ticks'])


def tables(results, systems):
    machine, versions = results['machine'], results['versions']
    rounds = max((run['round'] for run in results['runs']), default=0) + 1
    load = [run['load1'] for run in results['runs'] if 'load1' in run]
    parts = [f'{machine["cores"]} cores, {machine["processor"]}, Linux {machine["kernel"]}; {rounds} rounds in turn'
             + (f', load {min(load):.1f} to {max(load):.1f}' if load else '') + '; median (lowest to highest). '
             + ', '.join(f'{name} {version}' for name, version in sorted(versions.items()) if version) + '.']
    for variant in TEXTS:
        text = variant_table(results, systems, variant)
        if text:
            parts += [f'**{title(results, variant)}**', text]
    for heading, text in (('Queries over the wire, after W; median', query_table(results, systems)),
                          ('A tick of 9,984 rows, right after its acknowledgement; a restated value',
                           promise_table(results, systems))):
        if text:
            parts += [f'**{heading}**', text]
    return '\n\n'.join(parts)


# ---- docs ----

def write_docs(results, systems):
    with open(DOCS, encoding='utf-8') as file:
        text = file.read()
    found = re.search(f'{re.escape(BEGIN)}\n.*?{re.escape(END)}', text, re.DOTALL)
    if not found:
        raise SystemExit(f'{DOCS} has no place for the tables: two lines, {BEGIN} and {END}')
    if not drawing.draw(results, systems, DRAWING, runs_of, good):
        raise SystemExit('bench/peers: there is nothing to draw: W was not measured')
    lines = f'{BEGIN}\n![samples a second and CPU a sample](peers.svg)\n\n{tables(results, systems)}\n{END}'
    with open(DOCS, 'w', encoding='utf-8') as file:
        file.write(text[:found.start()] + lines + text[found.end():])
