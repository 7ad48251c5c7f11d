"""Poise's scoring once more, from its specification alone: slow, simple and exact, to judge the real one by.

The numbers in the comments are the specification's sections. Nothing here is taken from the C code, and nothing may be:
where the two differ, the specification decides. `Oracle(definition, rows).states(as_of_ms, org, history)` gives what
`poise eval --format json` prints."""
import collections
import csv
import dataclasses
import datetime
import decimal
import functools
import io
import math
import re
import zoneinfo
from fractions import Fraction

ALL = object()  # every org
SECOND, MINUTE, HOUR, DAY = 1000, 60000, 3600000, 86400000
DURATIONS = {"ms": 1, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
MONTHS = {"month": 1, "quarter": 3, "half": 6, "year": 12}
EPOCH = datetime.datetime(1970, 1, 1)
MILLISECOND = datetime.timedelta(milliseconds=1)


# ---- texts ----

def ms_of(text):
    at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (at - EPOCH.replace(tzinfo=datetime.timezone.utc)) // MILLISECOND


def time_text(ms):
    return (EPOCH + ms * MILLISECOND).isoformat(timespec="milliseconds") + "Z"


def duration_ms(text):
    count, unit = re.fullmatch(r"(\d+)([a-z]+)", text).groups()
    return int(count) * DURATIONS[unit]


def date_of(text):
    return text if isinstance(text, datetime.date) else datetime.date.fromisoformat(text)


# ---- 1. Measurement ----

@dataclasses.dataclass(frozen=True)
class Row:
    """A line of a file of measurements; the numbers as they are written, empty where absent."""
    time_ms: int
    measure: str
    org: str
    value: str
    of: str = ""
    key: str = ""
    seq: str = ""
    source: str = ""
    retract: bool = False


def rows_of(text):
    """The rows of CSV text that is in order (9)."""
    for cells in csv.DictReader(io.StringIO(text)):
        cells = collections.defaultdict(str, {name: cell for name, cell in cells.items() if cell is not None})
        yield Row(ms_of(cells["time"]) if cells["time"] else 0, cells["measure"], cells["org"], cells["value"],
                  cells["of"], cells["key"], cells["seq"], cells["source"], cells["retract"] in ("true", "1"))


# A measurement that stands; `seq` and `ordinal` decide what is first and last.
Sample = collections.namedtuple("Sample", "time_ms org value of source seq ordinal")
Said = collections.namedtuple("Said", "content seq sample")  # of a key; without a sample a tombstone


class Refused(Exception):
    pass


def number(text):
    try:
        value = float(text) + 0.0  # 2: -0 is 0
    except ValueError:
        raise Refused("no number") from None
    if value != 0 and not 1e-100 <= abs(value) <= 1e100:
        raise Refused("out of range")
    return value


class Journal:
    """What is accepted, and what of it stands. `readers` are the leaves of all scorecards, which decide what a level is."""

    def __init__(self, leaves, rows, readers):
        self.leaves, self.readers = leaves, readers
        self.events = collections.defaultdict(list)  # by input
        self.keys = {}  # what each key says now
        self.paths = {""}
        self.refused = []  # ordinals, from 1
        self.latest_ms = None
        for ordinal, row in enumerate(rows, 1):
            try:
                self.take(row, ordinal)
            except Refused:
                self.refused.append(ordinal)

    def take(self, row, ordinal):
        if not any(leaf.get("input", leaf["id"]) == row.measure for leaf in self.leaves if "aggregate" in leaf):
            raise Refused("no leaf reads this input")
        seq = int(row.seq) if row.seq else ordinal  # without seq its row
        if row.retract:
            if not row.key:
                raise Refused("a retraction needs a key")
            self.replace(row, Said(None, seq, None))  # its own time, org and value are ignored
            return
        value, of = number(row.value), number(row.of) if row.of else 1.0
        if not self.is_level(row.measure, value):
            raise Refused("a level that no form knows")
        sample = Sample(row.time_ms, row.org, value, of, row.source, seq, ordinal)
        if row.key:
            self.replace(row, Said((row.time_ms, row.org, value, of), seq, sample))
        else:
            self.events[row.measure].append(sample)
        self.paths.add(row.org)
        self.latest_ms = max(row.time_ms, self.latest_ms if self.latest_ms is not None else row.time_ms)

    def replace(self, row, said):
        key = (row.measure, row.source, row.key)
        stands = self.keys.get(key)
        if stands and stands.seq == said.seq and stands.content != said.content:
            raise Refused("equal seq, but different")
        if not stands or stands.seq < said.seq:
            self.keys[key] = said

    def is_level(self, input_, value):
        """Also true where not only `levels` leaves read the input (3)."""
        forms = [form for leaf in self.readers if "aggregate" in leaf and leaf.get("input", leaf["id"]) == input_
                 for form in forms_of(leaf)]
        return (not all("levels" in form for form in forms)
                or any(level["value"] == value for form in forms for level in form["levels"]))

    def standing(self, input_):
        keyed = [said.sample for (measure, _, _), said in self.keys.items() if measure == input_ and said.sample]
        return self.events[input_] + keyed

    def first_ms(self):
        times = [sample.time_ms for input_ in {measure for measure, _, _ in self.keys} | set(self.events)
                 for sample in self.standing(input_)]
        return min(times, default=None)

    def orgs(self):
        """9: the root, every path of an accepted row, and their ancestors, sorted; by code point is by UTF-8 byte."""
        return sorted({"/".join(path.split("/")[:length]) for path in self.paths
                       for length in range(len(path.split("/")) + 1)})


# ---- 2. Periods ----

class Calendar:
    """Periods of a zone; instants are milliseconds UTC, a period holds start <= instant < end."""

    def __init__(self, zone, fiscal_year_start):
        self.zone, self.fiscal_year_start = zone, fiscal_year_start

    def start_of(self, date):
        """The first instant whose local date is at or past the date."""
        midnight = (datetime.datetime.combine(date, datetime.time()) - EPOCH) // MILLISECOND
        for start, end, offset in stretches(self.zone, midnight - 2 * DAY, midnight + 2 * DAY):
            if max(start, midnight - offset) < end:
                return max(start, midnight - offset)

    def first_date(self, kind, date):
        """The first date of the period that a date is in."""
        if kind == "day":
            return date
        if kind == "week":
            return date - datetime.timedelta(days=date.weekday())  # ISO: Monday
        months = 12 * date.year + date.month - self.fiscal_year_start
        months -= months % MONTHS[kind]
        year, month = divmod(months + self.fiscal_year_start - 1, 12)
        return datetime.date(year, month + 1, 1)

    def period_of(self, kind, ms):
        """(start, end) of the period in which an instant is."""
        if kind in ("minute", "hour"):
            size = {"minute": MINUTE, "hour": HOUR}[kind]
            for start, end, offset in stretches(self.zone, ms - size, ms + size + 1):
                if start <= ms < end:
                    whole = ms - (ms + offset) % size
                    return max(start, whole), min(end, whole + size)
        following = lambda date: self.first_date(kind, date + datetime.timedelta(
            days={"day": 1, "week": 7}.get(kind, 31 * MONTHS.get(kind, 0))))
        (_, _, offset), = stretches(self.zone, ms, ms + 1)
        date = self.first_date(kind, (EPOCH + (ms + offset) * MILLISECOND).date())
        while self.start_of(following(date)) <= ms:  # a clock set back over midnight, a day left out
            date = following(date)
        return self.start_of(date), self.start_of(following(date))

    def holding(self, kind, as_of_ms):
        """The period that holds T: start < T <= end."""
        return self.period_of(kind, as_of_ms - 1)


def offset_ms(zone, ms):
    at = EPOCH.replace(tzinfo=datetime.timezone.utc) + ms * MILLISECOND
    return at.astimezone(zoneinfo.ZoneInfo(zone)).utcoffset() // MILLISECOND


@functools.lru_cache(maxsize=None)
def changes(zone, year):
    """The instants of a (UTC) year at which a zone's offset from UTC changes; never twice in six hours."""
    first, last = ((datetime.datetime(each, 1, 1) - EPOCH) // MILLISECOND for each in (year, year + 1))
    found = []
    for low in range(first, last, 6 * HOUR):
        high = low + 6 * HOUR
        if offset_ms(zone, low) != offset_ms(zone, high):
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset_ms(zone, middle) == offset_ms(zone, low) else (low, middle)
            found.append(high)
    return found


def stretches(zone, start_ms, end_ms):
    """(start, end, offset) of the parts of a time in which the offset is one."""
    years = range((EPOCH + start_ms * MILLISECOND).year, (EPOCH + end_ms * MILLISECOND).year + 1)
    edges = [start_ms, *(at for year in years for at in changes(zone, year) if start_ms < at < end_ms), end_ms]
    return [(start, end, offset_ms(zone, start)) for start, end in zip(edges, edges[1:])]


@dataclasses.dataclass(frozen=True)
class Window:
    """What a leaf looks at: a period or, rolling, what is behind its left edge up to its right edge."""
    start_ms: int
    end_ms: int
    rolling: bool = False
    carried: bool = False

    def holds(self, ms, as_of_ms):
        inside = self.start_ms < ms <= self.end_ms if self.rolling else self.start_ms <= ms < self.end_ms
        return inside and ms <= as_of_ms

    def judged_at(self, as_of_ms, tick_ms):
        """3: t of milestone and pace. A rolling window is never closed, so the current one's is tick(T)."""
        if self.carried or (self.end_ms <= as_of_ms and not self.rolling):
            return self.end_ms
        return min(tick_ms, self.end_ms)


# ---- 2. Values ----

class Overflow(Exception):
    """A result that is not finite: no data, and a flag."""


def finite(x):
    if not math.isfinite(x):
        raise Overflow
    return x + 0.0


def rounded(fraction):
    """Once, to the nearest double."""
    try:
        return fraction.numerator / fraction.denominator
    except OverflowError:
        raise Overflow from None


def exact_sum(numbers):
    return sum(map(Fraction, numbers), Fraction(0))


def aggregated(name, samples):
    """The value of at least one sample; None: no data."""
    values = [sample.value for sample in samples]
    if name == "count":
        return float(len(values))
    if name in ("min", "max"):
        return {"min": min, "max": max}[name](values)
    if name in ("first", "last"):
        order = sorted(samples, key=lambda sample: (sample.time_ms, sample.source, sample.seq, sample.ordinal))
        return order[0 if name == "first" else -1].value
    if name == "sum":
        return rounded(exact_sum(values))
    if name == "mean":
        return rounded(exact_sum(values)) / len(values)
    if name == "stddev":
        return stddev(values)
    if name in ("ratio", "weighted_mean"):
        of = sum_of(samples)
        above = exact_sum(values) if name == "ratio" else exact_sum(
            Fraction(sample.value) * Fraction(sample.of) for sample in samples)
        return finite(rounded(above) / of) if of > 0 else None
    return quantile(int(name[1:]), values)


def sum_of(samples):
    return rounded(exact_sum(sample.of for sample in samples))


def stddev(values):
    n = len(values)
    if n < 2:
        return None
    total, squares = exact_sum(values), exact_sum(Fraction(x) ** 2 for x in values)
    return math.sqrt(rounded((squares - total ** 2 / n) / (n - 1)))


EXACT_RANKS = 64  # up to so many values the quantile is one of them


def quantile(percent, values):
    rank = (percent * len(values) + 99) // 100
    if len(values) <= EXACT_RANKS:
        return sorted(values)[rank - 1]
    sign, bucket = sorted(map(bucket_of, values))[rank - 1]
    gamma = 1.01 / 0.99
    return sign * 2 * gamma ** (sign * bucket) / (gamma + 1)


def bucket_of(x):
    """(sign, sign * i), in the order of the numbers: the bucket gamma^(i - 1) < abs x <= gamma^i."""
    if x == 0:
        return 0, 0
    with decimal.localcontext() as context:
        context.prec = 50
        gamma = decimal.Decimal(101) / decimal.Decimal(99)
        i = math.ceil(decimal.Decimal(abs(x)).ln() / gamma.ln())
    return (1, i) if x > 0 else (-1, -i)


def combined(how, values):
    """across_orgs; the same exactness."""
    if how in ("min", "max"):
        return {"min": min, "max": max}[how](values)
    total = rounded(exact_sum(values))
    return total if how == "sum" else total / len(values)


def computed(formula, value_of):
    """A formula in plain doubles; None where a leaf has no value. Every step must be finite (2).
    An operand is the longest run of what an id may be of, so `a-b` is an id and `a - b` a difference."""
    rest = formula
    failed = False

    def take(pattern):
        nonlocal rest
        taken = re.match(rf"\s*({pattern})", rest)
        rest = rest[taken.end():] if taken else rest
        return taken and taken[1]

    def operand():
        if take("[(]"):
            value = terms()
            take("[)]")
            return value
        token = take("[A-Za-z0-9_.-]+")
        if token == "-":
            value = operand()
            return None if value is None else finite(-value)
        return float(token) if re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", token) else value_of(token)

    def chain(operators, part):
        value = part()
        while operator := take(operators):
            other = part()
            value = None if value is None or other is None else applied(operator, value, other)
        return value

    def factors():
        return chain("[*/]", operand)

    def terms():
        return chain("[+-]", factors)

    def applied(operator, left, right):
        nonlocal failed
        try:
            return finite({"+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right,
                           "/": lambda: left / right}[operator]())
        except (Overflow, ZeroDivisionError):
            failed = True
            return 1.0  # whatever: what is left to learn is whether every leaf has a value

    value = terms()
    if value is not None and failed:
        raise Overflow
    return value


# ---- 2. Orgs ----

def covers(org, path):
    return org == "" or path == org or path.startswith(org + "/")


def matches(patterns, org):
    return any(match(pattern.split("/") if pattern else [], org.split("/") if org else [], True)
               for pattern in patterns)


def match(pattern, segments, is_first):
    """`**` is any number of segments, but at the end of a longer pattern at least one: `p/**` is below p."""
    if not pattern:
        return not segments
    if pattern[0] == "**":
        least = 0 if is_first or len(pattern) > 1 else 1
        return any(match(pattern[1:], segments[taken:], False) for taken in range(least, len(segments) + 1))
    regex = ".+".join(map(re.escape, pattern[0].split("*")))
    return bool(segments) and bool(re.fullmatch(regex, segments[0])) and match(pattern[1:], segments[1:], False)


# ---- 3. Score function ----

def forms_of(leaf):
    return leaf["score"] if isinstance(leaf["score"], list) else [leaf["score"]]


def clamp(x):
    return min(max(x, 0.0), 100.0)


def attainment_of(form, x, t_ms, calendar):
    """Attainment, clamped where it is the score; None: no score."""
    kind, = form.keys() - {"from", "orgs"}
    of = form[kind]
    if kind == "linear":
        return line(x, float(of["from"]), float(of["to"]))
    if kind == "goal_red":
        goal, red = float(of["goal"]), float(of["red"])
        return 100 * (x - red + (goal - red)) / (3 * (goal - red))
    if kind == "band":
        return band(x, *(float(of[corner]) for corner in ("low_zero", "low", "high", "high_zero")))
    if kind == "step":
        return float([of["below"], *(step["score"] for step in of["steps"] if step["at"] <= x)][-1])
    if kind == "levels":
        return next((float(level["score"]) for level in of if level["value"] == x), None)
    if kind == "binary":
        return 100.0 if x != 0 else 0.0
    planned = planned_at([(calendar.start_of(date_of(point["on"])), float(point["value"]))
                          for point in of["planned"]], t_ms)
    return 100 * x / planned if planned != 0 else None


def line(x, zero, full):
    return 100 * (x - zero) / (full - zero)


def band(x, low_zero, low, high, high_zero):
    if low <= x <= high:  # inside wins
        return 100.0
    if x <= low_zero or x >= high_zero:
        return 0.0
    return line(x, low_zero, low) if x < low else line(x, high_zero, high)


def planned_at(points, t_ms):
    """Straight between the points, flat outside."""
    if t_ms <= points[0][0]:
        return points[0][1]
    for (start, left), (end, right) in zip(points, points[1:]):
        if t_ms < end:
            return left + (right - left) * ((t_ms - start) / (end - start))
    return points[-1][1]


# ---- 4. Node and roll-up ----

CHILDREN = {"scorecard": "perspectives", "perspective": "objectives", "objective": "measures"}
KINDS = {"scorecard": "perspective", "perspective": "objective", "objective": "measure"}


@dataclasses.dataclass
class Leaf:
    """What a measure has at an org as of T, before it is scored."""
    window: Window
    value: float = None
    count: int = 0
    flags: set = dataclasses.field(default_factory=set)
    newest_ms: int = None
    is_dropped: bool = False


@dataclasses.dataclass
class Node:
    kind: str
    path: str
    definition: dict
    weight: float
    children: list = dataclasses.field(default_factory=list)
    leaf: Leaf = None
    score: float = None
    lo: float = 0.0
    hi: float = 100.0
    coverage: float = 0.0
    filled: float = 0.0
    attainment: float = None
    status: str = "no_data"
    uncertain: bool = False
    flags: set = dataclasses.field(default_factory=set)

    def all(self):
        yield self
        for child in self.children:
            yield from child.all()


def weighted_mean(pairs):
    """sum(w x) / sum(w) in plain doubles, in the definition's order."""
    above = below = 0.0
    for weight, x in pairs:
        above += weight * x
        below += weight
    return above / below


def rolled_up(rollup, pairs):
    """Of (weight, score) of the children."""
    if rollup == "mean":
        return weighted_mean(pairs)
    if rollup in ("min", "max"):
        return {"min": min, "max": max}[rollup](score for _, score in pairs)
    if rollup == "geometric":
        return math.exp(weighted_mean((weight, math.log(max(score, 1.0))) for weight, score in pairs))
    least = min(score for _, score in pairs)
    return weighted_mean(pairs) * (1 - rollup["penalised_mean"] * (1 - least / 100))


def roll_up(node, rollup, min_coverage):
    """Sets a parent's numbers from its children's."""
    counted = [child for child in node.children if child.weight > 0]
    if not counted:
        return
    node.coverage = weighted_mean((child.weight, child.coverage if child.score is not None else 0.0)
                                  for child in counted)  # sum_I / W
    node.filled = weighted_mean((child.weight, child.filled if child.score is not None else 0.0)
                                for child in counted)
    node.lo = clamp(rolled_up(rollup, [(child.weight, child.lo if child.score is not None else 0.0)
                                       for child in counted]))
    node.hi = clamp(rolled_up(rollup, [(child.weight, child.hi if child.score is not None else 100.0)
                                       for child in counted]))
    scored = [(child.weight, child.score) for child in counted if child.score is not None]
    if not scored or node.filled + 1e-9 < min_coverage:
        return
    node.score = clamp(rolled_up(rollup, scored))
    node.lo, node.hi = min(node.lo, node.score), max(node.hi, node.score)


def cap(node):
    """5: makes green ancestors of red critical leaves amber; whether what is above is to be capped, too."""
    if node.kind == "measure":
        return bool(node.definition.get("critical")) and node.weight > 0 and node.status == "red"
    if not any([cap(child) for child in node.children]):
        return False
    if node.status == "green":
        node.status = "amber"
        node.flags.add("capped")
    return node.weight > 0


# ---- all of it ----

def leaves_of(definition):
    return [leaf for perspective in definition["perspectives"] for objective in perspective["objectives"]
            for leaf in objective["measures"]]


class Oracle:
    """Of a scorecard, alone or in an aggregator that has others, too."""

    def __init__(self, definition, rows, others=()):
        self.definition = definition
        self.leaves = {leaf["id"]: leaf for leaf in leaves_of(definition)}
        self.journal = Journal(self.leaves.values(), rows, [leaf for each in (definition, *others)
                                                            for leaf in leaves_of(each)])
        self.samples = {input_: self.journal.standing(input_) for input_ in
                        {leaf.get("input", leaf["id"]) for leaf in self.leaves.values()}}
        self.calendar = Calendar(definition.get("timezone", "UTC"), definition.get("fiscal_year_start", 1))
        self.period = definition.get("period", "month")
        bounds = definition.get("status", {})
        self.green, self.amber = bounds.get("green", 200 / 3), bounds.get("amber", 100 / 3)
        self.tick = duration_ms(definition.get("tick", "1m"))
        self.known_trees, self.known_leaves = {}, {}

    # 2: the value of a leaf

    def tick_ms(self, as_of_ms):
        """7: T rounded down."""
        return as_of_ms - as_of_ms % self.tick

    def windows(self, leaf, as_of_ms):
        """The one that `basis` names, then those before it that may be carried."""
        carry = range(1, leaf.get("carry", 1) + 1)
        if "rolling" in leaf:
            d, right = duration_ms(leaf["rolling"]), self.tick_ms(as_of_ms)
            yield Window(right - d, as_of_ms, True)
            for back in carry:
                yield Window(right - (back + 1) * d, right - back * d, True, True)
            return
        kind = leaf.get("period", self.period)
        start, end = self.calendar.holding(kind, as_of_ms)
        if leaf.get("basis", "open") == "closed" and end > as_of_ms:
            start, end = self.calendar.period_of(kind, start - 1)
        yield Window(start, end)
        for _ in carry:
            start, end = self.calendar.period_of(kind, start - 1)
            yield Window(start, end, False, True)

    def share(self, leaf, window, as_of_ms):
        """3: the elapsed share of a period; None: too early, no data."""
        at = window.judged_at(as_of_ms, self.tick_ms(as_of_ms))
        share = (at - window.start_ms) / (window.end_ms - window.start_ms)
        return share if share > 0 and share >= leaf.get("pace_from", 0) else None

    def counted(self, leaf, org, window, as_of_ms):
        whole = leaf.get("roll_up", "subtree") == "subtree"
        return [sample for sample in self.samples[leaf.get("input", leaf["id"])]
                if window.holds(sample.time_ms, as_of_ms)
                and (covers(org, sample.org) if whole else sample.org == org)]

    def value_of(self, leaf, samples):
        """The value, None: no data, and the measurements behind it (9: count)."""
        if not samples or len(samples) < leaf.get("min_count", 1):
            return None, []
        if "min_of" in leaf and sum_of(samples) < leaf["min_of"]:
            return None, []
        if leaf.get("across_orgs", "pool") == "pool":
            return aggregated(leaf["aggregate"], samples), samples
        values, behind, overflow = [], [], None
        for org in {sample.org for sample in samples}:
            own = [sample for sample in samples if sample.org == org]
            try:
                value = aggregated(leaf["aggregate"], own)
            except Overflow as error:
                value, overflow = None, error
            if value is not None:  # those without a value are left out
                values.append(value)
                behind += own
        if overflow and not values:
            raise overflow
        return combined(leaf["across_orgs"], values) if values else None, behind

    def measured(self, leaf, org, as_of_ms):
        """The first window that has data serves."""
        flags, named = set(), None
        for window in self.windows(leaf, as_of_ms):
            named = named or window
            if leaf.get("pace") and self.share(leaf, window, as_of_ms) is None:
                continue
            samples = self.counted(leaf, org, window, as_of_ms)
            try:
                value, behind = self.value_of(leaf, samples)
                if not samples and "empty" in leaf:
                    value = float(leaf["empty"])
            except Overflow:
                flags.add("overflow")
                continue
            if value is not None:
                flags |= {"carried"} if window.carried else set()
                newest = max((sample.time_ms for sample in samples), default=None)  # counted, if not behind the value
                return Leaf(window, value + 0.0, len(behind), flags, newest)
        return Leaf(named, flags=flags)

    def calculated(self, leaf, org, as_of_ms):
        found = Leaf(Window(*self.calendar.holding(self.period, as_of_ms)), count=None)
        try:
            found.value = computed(leaf["formula"], lambda id_: self.read(id_, org, as_of_ms))
        except Overflow:
            found.flags.add("overflow")
        return found

    def read(self, id_, org, as_of_ms):
        """What a formula sees of another leaf: dropped as stale or no child at that org is none."""
        leaf = self.leaves[id_]
        if not matches(leaf.get("orgs", ["**"]), org):
            return None
        found = self.leaf(leaf, org, as_of_ms)
        return None if found.is_dropped else found.value

    def leaf(self, leaf, org, as_of_ms):
        place = (leaf["id"], org, as_of_ms)
        if place not in self.known_leaves:
            found = (self.calculated if "formula" in leaf else self.measured)(leaf, org, as_of_ms)
            # 4: stale. Without a counted measurement there is none whose age could be judged.
            if ("max_age" in leaf and leaf.get("basis", "open") == "open" and found.newest_ms is not None
                    and self.tick_ms(as_of_ms) - found.newest_ms > duration_ms(leaf["max_age"])):
                found.flags.add("stale")
                found.is_dropped = leaf.get("stale", "hold") == "drop"
            self.known_leaves[place] = found
        return self.known_leaves[place]

    # 3: its score

    def form(self, leaf, org, window):
        """The form in force: the latest `from` wins, then the one further down; None: none."""
        best = None
        for form in forms_of(leaf):
            since = self.calendar.start_of(date_of(form["from"])) if "from" in form else -math.inf
            in_force = since <= window.end_ms if window.rolling else since < window.end_ms
            if in_force and matches(form.get("orgs", ["**"]), org) and (best is None or since >= best[0]):
                best = since, form
        return best and best[1]

    def attainment(self, leaf, found, org, as_of_ms):
        form = self.form(leaf, org, found.window)
        if found.value is None or found.is_dropped or form is None:
            return None
        share = self.share(leaf, found.window, as_of_ms) if leaf.get("pace") else 1
        t_ms = found.window.judged_at(as_of_ms, self.tick_ms(as_of_ms))
        return attainment_of(form, found.value / share, t_ms, self.calendar)

    # 4: nodes

    def measure(self, node, org, as_of_ms):
        leaf = node.definition
        node.leaf = self.leaf(leaf, org, as_of_ms)
        node.flags = set(node.leaf.flags)
        attainment = self.attainment(leaf, node.leaf, org, as_of_ms)
        missing = leaf.get("missing", "renormalise")
        if attainment is not None:
            node.attainment = attainment if math.isfinite(attainment) else None
            node.score = node.lo = node.hi = clamp(attainment)
            node.coverage = node.filled = 1.0
        elif missing == "zero":
            node.score = node.lo = node.hi = 0.0
            node.coverage = node.filled = 1.0
        elif missing != "renormalise":
            node.score, node.filled = float(missing["impute"]), 1.0
            node.flags.add("imputed")

    def node(self, kind, path, definition, inherited, org, as_of_ms):
        """A node of an org with all below it; None where it is none."""
        node = Node(kind, path, definition, float(definition.get("weight", 1)))
        if kind == "measure":
            if not matches(definition.get("orgs", ["**"]), org):
                return None
            self.measure(node, org, as_of_ms)
        else:
            inherited = {**inherited, **{key: definition[key] for key in ("rollup", "min_coverage")
                                         if key in definition}}
            below = [self.node(KINDS[kind], f"{path}/{child['id']}", child, inherited, org, as_of_ms)
                     for child in definition[CHILDREN[kind]]]
            node.children = [child for child in below if child]
            if not node.children and kind != "scorecard":
                return None
            roll_up(node, inherited["rollup"], inherited["min_coverage"])
        node.status = self.status(node.score)
        node.uncertain = self.status(node.lo) != self.status(node.hi)
        return node

    def tree(self, org, as_of_ms):
        """By path, in the definition's order."""
        if (org, as_of_ms) not in self.known_trees:
            root = self.node("scorecard", self.definition["scorecard"], self.definition,
                             {"rollup": "mean", "min_coverage": 0.5}, org, as_of_ms)
            cap(root)
            self.known_trees[org, as_of_ms] = {node.path: node for node in root.all()}
        return self.known_trees[org, as_of_ms]

    # 5: status, trend, history

    def status(self, score):
        if score is None:
            return "no_data"
        return "green" if score + 1e-9 >= self.green else "amber" if score + 1e-9 >= self.amber else "red"

    def history(self, as_of_ms):
        """The ends of the periods before T, from the one of the first measurement on, and T."""
        first_ms = self.journal.first_ms()
        if first_ms is not None:
            _, end = self.calendar.period_of(self.period, first_ms)
            while end < as_of_ms:
                yield end
                _, end = self.calendar.period_of(self.period, end)
        yield as_of_ms

    def states(self, as_of_ms=None, org="", history=False):
        """9: what `poise eval` prints."""
        if as_of_ms is None:
            as_of_ms = self.journal.latest_ms + 1
        return [self.state(node, each, at) for at in (self.history(as_of_ms) if history else [as_of_ms])
                for each in (self.journal.orgs() if org is ALL else [org])
                for node in self.tree(each, at).values()]

    def state(self, node, org, as_of_ms):
        before_ms, _ = self.calendar.holding(self.period, as_of_ms)
        before = self.tree(org, before_ms)[node.path]
        leaf, definition = node.leaf, node.definition
        return {
            "org": org, "node": node.path, "kind": node.kind,
            "name": definition.get("name", definition.get("id", definition.get("scorecard"))),
            "period": leaf and [time_text(leaf.window.start_ms), time_text(leaf.window.end_ms)],
            "value": leaf and leaf.value, "attainment": node.attainment, "score": node.score, "lo": node.lo,
            "hi": node.hi, "coverage": node.coverage, "filled": node.filled, "status": node.status,
            "uncertain": node.uncertain, "count": leaf and leaf.count, "weight": node.weight,
            "trend": None if node.score is None or before.score is None else node.score - before.score,
            "flags": sorted(node.flags), "as_of": time_text(as_of_ms), "definition": None, "revision": None}
