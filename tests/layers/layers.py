#!/usr/bin/python3
"""Checks the tree against the tables of docs/architecture.md: who may include whom, which names stand
only in which files, and how long files and functions may be.

    layers.py TREE        prints every violation as file:line: what; exit status 1 if there was one
"""
import fnmatch
import pathlib
import re
import sys

FILE_LINES_MAX = 900
FUNCTION_LINES_MAX = 80

# Headers of C17, POSIX and glibc; everything else outside the tree must be named by the document.
LIBC = set("""
argp.h assert.h ctype.h dirent.h endian.h errno.h fcntl.h fenv.h float.h getopt.h inttypes.h langinfo.h libgen.h limits.h
locale.h math.h poll.h pthread.h sched.h signal.h spawn.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h
stdlib.h stdnoreturn.h string.h strings.h termios.h threads.h time.h unistd.h wchar.h
""".split())
LIBC_FOLDERS = ("arpa/", "linux/", "netinet/", "sys/")

INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')


class Rules:
    """The two tables of the document."""

    def __init__(self, document):
        self.layers = {}  # folder -> folders it may include
        self.only_in = {}  # header, folder of headers or function -> globs of files
        for row in table(document, "folder", "may include"):
            self.layers[quoted(row[0])[0]] = quoted(row[1])
        for row in table(document, "name", "only in"):
            for name in quoted(row[0]):
                self.only_in[name] = quoted(row[1])

    def folder_of(self, path):
        """The longest folder of the table that holds the path, or None."""
        holders = [folder for folder in self.layers if path.startswith(folder + "/")]
        return max(holders, key=len, default=None)


def table(document, first, second):
    """The cells of each row of the one table with these two column heads."""
    lines = document.splitlines()
    heads = [i for i, line in enumerate(lines) if cells(line)[:2] == [first, second]]
    if len(heads) != 1:
        raise SystemExit(f"docs/architecture.md needs one table | {first} | {second} |, it has {len(heads)}")
    rows = []
    for line in lines[heads[0] + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(cells(line))
    return rows


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def included_folder(rules, path, mark, header):
    """The folder of ours that an include reaches into, or None for a header from outside."""
    if mark == '"' and "/" not in header:
        return rules.folder_of(path)
    for folder in rules.layers:
        short = folder.removeprefix("lib/").removeprefix("include/")
        if header.startswith(short + "/"):
            return folder
    return None


def names_rule(rules, header):
    """The row of the second table that a header falls under, or None."""
    return next((name for name in rules.only_in if header == name or (name[-1] == "/" and header.startswith(name))), None)


def check_include(rules, path, mark, header):
    name = names_rule(rules, header)
    if name:
        if not any(fnmatch.fnmatch(path, glob) for glob in rules.only_in[name]):
            return f"{header} belongs into {', '.join(rules.only_in[name])} only"
        return None
    user = rules.folder_of(path)
    used = included_folder(rules, path, mark, header)
    if used is None:
        if header in LIBC or header.startswith(LIBC_FOLDERS):
            return None
        return f"{header} is neither libc's nor named by docs/architecture.md"
    if used != user and used not in rules.layers[user]:
        return f"{user} may not include {header}"
    return None


def check_source(rules, path, lines):
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if match:
            problem = check_include(rules, path, *match.groups())
            if problem:
                yield number, problem
            continue
        for name, globs in rules.only_in.items():
            if name.isidentifier() and re.search(rf"\b{name}\s*\(", line):
                if not any(fnmatch.fnmatch(path, glob) for glob in globs):
                    yield number, f"{name} belongs into {', '.join(globs)} only"


def check_length(lines):
    """A function's body lies between braces in the first column: clang-format sees to that."""
    if len(lines) > FILE_LINES_MAX:
        yield len(lines), f"the file has {len(lines)} lines, more than {FILE_LINES_MAX}"
    opened = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            opened = number
        elif line.startswith("}") and opened:
            length = number - opened + 2  # with the line that names it
            if length > FUNCTION_LINES_MAX:
                yield opened - 1, f"the function has {length} lines, more than {FUNCTION_LINES_MAX}"
            opened = None


def check(tree):
    """All violations of a tree, as (path, line, text)."""
    rules = Rules((tree / "docs/architecture.md").read_text())
    found = []
    seen = 0
    for file in sorted(tree.rglob("*.[ch]")):
        path = file.relative_to(tree).as_posix()
        if path.startswith(("build/", ".")):
            continue
        lines = file.read_text().splitlines()
        found += [(path, number, text) for number, text in check_length(lines)]
        if rules.folder_of(path):
            seen += 1
            found += [(path, number, text) for number, text in check_source(rules, path, lines)]
    if seen == 0:
        found.append((".", 0, "no source file of any folder of the table was found"))
    return found


def main():
    found = check(pathlib.Path(sys.argv[1]))
    for path, number, text in found:
        print(f"{path}:{number}: {text}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
