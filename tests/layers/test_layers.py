#!/usr/bin/python3
"""layers.py finds a violation of each kind planted in a small tree, and nothing in a clean one."""
import pathlib
import tempfile
import unittest

import layers

DOCUMENT = """
| folder | may include | for |
|---|---|---|
| `include/poise` | | all |
| `lib/base` | `include/poise` | all |
| `lib/net` | `lib/base`, `include/poise` | sockets |
| `lib/store` | `lib/base`, `include/poise` | the disk |
| `aggregator` | `lib/base`, `lib/net`, `lib/store`, `include/poise` | |

| name | only in |
|---|---|
| `zmq.h` | `lib/net/*.c` |
| `protobuf-c/` | `lib/wire/codec*.c` |
| `pthread_create`, `thrd_create` | `aggregator/*.c` |
"""

CLEAN = {
    "include/poise/types.h": "#include <stdint.h>\n",
    "lib/base/buf.c": "#include <base/buf.h>\n#include <poise/types.h>\n#include <sys/stat.h>\n",
    "lib/net/net.c": "#include <net/net.h>\n#include <base/buf.h>\n#include <zmq.h>\n",
    "aggregator/ingest.c": '#include "ingest.h"\n#include <net/net.h>\nint x = pthread_create(0, 0, 0, 0);\n',
}


def function(lines):
    return "int f(void)\n{\n" + "    ;\n" * (lines - 3) + "}\n"


class Layers(unittest.TestCase):
    def found(self, **files):
        with tempfile.TemporaryDirectory() as folder:
            tree = pathlib.Path(folder)
            for path, text in {"docs/architecture.md": DOCUMENT, **CLEAN, **files.pop("planted", {})}.items():
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                (tree / path).write_text(text)
            return layers.check(tree)

    def assert_found(self, path, text, number, words):
        found = self.found(planted={path: text})
        self.assertEqual([(path, number)], [entry[:2] for entry in found], found)
        self.assertIn(words, found[0][2])

    def test_clean_tree(self):
        self.assertEqual([], self.found())

    def test_upward_include(self):
        self.assert_found("lib/base/up.c", "\n#include <net/net.h>\n", 2, "lib/base may not include net/net.h")

    def test_sideward_include(self):
        self.assert_found("lib/store/side.h", '#include "net/net.h"\n', 1, "lib/store may not include net/net.h")

    def test_binary_included_by_library(self):
        self.assert_found("lib/net/top.c", "#include <aggregator/ingest.h>\n", 1, "may not include aggregator/")

    def test_guarded_header(self):
        self.assert_found("lib/net/net.h", "#include <zmq.h>\n", 1, "zmq.h belongs into lib/net/*.c only")
        self.assert_found("lib/base/x.c", "#  include <protobuf-c/protobuf-c.h>\n", 1, "lib/wire/codec*.c only")

    def test_unknown_library(self):
        self.assert_found("lib/base/x.c", "#include <curl/curl.h>\n", 1, "neither libc's nor named")

    def test_thread(self):
        self.assert_found("lib/net/x.c", "int y;\nint x = thrd_create(0, 0, 0);\n", 2, "thrd_create belongs into")

    def test_long_file(self):
        self.assert_found("tests/x.c", "\n" * 901, 901, "more than 900")
        self.assertEqual([], self.found(planted={"tests/x.c": "\n" * 900}))

    def test_long_function(self):
        self.assert_found("tests/x.c", "\n" + function(81), 2, "the function has 81 lines")
        self.assertEqual([], self.found(planted={"tests/x.c": function(80)}))

    def test_document_without_table(self):
        with self.assertRaises(SystemExit):
            self.found(planted={"docs/architecture.md": "no tables"})


if __name__ == "__main__":
    unittest.main()
