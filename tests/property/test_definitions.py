"""`poise check` on damaged scorecards: accepts, or names every problem by line and column; it never crashes."""
import re

from hypothesis import assume
from hypothesis import strategies as st

from generators import scorecards, yaml_of
from harness import POISE, Property, holds_for, main, run

KEY = re.compile(r"^([ -]*)([a-z_]+): *(.*)$")
VALUES = ["", "~", "[]", "{}", "[1, 2]", "{a: 1}", "{a}", "x y", "'1'", "-1", "1e400", "1e-101", "nan", ".inf", "0x10",
          "true", "99999999999999999999", "2021-02-30", "&a 1", "*a", "!!str 5", "|", '"open', "{open", "ß", '"\\0"',
          "x" * 70, "p50", "p100", "0s", "366d", "1 +", "((1)", "m0-0-0", "m0-0-0 / (1 - 2e3)", "2021-01-01"]


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
    lines = yaml_of(draw(scorecards())).splitlines()
    for _ in range(draw(st.integers(1, 4))):
        if lines:
            mutate(draw, lines)
    return "\n".join(lines) + "\n"


class Definitions(Property):
    def test_what_is_refused_is_not_empty(self):
        self.assertEqual(self.check_text("*a"), {1})

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

    @holds_for(100, card=scorecards(), data=st.data())
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
