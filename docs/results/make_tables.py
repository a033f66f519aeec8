"""Writes the result tables of README.md from the JSON that the commands printed. Run it after recording a result.

Each ``NAME.json`` in this folder is what ``lamina learn ... --json`` printed (or ``lamina bench rbm --json``);
``published.json`` gives the order, the commands and the numbers of the literature. Nothing is typed into a table.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent.parent / "README.md"


def percent(result: dict, repeats: int) -> str:
    mean = 100 * result["error_mean"]
    return f"{mean:.2f} ± {100 * result['error_sd']:.2f}" if repeats > 1 and result["error_sd"] else f"{mean:.2f}"


def learn_table() -> str:
    rows = json.loads((HERE / "published.json").read_text())["learn"]
    head = [
        "| data, labels | **Lamina** | frozen features | same network, no pre-training | logistic regression "
        "| PCA + SVM | published |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join(head + [learn_row(row) for row in rows if (HERE / f"{row['file']}.json").exists()])


def learn_row(row: dict) -> str:
    document = json.loads((HERE / f"{row['file']}.json").read_text())
    errors = {r["name"]: percent(r, document["repeats"]) for r in document["results"]}
    names = ("lamina", "frozen features", "without pre-training", "logistic regression", "pca + svm")
    cells = [errors.get(name, "–") for name in names]
    cells[0] = f"**{cells[0]}**"
    over = "draws" if document["n_labels"] < document["n_train"] else "seeds"
    title = f"{row['title']} ({document['repeats']} {over})" if document["repeats"] > 1 else row["title"]
    return f"| {title} | {' | '.join(cells)} | {row['published']} |"


def bench_table() -> str:
    path = HERE / "bench_rbm.json"
    if not path.exists():
        return ""
    batches = json.loads(path.read_text())["batches"]
    head = ["| one CD-1 step, 784-500 | " + " | ".join(f"batch {b['batch_size']}" for b in batches) + " |"]
    lines = [
        f"| {row['name']} | " + " | ".join(f"{b['rows'][k]['ratio']:.2f} ×" for b in batches) + " |"
        for k, row in enumerate(batches[0]["rows"])
    ]
    return "\n".join([*head, "|---" * (len(batches) + 1) + "|", *lines])


def filled(text: str) -> str:
    """README's text with both tables replaced."""
    for name, table in (("learn", learn_table()), ("bench", bench_table())):
        begin, end = f"<!-- {name} table: begin -->", f"<!-- {name} table: end -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"
    return text


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        sys.exit(filled(text) != text)
    README.write_text(filled(text), encoding="utf-8")
