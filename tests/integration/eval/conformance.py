"""Runs `poise eval` over the conformance vectors: conformance.py POISE VECTORS.

Every case whose definition `poise check` accepts must give all expected numbers; a definition may be refused only because
it asks for what this version does not support yet. Exits 77, which ctest takes as skipped, without the vectors."""

import json
import pathlib
import subprocess
import sys
import tempfile

NOT_YET = "not supported by this version yet"
LEAST_CASES = 60


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
    """Whether the case ran, and what is wrong with it."""
    card, rows = folder / "card.yaml", folder / "rows.csv"
    card.write_text(json.dumps(case["scorecard"]), encoding="utf-8")
    rows.write_text(case["measurements"], encoding="utf-8")
    check = subprocess.run([poise, "check", card], capture_output=True, text=True, timeout=20)
    if check.returncode != 0:
        return False, [line for line in check.stderr.splitlines() if NOT_YET not in line]
    run = subprocess.run(
        [poise, "eval", "-s", card, "-m", rows, "--as-of", case["as_of"], "--org", case["org"], "--format", "json"],
        capture_output=True, text=True, timeout=20)
    if run.returncode != 0:
        return True, [f"exit {run.returncode}: {run.stderr.strip()}"]
    return True, list(differences(case, json.loads(run.stdout), tolerance))


def main():
    poise, vectors = sys.argv[1], pathlib.Path(sys.argv[2])
    if not vectors.exists():
        print(f"skipped: there is no {vectors}")
        return 77
    contents = json.loads(vectors.read_text(encoding="utf-8"))
    ran = wrong = 0
    with tempfile.TemporaryDirectory(prefix="poise-eval-") as folder:
        for case in contents["cases"]:
            did_run, problems = run_case(poise, pathlib.Path(folder), case, contents["tolerance"])
            ran += did_run
            wrong += bool(problems)
            for problem in problems:
                print(f"{case['name']} ({case['why']}): {problem}")
    print(f"{ran} of {len(contents['cases'])} cases ran, {wrong} are wrong")
    if ran < LEAST_CASES:
        print(f"at least {LEAST_CASES} must run")
    return 1 if wrong or ran < LEAST_CASES else 0


if __name__ == "__main__":
    sys.exit(main())
