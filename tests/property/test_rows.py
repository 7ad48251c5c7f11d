"""`poise eval` on damaged rows: each is refused by its line and changes nothing; nothing crashes."""
import re

from hypothesis import strategies as st

from generators import HEADER, csv_line, csv_of, events, keyed, rows, scorecards
from harness import Property, holds_for, main

AS_OF = ("--all-orgs", "--as-of", "2021-12-01T00:00:00Z")
CELL_BREAKERS = {  # by column: what no row may have there
    "time": ["", "x", "2021-13-01T00:00:00Z", "2021-02-29T00:00:00Z", "2021-01-01", "1899-12-31T23:59:59.999Z",
             "2201-01-01T00:00:00Z", "20210101T000000Z", "2021-01-01T24:00:01Z", "\x00", "9" * 40],
    "measure": ["", "nobody", "a b", "a/b", "ä", "\x00", "a\x00", "a" * 65],
    "org": ["/", "a/", "/a", "a//b", "\x07", "\udcff", "x" * 5000],
    "value": ["", "x", "1e101", "1e-101", "nan", "inf", "0x1", "1_5", "--1", "1e", "1 ", "9" * 600],
    "of": ["x", "1e101", "nan", " "],
    "key": ["\x00", "\x1f", "k" * 5000],
    "seq": ["-1", "x", "1.5", str(2 ** 62 + 1), str(2 ** 64), "9" * 40],
    "source": ["\x00", "\x7f", "s" * 5000],
    "retract": ["yes", "2", "TRUE"],
}
COLUMNS = HEADER.strip().split(",")
breakers = st.sampled_from([(column, cell) for column, cells in CELL_BREAKERS.items() for cell in cells])


@st.composite
def broken_lines(draw):
    """A line that must be refused, whatever else is in it."""
    row = draw(st.one_of(events(inputs=["a"]), keyed(inputs=["a"])))
    cells = csv_line(row).rstrip("\n").split(",")
    cells[COLUMNS.index("retract")] = ""  # or time and value would not be read
    how = draw(st.integers(0, 9))
    if how == 0:
        cells.pop()
    elif how == 1:
        cells.append("")
    elif how == 2:
        at = draw(st.integers(0, 8))
        cells[at] += 'x"'
    elif how == 3:
        cells[0] = '"of\nthree\nlines"'
    else:
        column, cell = draw(breakers)
        cells[COLUMNS.index(column)] = cell
    return ",".join(cells) + "\n"


class Rows(Property):
    @holds_for(80, card=scorecards(max_children=1, inputs=["a"], but=["levels"]),
               some=rows(inputs=["a"], seqs_=st.just("")),
               broken=st.lists(st.tuples(st.integers(0, 40), broken_lines()), min_size=1, max_size=8))
    def test_refused_by_line(self, card, some, broken):
        path = self.write_card(card)
        lines = [csv_line(row) for row in some]
        for at, line in broken:
            lines.insert(min(at, len(lines)), line)
        texts = {line for _, line in broken}
        wanted = [2 + "".join(lines[:at]).count("\n") for at, line in enumerate(lines) if line in texts]
        clean = self.evaluate_text(path, csv_of(some), *AS_OF)
        self.assertEqual(clean.stderr, "")
        dirty = self.evaluate_text(path, HEADER + "".join(lines), *AS_OF)
        reported = re.findall(r"^.*/rows\.csv:(\d+): refused: \S.*$", dirty.stderr, re.M)
        self.assertEqual([int(number) for number in reported], wanted, dirty.stderr)
        self.assertEqual(clean.stdout, dirty.stdout)
        self.evaluate_text(path, HEADER + "".join(lines), *AS_OF, "--strict", check=1)

    @holds_for(120, card=scorecards(max_children=1, inputs=["a"]), some=rows(inputs=["a"]), data=st.data())
    def test_garbage(self, card, some, data):
        """Bytes changed anywhere, the header too; quotes may swallow lines."""
        csv = bytearray(csv_of(some).encode())
        for _ in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(0, len(csv)))
            length = data.draw(st.sampled_from([0, 1, 1, 20]))
            csv[at:at + length] = data.draw(st.one_of(
                st.sampled_from([b'"', b'""', b"\n", b"\r", b",", b"\0", b"\xff"]), st.binary(max_size=10)))
        path = self.write_card(card)
        done = self.evaluate_text(path, bytes(csv), *AS_OF, check=None)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        *lines, rest = done.stderr.split("\n")
        self.assertEqual(rest, "")
        if done.returncode == 1:
            self.assertRegex(lines.pop(), "^poise eval: .")
            self.assertEqual(done.stdout, "")
        for line in lines:
            match = re.match(r".*/rows\.csv:(\d+): refused: .", line)
            self.assertTrue(match and 2 <= int(match[1]) <= csv.count(b"\n") + 1, line)


if __name__ == "__main__":
    main()
