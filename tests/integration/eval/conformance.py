"""Runs `poise eval` over the conformance vectors: conformance.py POISE VECTORS.

Every case must give all expected numbers. Exits 77, which ctest takes as skipped, without the vectors."""

import json
import pathlib
import subprocess
import sys
import tempfile


def same(got, wanted, tolerance):
    if isinstance(wanted, float) and isinstance(got, (int, float)) and not isinstance(got, bool):
        return abs(got - wanted) <= tolerance * max(1, abs(wanted))
    return got == wanted and isinstance(got, bool) == isinstance(wanted, bool)


def differences(case, states, tolerance):
    got = {state["node"]: state for state in states}
    for node in sorted(got.keys() ^ case["expect"].keys()):
        yield f"{node}: {'not wanted' if node in got else 'missing'}"
    for node, wanted in case["expect"].items():
        for key, value in wanted.items():
            if node in got and not same(got[node][key], value, tolerance):
                yield f"{node}: {key} is {got[node][key]}, not {value}"


def run_case(poise, folder, case, tolerance):
    """What is wrong with it."""
    card, rows = folder / "card.yaml", folder / "rows.csv"
    card.write_text(json.dumps(case["scorecard"]), encoding="utf-8")
    rows.write_text(case["measurements"], encoding="utf-8")
    run = subprocess.run(
        [poise, "eval", "-s", card, "-m", rows, "--as-of", case["as_of"], "--org", case["org"], "--format", "json"],
        capture_output=True, text=True, timeout=20)
    if run.returncode != 0:
        return [f"exit {run.returncode}: {run.stderr.strip()}"]
    return list(differences(case, json.loads(run.stdout), tolerance))


def main():
    poise, vectors = sys.argv[1], pathlib.Path(sys.argv[2])
    if not vectors.exists():
        print(f"skipped: there is no {vectors}")
        return 77
    contents = json.loads(vectors.read_text(encoding="utf-8"))
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="poise-eval-") as folder:
        for case in contents["cases"]:
            problems = run_case(poise, pathlib.Path(folder), case, contents["tolerance"])
            wrong += bool(problems)
            for problem in problems:
                print(f"{case['name']} ({case['why']}): {problem}")
    print(f"{len(contents['cases'])} cases ran, {wrong} are wrong")
    return 1 if wrong or not contents["cases"] else 0


if __name__ == "__main__":
    sys.exit(main())
