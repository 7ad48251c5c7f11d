#!/usr/bin/python3
"""examples/delivery/history: what becomes of commits, and what it does without a history."""
import csv
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

DELIVERY = pathlib.Path(__file__).resolve().parents[2] / "examples" / "delivery"
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "c", "GIT_COMMITTER_EMAIL": "c@example.org",
}


def run(*command, **environment):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**ENVIRONMENT, **environment})
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.stderr}")
    return done


def rows_of(done):
    return list(csv.DictReader(done.stdout.splitlines()))


class History(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.checkout = pathlib.Path(self.folder.name) / "checkout"
        run("git", "init", "-q", self.checkout)

    def commit(self, subject, files, authored="2026-03-01T10:00:00Z", committed="2026-03-01T10:00:00Z"):
        for path, text in files.items():
            (self.checkout / path).parent.mkdir(parents=True, exist_ok=True)
            (self.checkout / path).write_bytes(text)
        run("git", "-C", self.checkout, "add", "-A")
        run("git", "-C", self.checkout, "commit", "-q", "-m", subject,
            GIT_AUTHOR_DATE=authored, GIT_COMMITTER_DATE=committed)

    def rows(self):
        return rows_of(run(DELIVERY / "history", self.checkout))

    def test_a_commit(self):
        self.commit("First", {"lib/wire/a.c": b"1\n2\n3\n", "tests/unit/test_a.c": b"1\n", "README.md": b"r\n"},
                    authored="2026-03-01T10:00:00+02:00")
        self.commit("Less", {"lib/wire/a.c": b"1\n"})
        first, second = self.rows()
        self.assertEqual("2026-03-01T08:00:00Z", first["authored"])
        self.assertEqual("2026-03-01T10:00:00Z", first["committed"])
        self.assertEqual(("feature", "lib/wire", "3", "5", "0", "1", "1", "1"),
                         tuple(first[name] for name in ("kind", "area", "files", "added", "deleted", "code", "tests", "docs")))
        self.assertEqual(("0", "2"), (second["added"], second["deleted"]))

    def test_kinds(self):
        for number, (subject, path) in enumerate([
            ("Fix the reader", "a.c"), ("Revert \"Fix the reader\"", "a.c"), ("Prefix names", "a.c"),
            ("More tests", "tests/a.c"), ("Say more", "docs/a.md"), ("An icon", "icon.bin"),
        ]):
            self.commit(subject, {path: b"\0%d\n" % number})
        self.assertEqual(["fix", "revert", "feature", "test", "docs", "feature"], [row["kind"] for row in self.rows()])

    def test_order_and_wrong_clocks(self):
        self.commit("Late", {"a": b"1"}, "2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z")
        self.commit("Early", {"a": b"2"}, "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z")
        self.commit("From the future", {"a": b"3"}, "2099-01-01T00:00:00Z", "2099-01-01T00:00:00Z")
        early, late, future = self.rows()
        self.assertEqual(["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"], [early["committed"], late["committed"]])
        self.assertLess(future["committed"], "2099")
        self.assertLessEqual(future["authored"], future["committed"])

    def test_odd_names(self):
        self.commit("Line\u2028\r\x01\x02 \"quoted\", with, commas", {"a b/\u00e9,\"x/y.c": b"1\n", "tab\there/z.c": b"1\n2\n"})
        (row,) = self.rows()
        self.assertEqual(("2", "3"), (row["files"], row["added"]))

    def test_no_persons(self):
        self.commit("One", {"a": b"1"})
        self.assertNotIn("example.org", run(DELIVERY / "history", self.checkout).stdout)

    def test_sample_without_a_history(self):
        sample = rows_of(run("cat", DELIVERY / "sample.csv"))
        self.assertGreater(len(sample), 10)
        self.commit("One", {"a": b"1"})
        self.commit("Two", {"a": b"2"})
        shallow = pathlib.Path(self.folder.name) / "shallow"
        run("git", "clone", "-q", "--depth", "1", f"file://{self.checkout}", shallow)
        for where, why in ((shallow, "shallow"), (pathlib.Path(self.folder.name), "no git checkout")):
            done = run(DELIVERY / "history", where)
            self.assertEqual([row["commit"] for row in sample], [row["commit"] for row in rows_of(done)])
            self.assertIn(why, done.stderr)
        shutil.rmtree(self.checkout / ".git")
        (self.checkout / ".git").mkdir()
        self.assertIn("git cannot tell", run(DELIVERY / "history", self.checkout).stderr)


if __name__ == "__main__":
    unittest.main()
