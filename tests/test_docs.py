"""The documents say what is so: tables come from recorded results, links lead somewhere, equations are numbered."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_tables_of_the_readme_are_those_of_the_recorded_results():
    done = subprocess.run([sys.executable, ROOT / "docs/results/make_tables.py", "--check"], check=False)
    assert done.returncode == 0, "run docs/results/make_tables.py"


def test_the_table_has_a_row_for_every_recorded_result():
    found = {p.stem for p in (ROOT / "docs/results").glob("*.json")} - {"published", "doctor"}
    recorded = {name for name in found if not name.startswith("bench_")}
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("<!-- learn table: begin -->")[1]
    table = table.split("<!-- learn table: end -->")[0]
    assert table.count("\n| ") == len(recorded) + 1  # and the heading


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


def test_every_equation_cited_in_the_code_exists():
    numbers = set(re.findall(r"\\tag\{(\d+)\}", (ROOT / "docs/mathematics.md").read_text(encoding="utf-8")))
    cited = set()
    for path in (ROOT / "src").rglob("*.py"):
        cited |= set(re.findall(r"mathematics\.md, eq\. (\d+)", path.read_text(encoding="utf-8")))
    assert cited
    assert cited <= numbers


def test_every_document_cited_in_the_code_exists():
    cited = set()
    for path in (ROOT / "src").rglob("*.py"):
        cited |= set(re.findall(r"docs/[a-z/-]+\.md", path.read_text(encoding="utf-8")))
    assert cited
    assert not [name for name in cited if not (ROOT / name).is_file()]
