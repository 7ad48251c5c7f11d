"""Compares the periods of lib/model/calendar.c with those found by search in Python's zoneinfo.

usage: calendar_zoneinfo.py CALENDAR_PERIODS [SEED]
"""
import bisect
import datetime
import functools
import random
import subprocess
import sys
import zoneinfo

UNITS = ["minute", "hour", "day", "week", "month", "quarter", "half", "year"]
ZONES = ["UTC", "Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia",
         "Africa/Casablanca", "America/Sao_Paulo", "Asia/Gaza", "America/St_Johns", "Africa/Monrovia",
         "Pacific/Kwajalein", "America/Recife", "Africa/Freetown", "Europe/Amsterdam", "Antarctica/Troll"]
EPOCH = datetime.datetime(1970, 1, 1)
DAY = 86400
FIRST, LAST = -2208988800, 7258118400


@functools.lru_cache(maxsize=None)
def changes(name):
    """Offset changes as [(second, offset before, offset after)], by stepping half days."""
    zone = zoneinfo.ZoneInfo(name)

    def offset(at):
        return (datetime.datetime.fromtimestamp(0, datetime.timezone.utc) + datetime.timedelta(seconds=at)) \
            .astimezone(zone).utcoffset() // datetime.timedelta(seconds=1)
    found, at, now = [], FIRST, offset(FIRST)
    while at < LAST:
        step = offset(at + DAY // 2)
        if step != now:
            low, high = at, at + DAY // 2
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == now else (low, middle)
            found.append((high, now, step))
            now = step
        at += DAY // 2
    return found, offset(FIRST), [change[0] for change in found]


def offset_at(name, second):
    found, first, starts = changes(name)
    at = bisect.bisect_right(starts, second)
    return found[at - 1][2] if at else first


def around(name, low, high):
    starts = changes(name)[2]
    return starts[bisect.bisect_left(starts, low):bisect.bisect_right(starts, high)]


def first_instant(name, date):
    """The first second whose local date is at or past the date, tried among all that could be."""
    naive = (datetime.datetime.combine(date, datetime.time()) - EPOCH) // datetime.timedelta(seconds=1)
    near = around(name, naive - 3 * DAY, naive + 3 * DAY)
    offsets = {offset_at(name, at) for at in near + [naive - 3 * DAY, naive + 3 * DAY]}
    return min(at for at in near + [naive - offset for offset in offsets] if at + offset_at(name, at) >= naive)


def starts_near(unit, fiscal, date):
    """Dates at which periods of a unit start, from before to after the date."""
    days = [date + datetime.timedelta(days=i) for i in range(-3, 4)]
    if unit == "day":
        return days
    if unit == "week":
        monday = date - datetime.timedelta(days=date.isocalendar()[2] - 1)
        return [monday + datetime.timedelta(days=7 * i) for i in range(-1, 3)]
    length = {"month": 1, "quarter": 3, "half": 6, "year": 12}[unit]
    months = [(date.year + (date.month - 1 + i) // 12, (date.month - 1 + i) % 12 + 1) for i in range(-13, 26)]
    return [datetime.date(year, month, 1) for year, month in months if (month - fiscal) % length == 0]


def expected(name, unit, fiscal, ms):
    second = ms // 1000
    local = second + offset_at(name, second)
    if unit in ("minute", "hour"):
        length = 60 if unit == "minute" else 3600
        start = local // length * length - offset_at(name, second)
        low = [at for at in around(name, start, second)]
        high = [at for at in around(name, second + 1, start + length)]
        return max(low + [start]) * 1000, min(high + [start + length]) * 1000
    date = (EPOCH + datetime.timedelta(seconds=local)).date()
    starts = [first_instant(name, start) for start in starts_near(unit, fiscal, date)]
    return max(at for at in starts if at * 1000 <= ms) * 1000, min(at for at in starts if at * 1000 > ms) * 1000


def cases(rng):
    for name in ZONES:
        edges = changes(name)[2]
        for _ in range(400):
            ms = rng.randrange((FIRST + 800 * DAY) * 1000, (LAST - 800 * DAY) * 1000)
            if edges and rng.random() < 0.6:
                edge = rng.choice(edges)
                if FIRST + 800 * DAY < edge < LAST - 800 * DAY:
                    ms = edge * 1000 + rng.choice([-1, 0, 1, rng.randrange(-2 * DAY, 2 * DAY) * 1000])
            yield name, rng.choice(UNITS), rng.randrange(1, 13), ms


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261123
    wanted = list(cases(random.Random(seed)))
    lines = "".join(f"{name} {UNITS.index(unit)} {fiscal} {ms}\n" for name, unit, fiscal, ms in wanted)
    output = subprocess.run([sys.argv[1]], input=lines, capture_output=True, text=True, check=True).stdout
    answers = [tuple(map(int, line.split())) for line in output.splitlines()]
    assert len(answers) == len(wanted)
    wrong = 0
    for (name, unit, fiscal, ms), got in zip(wanted, answers):
        right = expected(name, unit, fiscal, ms) + (offset_at(name, ms // 1000),)
        if got != right:
            wrong += 1
            print(f"{name} {unit} {fiscal} {ms}: got {got}, expected {right}")
    print(f"{len(wanted)} periods, {wrong} wrong")
    sys.exit(1 if wrong else 0)


main()
