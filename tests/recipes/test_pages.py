"""The documents about recipes are made of the recipes themselves and of what was recorded."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from lamina.recipes.catalogue import NAMES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tables():
    spec = importlib.util.spec_from_file_location("make_tables", ROOT / "docs/results/make_tables.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


@pytest.fixture
def invented(tables, tmp_path, monkeypatch):
    """Two recipes that exist nowhere, one of them with recorded results."""
    (tmp_path / "catalogue.py").write_text('NAMES = ("one1985", "two1986", "missing1987")\n')
    for name in ("one1985", "two1986"):
        (tmp_path / name).mkdir()
        text = f'"""What {name} shows.\n\nAt length."""\nTITLE = "Title | of {name}"\nPAPER = "A. Nobody"\nimport os\n'
        (tmp_path / name / "recipe.py").write_text(text)
    rows = [
        {"what": "a | b", "published": -86.34, "ours": -86.2071, "sd": 0.31, "unit": "nats", "read": "memory"},
        {"what": "c", "published": None, "ours": 60000.0, "sd": 0.0, "unit": "", "note": "all"},
    ]
    document = {"results": rows, "deviations": ["half the epochs"], "seeds": [0, 1], "seconds": 4000.0}
    document["environment"] = {"device": "cpu", "threads": 2, "torch": "2.6"}
    (tmp_path / "one1985" / "results.json").write_text(json.dumps(document))
    monkeypatch.setattr(tables, "RECIPES", tmp_path)
    return tables


def test_the_table_shows_published_beside_measured(invented):
    assert invented.recipes_table().splitlines()[2:] == [
        "| [one1985](docs/recipes.md#one1985) | a \\| b | −86.34 ᵐ | **−86.21 ± 0.31** nats |"
    ]


def test_the_page_tells_of_every_recipe(invented):
    page = invented.recipes_page()
    assert page.count("\n## ") == 2
    assert "lamina reproduce two1986" in page
    assert "No full run has been recorded yet." in page
    assert "What one1985 shows.\n\nAt length." in page
    assert "| c (all) | – | **60,000** |" in page
    assert "- half the epochs" in page
    assert "Seeds 0, 1; 1 h 07 min on cpu (2 threads, torch 2.6)." in page


@pytest.mark.parametrize(
    ("value", "sd", "words"),
    [
        (-86.34, 0.0, "−86.34"),
        (1.2, 0.0, "1.2"),
        (0.00012, 0.0, "0.00012"),
        (12345.0, 0.0, "12,345"),
        (1.268, 0.043, "1.268 ± 0.043"),
        (None, 0.0, "–"),
    ],
)
def test_numbers(tables, value, sd, words):
    assert tables.number(value, sd) == words


def test_the_real_page_has_every_recipe():
    page = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"\n## {name}\n" in page, f"run docs/results/make_tables.py: {name} is missing"
