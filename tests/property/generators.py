"""What the properties are tried on: scorecards (dicts), measurement rows (CSV text), and both as files' text."""
import datetime
import json
import math
import operator

from hypothesis import strategies as st

import oracle
from oracle import DAY, HOUR, Row, ms_of, time_text

# What is tried of the options that a program may lack, or a test may not bear (`but=`).
OPTIONS = set("formula rolling pace max_age across_orgs critical levels milestone tick".split())

HEADER = "time,measure,org,value,of,key,seq,source,retract\n"
INPUTS = ["a", "b", "c"]
ORGS = ["", "p", "p/x", "p/y", "p-1", "q", "q/z/deep", "r-ü"]  # "p-1" sorts between "p" and "p/x"
SOURCES = ["", "s1", "s2"]
ZONES = ["UTC", "Europe/London", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo",
         "Africa/Cairo", "Pacific/Apia"]
PERIODS = ["minute", "hour", "day", "week", "month", "quarter", "half", "year"]
QUANTILES = ["p1", "p50", "p90", "p99"]
AGGREGATES = ["sum", "count", "min", "max", "mean", "weighted_mean", "ratio", "first", "last", "stddev", *QUANTILES]
PATTERNS = ["", "*", "**", "p", "p/**", "*/x", "q/*/deep", "**/y", "p/**/x", "r-*", "**/z/**"]
DATES = ["2020-06-01", "2021-03-28", "2021-03-31"]


# ---- numbers and times ----

def texts_of(x):
    """Ways to write a double that read back to it."""
    return st.sampled_from([repr(x), f"{x:+.17e}", f"{x:.30g}"])


def scientific(digits, exponent):
    return float(f"{digits}e{exponent - 15}")


def decimal(digits, places):
    return f"{digits / 10 ** places:.{places}f}"


sizes = st.builds(scientific, st.integers(10 ** 15, 10 ** 16 - 1), st.integers(-100, 99))
doubles = st.builds(operator.mul, st.one_of(sizes, st.sampled_from([0.0, 1e-100, 1e100, 0.1, 1 / 3, 2.0 ** 53,
                                                                    5e-324 ** 0.25])), st.sampled_from([1, -1]))
decimals = st.builds(decimal, st.integers(-10 ** 6, 10 ** 6), st.integers(0, 4))
long_decimals = st.builds("{}.{}".format, st.integers(-99, 99), st.integers(10 ** 20, 10 ** 40))
ordinary_numbers = st.one_of(st.integers(0, 9).map(str), st.integers(-60, 60).map(str), decimals)
numbers = st.one_of(ordinary_numbers, doubles.flatmap(texts_of), long_decimals)


# Around the ends of a year, a month, and of summer time in several zones; some of them often, so that ties are.
ANCHORS = [ms_of(text) for text in ("2021-01-01T00:00:00Z", "2021-02-28T23:59:59.999Z", "2021-03-28T01:00:00Z",
                                    "2021-03-31T23:00:00Z", "2021-04-03T15:00:00Z", "2021-10-31T01:30:00Z")]
times = st.one_of(
    st.builds(operator.add, st.sampled_from(ANCHORS), st.sampled_from([0, 0, -1, 1, -HOUR, HOUR, -HOUR // 2, DAY])),
    st.integers(ANCHORS[0] - 30 * DAY, ANCHORS[-1] + 30 * DAY))


# ---- rows ----

def csv_line(row):
    time = "" if row.retract and not row.value else time_text(row.time_ms)
    cells = [time, row.measure, row.org, row.value, row.of, row.key, row.seq, row.source, "true" if row.retract else ""]
    return ",".join(cells) + "\n"


def csv_of(rows):
    return HEADER + "".join(map(csv_line, rows))


KEYS = ["K1", "K2", "K 3", "ключ"]
seqs = st.integers(1, 30).map(str)


def a_row(when, values, inputs, keys, seqs_, event_seqs=st.just(""), orgs=ORGS):
    """A row; an event where the key is empty. A retraction needs no value and time."""
    def make(time_ms, measure, org, value, of, key, seq, event_seq, source, retract):
        retract = retract if key else "no"
        return Row(time_ms, measure, org, "" if retract == "bare" else value, of, key, seq if key else event_seq,
                   source, retract != "no")
    return st.builds(make, when, st.sampled_from(inputs), st.sampled_from(orgs), values,
                     st.one_of(st.just(""), values), st.sampled_from(keys), seqs_, event_seqs,
                     st.sampled_from(SOURCES), st.sampled_from(["no", "no", "no", "no", "no", "no", "full", "bare"]))


def events(values=numbers, inputs=INPUTS):
    return a_row(times, values, inputs, [""], seqs)


def keyed(values=numbers, inputs=INPUTS, seqs_=seqs):
    return a_row(times, values, inputs, KEYS, seqs_)


@st.composite
def rows(draw, values=numbers, inputs=INPUTS, keys=("", "", "", "", *KEYS), seqs_=seqs, max_size=40, when=times,
         **more):
    """Of few times, so that there are ties; Hypothesis' own lists are seldom long."""
    of_times, size = draw(st.lists(when, min_size=1, max_size=6)), draw(st.integers(1, max_size))
    row = a_row(st.sampled_from(of_times), values, inputs, keys, seqs_, **more)
    return draw(st.lists(row, min_size=size, max_size=size))


@st.composite
def many(draw, when, inputs=INPUTS):
    """Around as many events as a quantile is exact for, of both signs, in two orgs."""
    scale = draw(st.sampled_from([1e-100, 0.01, 1, 7.3, 1e97]))
    shift, step = draw(st.integers(0, 400)), draw(st.integers(1, 30))
    time_ms, input_ = draw(when), draw(st.sampled_from(inputs))
    return [Row(time_ms, input_, "p/y" if at % 5 == 0 else "p/x", repr((at * step % 401 - shift) * scale))
            for at in range(draw(st.sampled_from([60, 63, 64, 65, 66, 80, 81, 82])))]


@st.composite
def cancelling(draw):
    """Rows whose values nearly cancel: few numbers, their negatives and their neighbours."""
    pool = [float(text) for text in draw(st.lists(numbers, min_size=1, max_size=4))]
    near = [math.nextafter(x, 0) for x in pool if abs(x) > 1e-99]
    texts = [repr(sign * x) for x in pool + near for sign in (1, -1)]
    return draw(rows(st.sampled_from(texts), max_size=20))


def unordered(some):
    """Those of the rows whose order cannot matter. A key has seqs or has none, and one content for each. And where
    the place in the file would decide what is first and last, there are no ties: only different seqs may tie."""
    has_seq, said, tied, kept = {}, {}, {}, []
    for row in some:
        key = (row.measure, row.source, row.key)
        ties = tied.setdefault((row.measure, row.source, row.time_ms), set())
        if row.key and (has_seq.setdefault(key, bool(row.seq)) != bool(row.seq)
                        or said.setdefault((*key, row.seq), row) is not row):
            continue
        if ties & {"", row.seq} if row.seq else ties:
            continue
        ties.add(row.seq)
        kept.append(row)
    return kept


# ---- scorecards ----

small = st.integers(-50, 50)
shares = st.integers(0, 100)
weights = st.one_of(st.integers(0, 5), st.sampled_from([0.1, 1e-100, 1e100, 0.3333333333333333]))
durations = st.sampled_from(["1s", "90s", "1h", "24h", "5d", "2w", "3660d"])


@st.composite
def some_of(draw, at_most=3, /, **optional):
    """A few of the options, each seldom, so that one does not hide another."""
    names = draw(st.lists(st.sampled_from(sorted(optional)), unique=True, max_size=at_most))
    return {name: draw(optional[name]) for name in names}


def patterns():
    return st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2)


# Named functions, as Hypothesis reads the source of lambdas again and again.

def line(low, high, at, by):
    return {low: at, high: at + by}


def band(ats):
    return dict(zip(("low_zero", "low", "high", "high_zero"), sorted(ats)))


def step(below, ats, scores):
    return {"below": below, "steps": [{"at": at, "score": score} for at, score in zip(sorted(ats), scores)]}


def levels(values, scores):
    return [{"name": f"level-{value}", "value": value, "score": score} for value, score in zip(values, scores)]


def milestone(dates, values):
    return {"planned": [{"on": date, "value": value} for date, value in zip(sorted(dates), values)]}


def lines(low, high):
    return st.builds(line, st.just(low), st.just(high), small, st.sampled_from([-20, -0.1, 0.001, 3, 40]))


three = {"min_size": 3, "max_size": 3}


def forms(dates, with_levels, with_milestone):
    kinds = {
        "linear": lines("from", "to"), "goal_red": lines("goal", "red"),
        "band": st.builds(band, st.lists(st.integers(-60, 60), min_size=4, max_size=4)),
        "step": st.builds(step, shares, st.sets(small, min_size=1, max_size=3), st.lists(shares, **three)),
        "binary": st.just({})}
    if with_levels:
        kinds["levels"] = st.builds(levels, st.sampled_from([[1, 2, 3], [0, 1, 5], [7]]), st.lists(shares, **three))
    if with_milestone:
        kinds["milestone"] = st.builds(milestone, st.sets(st.sampled_from(dates), min_size=1, max_size=3),
                                       st.lists(st.sampled_from([0, 0.5, 7, 20, 300]), **three))
    return st.one_of([st.fixed_dictionaries({name: form}) for name, form in kinds.items()])


def scores(dates, with_levels, with_milestone):
    more = some_of(orgs=patterns(), **{"from": st.sampled_from(dates)})
    form = forms(dates, with_levels, with_milestone)
    return st.one_of(form, st.lists(st.builds(operator.or_, form, more), min_size=1, max_size=3))


rollups = st.one_of(st.sampled_from(["mean", "min", "max", "geometric"]),
                    st.fixed_dictionaries({"penalised_mean": st.sampled_from([0, 0.5, 1])}))
missings = st.one_of(st.sampled_from(["renormalise", "zero"]), st.fixed_dictionaries({"impute": shares}))
common = {"weight": weights, "rollup": rollups, "min_coverage": st.sampled_from([0, 0.3, 0.5, 1])}


@st.composite
def windows(draw, aggregate, enabled):
    """What of the time a measure looks at."""
    if "rolling" in enabled and draw(st.integers(0, 4)) == 0:
        window = {"rolling": draw(durations), **draw(some_of(carry=st.integers(0, 3)))}
    elif "pace" in enabled and aggregate in ("sum", "count") and draw(st.booleans()):
        window = {"period": draw(st.sampled_from(PERIODS[2:])), "pace": True, **draw(some_of(
            pace_from=st.sampled_from([0.001, 0.2, 0.5, 0.999]), basis=st.just("closed"), carry=st.integers(0, 3)))}
    else:
        window = draw(some_of(period=st.sampled_from([*PERIODS, "month", "year"]), carry=st.integers(0, 3),
                              basis=st.sampled_from(["open", "closed"])))
    if "max_age" in enabled and window.get("basis") != "closed" and draw(st.integers(0, 3)) == 0:
        window |= {"max_age": draw(durations), **draw(some_of(stale=st.sampled_from(["hold", "drop", "drop"])))}
    return window


def operands(ids):
    return st.one_of(st.sampled_from(ids), st.sampled_from(ids), st.sampled_from(["0", "2", "-0.1", "1e100"]))


def formulas(ids):
    """Of a few operations, over the ids of other leaves."""
    def joined(form, *parts):
        return form.format(*parts)

    def longer(part):
        return st.builds(joined, st.sampled_from(["{} {} {}", "({} {} {})", "- {} {} {}"]), part,
                         st.sampled_from("+-*/"), part)
    return st.recursive(operands(ids), longer, max_leaves=4)


@st.composite
def measures(draw, id_, inputs, aggregates, dates, enabled, fixed):
    aggregate = draw(st.sampled_from(aggregates))
    optional = {"weight": weights, "orgs": patterns(), "roll_up": st.sampled_from(["subtree", "none"]),
                "min_count": st.integers(0, 3), "missing": missings}
    if aggregate in ("sum", "count"):
        optional["empty"] = small
    if aggregate in ("ratio", "weighted_mean"):
        optional["min_of"] = st.sampled_from([0, 0.5, 1, 4, 100])
    if "across_orgs" in enabled and draw(st.booleans()):
        del optional["roll_up"]  # none leaves nothing to combine
        optional["across_orgs"] = st.sampled_from(["pool", "sum", "mean", "min", "max"])
    if "critical" in enabled:
        optional["critical"] = st.booleans()
    window = draw(windows(aggregate, enabled))
    with_levels = "levels" in enabled and aggregate in ("first", "last", "min", "max")
    score = draw(scores(tuple(dates), with_levels, "milestone" in enabled))
    return {"id": id_, "input": draw(st.sampled_from(inputs)), "aggregate": aggregate, "score": score,
            **draw(some_of(**optional)), **window, **fixed}


@st.composite
def calculated(draw, leaf, ids, dates, enabled):
    """A formula in the place of a measure, of others."""
    optional = {"weight": weights, "orgs": patterns(), "missing": missings}
    if "critical" in enabled:
        optional["critical"] = st.booleans()
    leaf_ = {"id": leaf["id"], "formula": draw(formulas(ids)),
             "score": draw(scores(tuple(dates), False, "milestone" in enabled)), **draw(some_of(**optional))}
    leaf.clear()
    leaf.update(leaf_)


@st.composite
def scorecards(draw, id_="card", max_children=2, inputs=INPUTS, aggregates=AGGREGATES, but=(), zones=ZONES, dates=DATES,
               periods=PERIODS[2:], **fixed):
    """`but` some options; `fixed` keys of every measure that reads an input; `periods` of the scorecard."""
    enabled = OPTIONS - set(but)
    count = lambda: range(draw(st.integers(1, max_children)))
    more = lambda: draw(some_of(**common))
    a_measure = lambda id_: draw(measures(id_, inputs, aggregates, dates, enabled, fixed))
    optional = {"period": st.sampled_from(periods), "fiscal_year_start": st.integers(1, 12), "rollup": rollups,
                "min_coverage": common["min_coverage"],
                "status": st.sampled_from([{"green": 80, "amber": 50}, {"green": 100, "amber": 1}])}
    if "tick" in enabled:
        optional["tick"] = st.sampled_from(["1s", "5m", "1h", "24h"])
    card = {
        "scorecard": id_, "timezone": draw(st.sampled_from(zones)), **draw(some_of(**optional)),
        "perspectives": [
            {"id": f"p{p}", **more(), "objectives": [
                {"id": f"o{o}", **more(), "measures": [a_measure(f"m{p}-{o}-{m}") for m in count()]}
                for o in count()]}
            for p in count()]}
    leaves = [node for node in descendants(card) if "aggregate" in node]
    if "formula" in enabled and len(leaves) > 1 and draw(st.booleans()):
        draw(calculated(leaves[0], [leaf["id"] for leaf in leaves[1:]], dates, enabled))
        if len(leaves) > 2:
            draw(calculated(leaves[-1], [leaf["id"] for leaf in leaves[1:-1]], dates, enabled))
    return card


def children(node):
    return next((node[key] for key in ("perspectives", "objectives", "measures") if key in node), [])


def descendants(node):
    for child in children(node):
        yield child
        yield from descendants(child)


# ---- scenes: a scorecard and rows near what matters to it ----

MOMENTS = [  # zones and instants at which something happens in them
    ("UTC", "2021-01-01T00:00:00Z"), ("UTC", "2020-02-29T00:00:00Z"), ("UTC", "1970-01-01T00:00:00Z"),
    ("Europe/London", "2021-03-28T01:00:00Z"), ("America/New_York", "2021-11-07T06:00:00Z"),
    ("Australia/Lord_Howe", "2021-04-03T15:00:00Z"),  # by half an hour
    ("Asia/Kathmandu", "2021-03-31T18:15:00Z"), ("Asia/Kolkata", "2021-01-03T18:30:00Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),  # no midnight
    ("America/Sao_Paulo", "2018-02-18T02:00:00Z"),  # two midnights
    ("America/Havana", "2021-11-07T05:00:00Z"), ("Africa/Cairo", "2010-09-09T21:00:00Z"),
    ("America/St_Johns", "2010-11-07T02:31:00Z"),  # a minute behind midnight back to the day before
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),  # a day is left out
    ("Africa/Monrovia", "1972-01-07T00:44:30Z"), ("Europe/Amsterdam", "1937-06-30T23:40:28Z"),  # by a part of a minute
    ("Antarctica/Troll", "2021-03-28T01:00:00Z"), ("Asia/Tokyo", "2037-12-31T15:00:00Z"),
    ("Africa/Casablanca", "2021-04-11T02:00:00Z"), ("Pacific/Chatham", "2021-09-25T14:00:00Z")]
shifts = st.sampled_from([0, 0, -1, 1, -HOUR, HOUR, HOUR // 2, -DAY, DAY, 10 * DAY, 31 * DAY])


def leaves_of(card):
    return [node for node in descendants(card) if "score" in node]


def edges(card, as_of_ms):
    """Instants at which something changes for a scorecard as of T: ends of periods and windows, what is just fresh."""
    calendar = oracle.Calendar(card["timezone"], card.get("fiscal_year_start", 1))
    found = {as_of_ms}
    for kind in {node["period"] for node in [card, *descendants(card)] if "period" in node} | {"month"}:
        start, end = calendar.holding(kind, as_of_ms)
        before, _ = calendar.period_of(kind, start - 1)
        found |= {start, end, before, calendar.period_of(kind, before - 1)[0]}
    tick_ms = as_of_ms - as_of_ms % oracle.duration_ms(card.get("tick", "1m"))
    for leaf in leaves_of(card):
        found |= {tick_ms - oracle.duration_ms(leaf["max_age"])} if "max_age" in leaf else set()
        window_ms = oracle.duration_ms(leaf.get("rolling", "1m"))
        found |= {tick_ms - back * window_ms for back in range(3)}
    return sorted(found)


@st.composite
def moments(draw):
    """A zone and an instant near which something happens in it."""
    if draw(st.integers(0, 3)):
        zone, text = draw(st.sampled_from(MOMENTS))
        return zone, ms_of(text) + draw(shifts)
    zone, year = draw(st.sampled_from(ZONES)), draw(st.integers(1975, 2037))
    return zone, draw(st.sampled_from([*oracle.changes(zone, year), ms_of(f"{year}-01-01T00:00:00Z")])) + draw(shifts)


@st.composite
def scenes(draw, **options):
    """A scorecard, the rows and T."""
    zone, as_of_ms = draw(moments())
    day = datetime.date.fromisoformat(time_text(as_of_ms)[:10])
    midnights = {oracle.Calendar(zone, 1).start_of(date): str(date) for date in (
        day + datetime.timedelta(days=days) for days in (-400, -31, -2, -1, 0, 1, 2, 30))}  # one a day that there is
    dates = list(midnights.values())
    card = draw(scorecards(zones=[zone], dates=dates, periods=PERIODS, **options))
    as_of_ms = draw(st.sampled_from([as_of_ms, as_of_ms, *edges(card, as_of_ms)]))
    sharp = st.builds(operator.add, st.sampled_from(edges(card, as_of_ms)), st.sampled_from([0, 0, -1, 1]))
    when = st.one_of(sharp, sharp, st.integers(as_of_ms - 2 * HOUR, as_of_ms),
                     st.integers(as_of_ms - 100 * DAY, as_of_ms + 2 * DAY))
    inputs = [leaf["input"] for leaf in leaves_of(card) if "input" in leaf] * 4 + ["a"]
    orgs = draw(st.lists(st.sampled_from(ORGS), min_size=1, max_size=4))
    some = draw(rows(when=when, inputs=inputs, orgs=orgs, max_size=30, seqs_=st.one_of(seqs, st.just("")),
                     event_seqs=st.sampled_from(["", "", "7"])))
    quantiles = [leaf["input"] for leaf in leaves_of(card) if leaf.get("aggregate") in QUANTILES]
    if draw(st.integers(0, 2 if quantiles else 9)) == 0:
        some = draw(many(st.sampled_from([as_of_ms, as_of_ms - 1, as_of_ms - HOUR]), quantiles or inputs)) + some
    return card, some, as_of_ms


# ---- as text ----

def is_flat(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return not any(isinstance(item, (dict, list)) for item in inner)


def yaml_lines(value):
    """Block style, a key or item a line, so that to mutate a line is to mutate a key; JSON where nothing nests."""
    if is_flat(value):
        yield json.dumps(value, ensure_ascii=False)
    elif isinstance(value, list):
        for item in value:
            first, *rest = yaml_lines(item)
            yield from ["- " + first, *("  " + line for line in rest)]
    else:
        for key, item in value.items():
            inner = list(yaml_lines(item))
            yield from [f"{key}: {inner[0]}"] if is_flat(item) else [f"{key}:", *("  " + line for line in inner)]


def yaml_of(card):
    return "\n".join(yaml_lines(card)) + "\n"
