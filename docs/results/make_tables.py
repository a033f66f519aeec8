"""Writes the result tables of README.md and the page docs/recipes.md from what the commands printed.

Run it after recording a result; ``--check`` says by its exit status whether all is up to date. Each ``NAME.json`` in
this folder is what ``lamina learn ... --json`` printed (or ``lamina bench rbm --json``); ``published.json`` gives the
order, the commands and the numbers of the literature. What ``lamina reproduce NAME --json`` printed lies beside the
recipe, as ``src/lamina/recipes/NAME/results.json``. Nothing is typed into a table.
"""

from __future__ import annotations

import ast
import json
import math
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
README = ROOT / "README.md"
RECIPES = ROOT / "src" / "lamina" / "recipes"
RECIPES_PAGE = ROOT / "docs" / "recipes.md"
DOCTOR_PAGE = ROOT / "docs" / "design" / "doctor.md"
RULES_PAGE = ROOT / "docs" / "tutorials" / "five-learning-rules.md"
PUBLISHED_ROWS = 3  # of a recipe, in README: the page of all recipes has every row


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


#: file → what is compared; the peer is the first contestant of each race
RACES = ("bench_mlp", "bench_som")


def race_table() -> str:
    """Lamina against a peer that does the same: time as a share of the peer's, and how good both end up."""
    lines = ["| race | contestant | time | errors (the peer's) |", "|---|---|---|---|"]
    for name in RACES:
        path = HERE / f"{name}.json"
        document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"batches": []}
        for batch in document["batches"]:
            peer, *ours = batch["rows"]
            for k, row in enumerate(ours):
                race = f"{document['what']}; {batch.get('title', '')}".rstrip("; ") if k == 0 else ""
                lines.append(f"| {race} | {row['name']} | {row['ratio']:.3f} × {peer['name']} | {errors(row, peer)} |")
    return "\n".join(lines)


def errors(row: dict, peer: dict) -> str:
    """Every measure whose name ends in "error", and the peer's in brackets."""
    names = [name for name in row if name.endswith("error")]
    return "; ".join(f"{name} {number(row[name])} ({number(peer[name])})" for name in names) or "–"


# recipes ------------------------------------------------------------------------------------------------------------


def constants(path: Path) -> dict:
    """The module's docstring and its constants that are plain values, without importing it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {"about": ast.get_docstring(tree) or ""}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def recipes() -> list[dict]:
    """Every recipe of the catalogue that is there: name, title, paper, about, recorded results or None."""
    found = []
    for name in constants(RECIPES / "catalogue.py")["NAMES"]:
        path = RECIPES / name / "recipe.py"
        if not path.is_file():
            continue
        about = constants(path)
        recorded = RECIPES / name / "results.json"
        results = json.loads(recorded.read_text(encoding="utf-8")) if recorded.is_file() else None
        found.append({"name": name, **about, "recorded": results})
    return found


def number(value: float | None, sd: float = 0.0) -> str:
    """As many decimals as show two digits of the deviation; without one, two from 10 on and three below."""
    if value is None:
        return "–"
    if sd > 0:
        decimals = min(max(1 - math.floor(math.log10(sd)), 0), 6)
        return f"{value:,.{decimals}f} ± {sd:.{decimals}f}".replace("-", "−")
    decimals = 2 if abs(value) >= 10 else 3
    words = f"{value:,.{decimals}f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.2g}"
    return (words.rstrip("0").rstrip(".") if "." in words and "e" not in words else words).replace("-", "−")


def published(row: dict) -> str:
    mark = " ᵐ" if row.get("read") == "memory" and row["published"] is not None else ""
    return number(row["published"]) + mark


def measured(row: dict) -> str:
    unit = f" {row['unit']}" if row["unit"] else ""
    return f"**{number(row['ours'], row['sd'])}**{unit}"


def recipes_table() -> str:
    """Of each recorded recipe the first rows that have a published number; recipes without any are on their page."""
    lines = ["| recipe | what | published | **Lamina** |", "|---|---|---|---|"]
    for recipe in recipes():
        results = recipe["recorded"]["results"] if recipe["recorded"] else []
        for k, row in enumerate([row for row in results if row["published"] is not None][:PUBLISHED_ROWS]):
            name = f"[{recipe['name']}](docs/recipes.md#{recipe['name']})" if k == 0 else ""
            lines.append(f"| {name} | {cell(row['what'])} | {published(row)} | {measured(row)} |")
    return "\n".join(lines)


def cell(words: str) -> str:
    return words.replace("|", "\\|")


PAGE_HEAD = """# Recipes

A recipe follows one paper end to end: `lamina reproduce NAME` trains, measures and prints the numbers of the paper
beside those measured here, names every deviation, and leaves a run folder with `report.html`. `--quick` is a small
version that shows in a minute or so that everything runs; it reproduces nothing. A run that was stopped goes on with
`--resume`. `lamina reproduce --list` prints this list.

Numbers after ± are standard deviations over seeds. ᵐ quoted from memory of the paper, not read in it. This page is made
by `docs/results/make_tables.py` from the recipes themselves and the `results.json` beside each.
"""


def recipes_page() -> str:
    """docs/recipes.md: every recipe with its paper, what is shown, the command, the numbers and the deviations."""
    return PAGE_HEAD + "".join(recipe_section(recipe) for recipe in recipes())


def recipe_section(recipe: dict) -> str:
    parts = [f"\n## {recipe['name']}\n", f"**{recipe['TITLE']}.** {recipe['PAPER']}\n", f"{recipe['about'].strip()}\n"]
    parts.append(f"```\nlamina reproduce {recipe['name']}\n```\n")
    recorded = recipe["recorded"]
    if recorded is None:
        return "\n".join([*parts, "No full run has been recorded yet.\n"])
    parts.append("| what | published | measured here |\n|---|---|---|")
    parts += [f"| {remarked(row)} | {published(row)} | {measured(row)} |" for row in recorded["results"]]
    seeds = ", ".join(map(str, recorded["seeds"])) or "none"
    machine = recorded["environment"]
    parts.append(
        f"\nSeeds {seeds}; {duration(recorded['seconds'])} on {machine['device']} "
        f"({machine['threads']} threads, torch {machine['torch']}).\n"
    )
    parts.append("Deviations from the paper:\n")
    parts += [f"- {words}" for words in recorded["deviations"]] or ["- none"]
    parts += ["", *(f"{words}\n" for words in recorded.get("notes", []))]
    return "\n".join(parts).rstrip() + "\n"


def remarked(row: dict) -> str:
    note = f" ({row['note']})" if row.get("note") else ""
    return cell(row["what"] + note)


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


# doctor -------------------------------------------------------------------------------------------------------------


def doctor_table() -> str:
    """The confusions of ``doctor.json`` (the memo ``confusion`` of the recipe ``doctor``): a row per sickness made on
    purpose, a column per name that came first, counts on the data set of the thresholds + counts on the judged ones."""
    path = HERE / "doctor.json"
    if not path.exists():
        return ""
    document = json.loads(path.read_text(encoding="utf-8"))
    tables = [document["setting"], document["judged"]]
    said = {name for table in tables for row in table.values() for name in row}
    columns = [name for name in document["names"] if name in said] + sorted(said - set(document["names"]))
    lines = ["| made \\ named | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in document["names"]:
        counts = [[table[name].get(column, 0) for table in tables] for column in columns]
        cells = [f"{first} + {second}" if first or second else "" for first, second in counts]
        marked = [f"**{c}**" if c and column == name else c for c, column in zip(cells, columns, strict=True)]
        lines.append(f"| {name} | {' | '.join(marked)} |")
    return "\n".join(lines)


# five rules ---------------------------------------------------------------------------------------------------------


def rules_table() -> str:
    """Test errors of ``five_learning_rules``: a row per rule, a column per number of training rows."""
    path = RECIPES / "five_learning_rules" / "results.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    columns: dict[str, dict[str, str]] = {}
    for row in rows:
        size, rule = row["what"].removeprefix("test error").removeprefix(" from ").split(", ", 1)
        columns.setdefault(size or "all 1,297 rows", {})[rule] = number(row["ours"], row["sd"])
    lines = ["| rule | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {rule} | {' | '.join(c[rule] for c in columns.values())} |" for rule in next(iter(columns.values()))]
    return "\n".join(lines)


# writing ------------------------------------------------------------------------------------------------------------


def filled(text: str) -> str:
    """README's text with all tables replaced."""
    for name, table in (
        ("learn", learn_table()),
        ("bench", bench_table()),
        ("race", race_table()),
        ("recipes", recipes_table()),
    ):
        text = with_table(text, name, table)
    return text


def with_table(text: str, name: str, table: str) -> str:
    """``text`` with what stands between the marks of the table ``name`` replaced."""
    begin, end = f"<!-- {name} table: begin -->", f"<!-- {name} table: end -->"
    before, rest = text.split(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"


def pages() -> dict[Path, str]:
    """Every page that holds a table, as it should be."""

    def read(path: Path) -> str:
        return path.read_text(encoding="utf-8")

    return {
        README: filled(read(README)),
        RECIPES_PAGE: recipes_page(),
        DOCTOR_PAGE: with_table(read(DOCTOR_PAGE), "doctor", doctor_table()),
        RULES_PAGE: with_table(read(RULES_PAGE), "rules", rules_table()),
    }


if __name__ == "__main__":
    made = pages()
    if "--check" in sys.argv:
        sys.exit(any(not page.is_file() or page.read_text(encoding="utf-8") != text for page, text in made.items()))
    for page, text in made.items():
        page.write_text(text, encoding="utf-8")
