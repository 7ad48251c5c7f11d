"""test_documents.py AGGREGATOR DOCS: the generated tables are in the documents; prints what should stand there."""
import pathlib
import subprocess
import sys

aggregator, docs = sys.argv[1], pathlib.Path(sys.argv[2])
wrong = 0
for what, document in (("settings", "configuration.md"), ("stats", "operations.md"), ("access", "access.md")):
    table = subprocess.run([aggregator, "--document", what], capture_output=True, text=True, check=True).stdout
    if table not in (docs / document).read_text():
        print(f"docs/{document} lacks the table that `poise-aggregator --document {what}` prints:\n{table}")
        wrong += 1
sys.exit(1 if wrong else 0)
