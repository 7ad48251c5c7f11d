"""Neither order nor duplication of rows matters."""
from hypothesis import strategies as st

import generators
from generators import KEYS, csv_of, rows, scorecards, time_text, unordered
from harness import Property, holds_for, main


AS_OF = ["--as-of", "2021-12-01T00:00:00Z"]


@st.composite
def disordered(draw):
    """Rows whose order cannot matter, and the same in another order with some of the keyed ones again."""
    some = unordered(draw(rows(seqs_=st.one_of(generators.seqs, st.sampled_from(["", str(2 ** 62)])))))
    again = draw(st.lists(st.sampled_from(some), max_size=10))
    return some, draw(st.permutations(some + [row for row in again if row.key]))


def reasons(done):
    return {line.partition(": refused: ")[2] for line in done.stderr.splitlines()}


def consistent(some):
    """Without rows that contradict another of their key and seq: which of the two is refused, order decides, and behind
    a higher seq neither is."""
    said = {}
    return [row for row in some
            if not row.seq or said.setdefault((row.measure, row.source, row.key, row.seq), row) == row]


class Order(Property):
    @holds_for(100, card=scorecards(but=["levels"]), both=disordered(), history=st.booleans(), as_of=generators.times)
    def test_any_order_and_duplication(self, card, both, history, as_of):
        path = self.write_card(card)
        # Also of the past: what is later than as_of still decides which of a key's rows stands.
        for more in ([*AS_OF, "--history"] if history else AS_OF, ["--as-of", time_text(as_of)]):
            one, other = (self.evaluate_text(path, csv_of(some), "--all-orgs", *more) for some in both)
            self.assertEqual(one.stdout, other.stdout)
            self.assertEqual(reasons(one), reasons(other))
            self.assertLessEqual(reasons(one), {"no scorecard here has a measure that reads this input"})

    @holds_for(40, card=scorecards(), some=st.one_of(rows(keys=KEYS), rows(keys=KEYS, seqs_=st.just(""))))
    def test_a_file_twice(self, card, some):
        """With keys, running an import again changes nothing, with seq or without."""
        path, some = self.write_card(card), consistent(some)
        once, twice = (self.evaluate_text(path, csv_of(some * times), "--all-orgs", *AS_OF)
                       for times in (1, 2))
        self.assertEqual(once.stdout, twice.stdout)


if __name__ == "__main__":
    main()
