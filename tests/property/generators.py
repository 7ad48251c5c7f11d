"""What the properties are tried on: scorecards (dicts), measurement rows (CSV text), and both as files' text."""
import dataclasses
import datetime
import json

from hypothesis import strategies as st

HEADER = "time,measure,org,value,of,key,seq,source,retract\n"
INPUTS = ["a", "b", "c"]
ORGS = ["", "p", "p/x", "p/y", "q", "q/z/deep", "r-ü"]
SOURCES = ["", "s1", "s2"]
ZONES = ["UTC", "Europe/London", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo",
         "Africa/Cairo", "Pacific/Apia"]
PERIODS = ["minute", "hour", "day", "week", "month", "quarter", "half", "year"]
AGGREGATES = ["sum", "count", "min", "max", "mean", "weighted_mean", "ratio", "first", "last"]
PATTERNS = ["", "*", "**", "p", "p/**", "*/x", "q/*/deep", "**/y"]


# ---- numbers and times ----

def texts_of(x):
    """Ways to write a double that read back to it."""
    return st.sampled_from([repr(x), f"{x:+.17e}", f"{x:.30g}"])


sizes = st.builds(lambda digits, exponent: float(f"{digits}e{exponent - 15}"),
                  st.integers(10 ** 15, 10 ** 16 - 1), st.integers(-100, 99))
doubles = st.builds(lambda x, sign: x * sign,
                    st.one_of(sizes, st.sampled_from([0.0, 1e-100, 1e100, 0.1, 1 / 3, 2.0 ** 53, 5e-324 ** 0.25])),
                    st.sampled_from([1, -1]))
decimals = st.builds(lambda digits, places: f"{digits / 10 ** places:.{places}f}", st.integers(-10 ** 6, 10 ** 6),
                     st.integers(0, 4))
long_decimals = st.builds(lambda left, right: f"{left}.{right}", st.integers(-99, 99), st.integers(10 ** 20, 10 ** 40))
ordinary_numbers = st.one_of(st.integers(0, 9).map(str), decimals)
numbers = st.one_of(ordinary_numbers, doubles.flatmap(texts_of), long_decimals)


def time_text(ms):
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms)
    return at.isoformat(timespec="milliseconds") + "Z"


def ms_of(text):
    at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round(at.timestamp() * 1000)


# Around the ends of a year, a month, and of summer time in several zones; some of them often, so that ties are.
ANCHORS = [ms_of(text) for text in ("2021-01-01T00:00:00Z", "2021-02-28T23:59:59.999Z", "2021-03-28T01:00:00Z",
                                    "2021-03-31T23:00:00Z", "2021-04-03T15:00:00Z", "2021-10-31T01:30:00Z")]
DAY_MS = 86400000
times = st.one_of(
    st.builds(lambda anchor, by: anchor + by, st.sampled_from(ANCHORS),
              st.sampled_from([0, 0, -1, 1, -3600000, 3600000, -1800000, DAY_MS])),
    st.integers(ANCHORS[0] - 30 * DAY_MS, ANCHORS[-1] + 30 * DAY_MS))


# ---- rows ----

@dataclasses.dataclass(frozen=True)
class Row:
    time_ms: int
    measure: str
    org: str
    value: str
    of: str = ""
    key: str = ""
    seq: str = ""
    source: str = ""
    retract: bool = False

    def csv(self):
        cells = [time_text(self.time_ms), self.measure, self.org, self.value, self.of, self.key, self.seq, self.source,
                 "true" if self.retract else ""]
        return ",".join(cells) + "\n"


def csv_of(rows):
    return HEADER + "".join(row.csv() for row in rows)


KEYS = ["K1", "K2", "K 3", "ключ"]
seqs = st.integers(1, 30).map(str)


def a_row(when, values, inputs, keys, seqs_):
    """A row; an event where the key is empty."""
    def make(time_ms, measure, org, value, of, key, seq, source, retract):
        return Row(time_ms, measure, org, value, of, key, seq if key else "", source, bool(key) and retract)
    return st.builds(make, when, st.sampled_from(inputs), st.sampled_from(ORGS), values,
                     st.one_of(st.just(""), values), st.sampled_from(keys), seqs_, st.sampled_from(SOURCES),
                     st.sampled_from([False, False, False, True]))


def events(values=numbers, inputs=INPUTS):
    return a_row(times, values, inputs, [""], seqs)


def keyed(values=numbers, inputs=INPUTS, seqs_=seqs):
    return a_row(times, values, inputs, KEYS, seqs_)


def rows(values=numbers, inputs=INPUTS, keys=("", "", "", "", *KEYS), seqs_=seqs, max_size=40):
    """Of few times, so that there are ties; Hypothesis' own lists are seldom long."""
    return st.tuples(st.lists(times, min_size=1, max_size=6), st.integers(1, max_size)).flatmap(
        lambda drawn: st.lists(a_row(st.sampled_from(drawn[0]), values, inputs, keys, seqs_),
                               min_size=drawn[1], max_size=drawn[1]))


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


def lines(low, high):
    return st.builds(lambda at, by: {low: at, high: at + by}, small, st.sampled_from([-20, -0.1, 0.001, 3, 40]))


bands = st.lists(st.integers(-60, 60), min_size=4, max_size=4).map(
    lambda at: dict(zip(("low_zero", "low", "high", "high_zero"), sorted(at))))
steps = st.builds(lambda below, ats, scores: {"below": below, "steps": [{"at": at, "score": score} for at, score
                                                                        in zip(sorted(ats), scores)]},
                  shares, st.sets(small, min_size=1, max_size=3), st.lists(shares, min_size=3, max_size=3))
forms = st.one_of(lines("from", "to").map(lambda line: {"linear": line}),
                  lines("goal", "red").map(lambda line: {"goal_red": line}),
                  bands.map(lambda band: {"band": band}), steps.map(lambda step: {"step": step}),
                  st.just({"binary": {}}))
conditions = st.fixed_dictionaries({}, optional={
    "from": st.sampled_from(["2020-06-01", "2021-03-28", "2021-03-31"]),
    "orgs": st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2)})
scores = st.one_of(forms, st.lists(st.builds(lambda form, more: {**form, **more}, forms, conditions), min_size=1,
                                   max_size=3))
rollups = st.one_of(st.sampled_from(["mean", "min", "max", "geometric"]),
                    st.sampled_from([0, 0.5, 1]).map(lambda share: {"penalised_mean": share}))
missings = st.one_of(st.sampled_from(["renormalise", "zero"]), shares.map(lambda score: {"impute": score}))
common = {"weight": weights, "rollup": rollups, "min_coverage": st.sampled_from([0, 0.3, 0.5, 1])}


@st.composite
def measures(draw, id_, inputs=INPUTS, aggregates=AGGREGATES, **fixed):
    aggregate = draw(st.sampled_from(aggregates))
    optional = {
        "weight": weights, "period": st.one_of(st.sampled_from(PERIODS), st.sampled_from(["month", "year"])),
        "basis": st.sampled_from(["open", "open", "closed"]),
        "carry": st.integers(0, 3), "orgs": st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2),
        "roll_up": st.sampled_from(["subtree", "none"]), "min_count": st.integers(0, 3), "missing": missings}
    if aggregate in ("sum", "count"):
        optional["empty"] = small
    if aggregate in ("ratio", "weighted_mean"):
        optional["min_of"] = st.sampled_from([0, 0.5, 100])
    return {"id": id_, "input": draw(st.sampled_from(inputs)), "aggregate": aggregate, "score": draw(scores),
            **draw(st.fixed_dictionaries({}, optional=optional)), **fixed}


@st.composite
def scorecards(draw, id_="card", max_children=2, **measure_options):
    count = lambda: range(draw(st.integers(1, max_children)))
    more = lambda: draw(st.fixed_dictionaries({}, optional=common))
    return {
        "scorecard": id_, "timezone": draw(st.sampled_from(ZONES)),
        **draw(st.fixed_dictionaries({}, optional={
            "period": st.sampled_from(PERIODS[2:]), "fiscal_year_start": st.integers(1, 12), "rollup": rollups,
            "min_coverage": common["min_coverage"], "status": st.just({"green": 80, "amber": 50})})),
        "perspectives": [
            {"id": f"p{p}", **more(), "objectives": [
                {"id": f"o{o}", **more(),
                 "measures": [draw(measures(f"m{p}-{o}-{m}", **measure_options)) for m in count()]}
                for o in count()]}
            for p in count()]}


def children(node):
    return next((node[key] for key in ("perspectives", "objectives", "measures") if key in node), [])


def descendants(node):
    for child in children(node):
        yield child
        yield from descendants(child)


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
