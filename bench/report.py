"""What the benchmarks share: the build of release, and tables of figures."""
import os
import statistics
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, 'build', 'bench')


def build(*targets):
    for command in (['cmake', '--preset', 'release', '-B', BUILD, '-DPOISE_BENCH=ON'],
                    ['cmake', '--build', BUILD, '--target', *targets]):
        done = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.exit(f'{done.stdout}{sys.argv[0]}: the build failed')


def figures_of(output):
    return {name: float(value) for name, value in (line.split() for line in output.splitlines())}


def show(value):
    return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.3g}'


def print_table(title, rows, rounds):
    """rows: name and text; rounds: the figures of each by name."""
    print(f'\n{title}\n\n| | median | lowest | highest |\n|---|---|---|---|')
    for name, text in rows:
        values = [figures[name] for figures in rounds]
        print(f'| {text} | {show(statistics.median(values))} | {show(min(values))} | {show(max(values))} |')


def judge(what, value, most=None, least=None):
    """Ends the script with 1 where a figure does not reach its bar."""
    if (most is not None and value > most) or (least is not None and value < least):
        sys.exit(f'{sys.argv[0]}: {what}: {show(value)}, and the bar is {show(most if least is None else least)}')


def rest():
    """Before a run: what the one before has left to write is not this one's."""
    os.sync()
    time.sleep(2)


def rounds(count):
    """Their numbers, each told and begun at rest."""
    for number in range(count):
        print(f'round {number + 1} of {count}', file=sys.stderr, flush=True)
        rest()
        yield number


def load():
    with open('/proc/loadavg', encoding='ascii') as file:
        return f'{os.cpu_count()} cores, load {file.read().split()[0]} at the end'
