"""What the specification says of values, in exact fractions: slow and simple."""
import collections
import math
from fractions import Fraction

# A measurement that stands; `rank` and `ordinal` decide what is first and last.
Sample = collections.namedtuple("Sample", "time_ms org value of source rank ordinal")


def double(text):
    return float(text) + 0.0  # -0 is 0


def standing(rows, measure):
    """The samples of an input that count, and the paths of its accepted rows, superseded ones too."""
    events, keys, paths = [], {}, set()
    for ordinal, row in enumerate(rows, 1):
        if row.measure != measure:
            continue
        sample = Sample(row.time_ms, row.org, double(row.value), double(row.of or "1"), row.source.encode(),
                        int(row.seq or ordinal), ordinal)
        if row.retract:
            sample = Sample(0, "", 0, 0, row.source.encode(), sample.rank, ordinal)
        said = keys.get((row.source, row.key))
        if not row.key:
            events.append(sample)
        elif said is None or said[0].rank < sample.rank:
            keys[row.source, row.key] = sample, row.retract
        elif said[0].rank == sample.rank and (said[0][:4], said[1]) != (sample[:4], row.retract):
            continue  # refused
        if not row.retract:
            paths.add(row.org)
    return events + [sample for sample, retract in keys.values() if not retract], paths


def rounded(fraction):
    try:
        return fraction.numerator / fraction.denominator  # of whole numbers: rounded once, to the nearest
    except OverflowError:
        return math.inf


def value(aggregate, samples):
    """Of at least one sample; None: no data; infinite: overflow."""
    total = lambda of: rounded(sum((of(sample) for sample in samples), Fraction(0)))
    if aggregate == "count":
        return float(len(samples))
    if aggregate in ("min", "max"):
        return {"min": min, "max": max}[aggregate](sample.value for sample in samples)
    if aggregate in ("first", "last"):
        order = sorted(samples, key=lambda sample: (sample.time_ms, *sample[4:]))
        return order[0 if aggregate == "first" else -1].value
    if aggregate in ("sum", "mean"):
        sum_ = total(lambda sample: Fraction(sample.value))
        return sum_ if aggregate == "sum" else sum_ / len(samples)
    of = total(lambda sample: Fraction(sample.of))
    times = (lambda sample: Fraction(sample.of)) if aggregate == "weighted_mean" else (lambda sample: 1)
    try:
        return total(lambda sample: Fraction(sample.value) * times(sample)) / of if of > 0 else None
    except ZeroDivisionError:
        return None


def covers(org, path):
    return org == "" or path == org or path.startswith(org + "/")


def measure_value(measure, samples, org, start_ms, end_ms, as_of_ms):
    """Value (None: no data) and count of a measure at an org in a period."""
    whole = measure.get("roll_up", "subtree") == "subtree"
    counted = [sample for sample in samples if start_ms <= sample.time_ms < end_ms and sample.time_ms <= as_of_ms
               and (covers(org, sample.org) if whole else sample.org == org)]
    if not counted:
        return measure.get("empty"), 0
    least_of = measure.get("min_of")
    if len(counted) < measure.get("min_count", 1):
        return None, 0
    if least_of is not None and rounded(sum(Fraction(sample.of) for sample in counted)) < least_of:
        return None, 0
    found = value(measure["aggregate"], counted)
    return (None, 0) if found is None else (found, len(counted))
