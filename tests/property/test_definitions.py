"""`poise check` on damaged scorecards: accepts, or names every problem by line and column; it never crashes."""
import re

from hypothesis import assume
from hypothesis import strategies as st

from generators import children, descendants, forms, scorecards, yaml_of
from harness import POISE, Property, holds_for, main, run

KEY = re.compile(r"^([ -]*)([a-z_]+): *(.*)$")
VALUES = ["", "~", "[]", "{}", "[1, 2]", "{a: 1}", "{a}", "x y", "'1'", "-1", "1e400", "1e-101", "nan", ".inf", "0x10",
          "true", "99999999999999999999", "2021-02-30", "&a 1", "*a", "!!str 5", "|", '"open', "{open", "ß", '"\\0"',
          "x" * 70, "p50", "p100", "0s", "366d", "1 +", "((1)", "m0-0-0", "m0-0-0 / (1 - 2e3)", "2021-01-01"]
LEVELS = [{"name": "poor", "value": -1, "score": 0}, {"name": "gut", "value": 2.5, "score": 100}]


# ---- scorecards with every option ----

milestones = st.sets(st.integers(1, 28), min_size=1, max_size=3).map(lambda days: {"milestone": {"planned": [
    {"on": f"2021-03-{day:02}", "value": day * 10} for day in sorted(days)]}})
operands = st.sampled_from(["2", "0.5", "1e-5", "-3"])


def formulas(ids):
    """Text over ids and numbers; where there are no ids, over numbers."""
    leaves = st.one_of(operands, st.sampled_from(ids)) if ids else operands
    return st.recursive(leaves, lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from("+-*/"), inner), inner.map("({})".format),
        inner.map("- {}".format)), max_leaves=6)


def make_formula(draw, measure, ids):
    for key in ("aggregate", "input", "period", "basis", "carry", "roll_up", "min_count", "min_of", "empty"):
        measure.pop(key, None)
    measure["formula"] = draw(formulas(ids))


def widen(draw, measure, ids):
    """Options beyond those of `generators.measures`, of which this version may score fewer than it checks."""
    some = st.booleans()
    if draw(some):
        measure["critical"] = draw(some)
    if draw(some):
        measure["score"] = draw(milestones)
    if draw(st.integers(0, 3)) == 0:
        make_formula(draw, measure, ids)
        return
    if draw(some):
        measure["aggregate"] = draw(st.sampled_from(["stddev", "p1", "p50", "p99", "last", "min"]))
        measure.pop("empty", None)
        measure.pop("min_of", None)
    if measure["aggregate"] in ("first", "last", "min", "max") and draw(some):
        measure["score"] = [{"levels": LEVELS}, draw(forms)]
    if draw(some):
        measure["rolling"] = draw(st.sampled_from(["1s", "7d", "3660d"]))
        measure.pop("period", None)
        measure.pop("basis", None)
    elif measure["aggregate"] in ("sum", "count") and measure.setdefault("period", "week") not in ("minute", "hour"):
        measure |= draw(st.sampled_from([{"pace": False}, {"pace": True}, {"pace": True, "pace_from": 0.2}]))
    if measure.get("basis") != "closed" and draw(some):
        measure |= draw(st.sampled_from([{"max_age": "1ms"}, {"max_age": "36h", "stale": "drop"}]))
    if measure.get("roll_up") != "none" and draw(some):
        measure["across_orgs"] = draw(st.sampled_from(["pool", "sum", "mean", "min", "max"]))


@st.composite
def full_scorecards(draw):
    card = draw(scorecards())
    if draw(st.booleans()):
        card["tick"] = draw(st.sampled_from(["1s", "90s", "1d"]))
    ids = []
    for measure in [node for node in descendants(card) if not children(node)]:
        widen(draw, measure, list(ids))
        ids.append(measure["id"])
    return card


# ---- damage ----

def indent(line):
    return len(line) - len(line.lstrip(" -"))


def part_end(lines, at):
    """Behind the line and all that hangs below it."""
    end = at + 1
    while end < len(lines) and indent(lines[end]) > indent(lines[at]):
        end += 1
    return end


def mutate(draw, lines):
    at = draw(st.integers(0, len(lines) - 1))
    end = part_end(lines, at)
    how = draw(st.sampled_from(["drop", "repeat", "move", "indent", "value", "junk"]))
    if how == "drop":
        del lines[at:end]
    elif how == "repeat":
        lines[end:end] = lines[at:end]
    elif how == "move":
        part = lines[at:end]
        del lines[at:end]
        to = draw(st.integers(0, len(lines)))
        lines[to:to] = part
    elif how == "indent":
        lines[at] = draw(st.sampled_from(["  ", " ", "\t", "- "])) + lines[at]
    elif how == "value":
        lines[at] = re.sub(r":.*", ": " + draw(st.sampled_from(VALUES)).replace("\\", r"\\"), lines[at])
    else:
        to = draw(st.integers(0, len(lines[at])))
        lines[at] = lines[at][:to] + draw(st.text(max_size=5)) + lines[at][to:]


@st.composite
def damaged(draw):
    lines = yaml_of(draw(full_scorecards())).splitlines()
    for _ in range(draw(st.integers(1, 4))):
        if lines:
            mutate(draw, lines)
    return "\n".join(lines) + "\n"


class Definitions(Property):
    def check_text(self, text):
        """The lines that `poise check` complains of."""
        path = self.folder / "card.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        done = run(POISE, "check", path, check=None)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        complaints = [line for line in done.stderr.split("\n")[:-1] if ": warning: " not in line]
        if complaints == [f"{path}: the file is empty: it must hold a scorecard"]:  # has no line to name
            complaints = [f"{path}:1:1: empty"]
        self.assertEqual(bool(complaints), done.returncode == 1, done.stderr)
        wrong = [re.match(rf"{re.escape(str(path))}:(\d+):(\d+): \S", line) for line in complaints]
        self.assertTrue(all(wrong), done.stderr)
        self.assertEqual(done.stdout, "" if complaints else f"{path}: ok\n")
        return {int(match[1]) for match in wrong}

    @holds_for(250, text=damaged())
    def test_damaged(self, text):
        complaints = self.check_text(text)
        self.assertLessEqual(complaints, set(range(1, text.count("\n") + 2)))
        rows = "time,measure,org,value\n2021-01-01T00:00:00Z,a,,1\n"
        done = self.evaluate_text(self.folder / "card.yaml", rows, "--as-of", "2021-01-02T00:00:00Z",
                                  check=1 if complaints else 0)
        self.assertEqual(bool(done.stdout), not complaints)

    @holds_for(100, card=full_scorecards(), data=st.data())
    def test_wrong_keys_are_found(self, card, data):
        """A key that does not exist, or stands twice, is named by its line."""
        lines = yaml_of(card).splitlines()
        self.assertEqual(self.check_text("\n".join(lines)), set())
        at = data.draw(st.sampled_from([at for at, line in enumerate(lines) if KEY.match(line)]))
        margin, key, rest = KEY.match(lines[at]).groups()
        end = part_end(lines, at)
        if data.draw(st.booleans()):
            lines[at] = f"{margin}{key}x: {rest}"
        else:
            lines[end:end] = [margin.replace("-", " ") + f"{key}: {rest}", *lines[at + 1:end]]
            at = end
        self.assertIn(at + 1, self.check_text("\n".join(lines)))

    @holds_for(150, text=st.one_of(st.binary(max_size=200), st.text("ab: -[]{}'\"|>&*!?#\n\t", max_size=100)))
    def test_garbage(self, text):
        assume(text)
        self.check_text(text)


if __name__ == "__main__":
    main()
