"""The page as a browser and a reader meet it: well-formed, self-contained, honest, the same every time."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from page_reader import PageReader
from synthetic_runs import RUNS, image_run, minimal_run, result, save_run, unlabelled_run

from lamina.report import read_records, summary_sentence, write_report


def drawn(folder: Path, document: dict, arrays: dict | None = None) -> tuple[str, PageReader]:
    """The report of a run, as text and as read."""
    page = write_report(save_run(folder, document, arrays)).read_text(encoding="utf-8")
    return page, PageReader(page)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, PageReader]]:
    folder = tmp_path_factory.mktemp("runs")
    return {name: drawn(folder / name, *make()) for name, make in RUNS.items()}


@pytest.mark.parametrize("name", RUNS)
def test_well_formed(pages, name):
    page, reader = pages[name]
    assert reader.faults == []
    assert len(reader.ids) == len(set(reader.ids))
    assert page.startswith("<!DOCTYPE html>\n<html lang=")
    assert [tag for tag, _ in reader.tags].count("h1") == 1
    metas = {attributes.get("name"): attributes.get("content") for tag, attributes in reader.tags if tag == "meta"}
    assert metas["viewport"] == "width=device-width, initial-scale=1"


@pytest.mark.parametrize("name", RUNS)
def test_self_contained(pages, name):
    page, reader = pages[name]
    assert "<script" not in page.lower()
    assert not re.search(r"\son\w+=", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))
    assert "http://" not in page
    assert "https://" not in page
    assert "@import" not in page
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in reader.addresses)
    assert all(address.startswith(("#", "data:")) for address in re.findall(r"url\(([^)]*)\)", page))


@pytest.mark.parametrize("name", RUNS)
def test_every_reference_has_its_target(pages, name):
    page, reader = pages[name]
    ids = set(reader.ids)
    referred = re.findall(r'href="#([^"]+)"', page) + re.findall(r"url\(#([^)]+)\)", page)
    for _, attributes in reader.tags:
        referred += (attributes.get("aria-labelledby") or "").split()
    assert set(referred) <= ids
    assert len(referred) > 0 or name == "minimal"


@pytest.mark.parametrize("name", RUNS)
def test_accessible(pages, name):
    _, reader = pages[name]
    assert all("alt" in attributes for tag, attributes in reader.tags if tag == "img")
    assert all("scope" in attributes for tag, attributes in reader.tags if tag == "th")
    for tag, attributes in reader.tags:
        if tag == "svg":
            assert attributes.keys() & {"aria-labelledby", "aria-label", "aria-hidden"}


def test_sections_in_reading_order(pages):
    assert pages["image"][1].headings == [
        "Warnings",
        "Results",
        "Error by number of labels",
        "The data",
        "First-layer filters",
        "Reconstructions",
        "Samples",
        "Map of the code",
        "Mistakes",
        "Learning",
        "How the method was chosen",
        "Time and memory",
        "Notes",
        "Settings and versions",
    ]
    assert pages["minimal"][1].headings == ["The data"]


def test_unlabelled_run_leaves_out_what_needs_labels(pages):
    reader = pages["unlabelled"][1]
    assert not {"Results", "Mistakes", "Error by number of labels"} & set(reader.headings)
    assert {"First-layer filters", "Samples", "Map of the code", "Learning"} <= set(reader.headings)
    assert "without any label" in reader.text


def test_figures_serve_light_and_dark(pages):
    page = pages["image"][0]
    figures = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert "currentColor" in figures
    assert "var(--method-0)" in figures
    # Nothing is painted white or black outright: it would vanish on one of the two pages.
    assert not re.search(r"(fill|stroke): #(f{6}|0{6})", figures)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_every_colour_variable_is_defined(pages):
    page = pages["image"][0]
    assert set(re.findall(r"var\((--[\w-]+)", page)) <= set(re.findall(r"(--[\w-]+):", page))


def test_images_have_one_tile_per_row(pages):
    alts = [attributes["alt"] for tag, attributes in pages["image"][1].tags if tag == "img"]
    assert alts.count("sample") == 9
    assert alts.count("row") == alts.count("its reconstruction") == 6
    assert sum(alt.startswith("weights of hidden unit") for alt in alts) == 20
    assert "test row of class zero taken for one" in alts
    assert not any(tag == "img" for tag, _ in pages["table"][1].tags)


def test_user_text_is_escaped_everywhere(tmp_path):
    nasty = "<b>&\"'$x_1$"
    document, arrays = image_run()
    document["title"] = document["command"] = document["data"]["name"] = document["data"]["source"] = nasty
    document["data"]["classes"] = [nasty, "二$a_1$", "three"]
    document["results"] = [result("lamina", [0.1]), result(nasty, [0.2]), result("</svg><script>", [0.3])]
    document["label_curve"] = [{"n_labels": 5, "results": [result(nasty, [0.2])]}]
    document["curves"][0]["name"] = nasty
    document["curves"][0]["series"] = {nasty: [1, 2, 3]}
    document["settings"] = {nasty: {nasty: nasty}}
    document["timing"] = [{"stage": nasty, "seconds": 1.0}]
    document["choice"] = [{"name": nasty, "cv_error": 0.1, "chosen": True}]
    document["notes"] = document["warnings"] = [nasty]
    document["captions"] = {"samples": nasty}
    page, reader = drawn(tmp_path, document, arrays)
    assert reader.faults == []
    # Our own <b> around a predicted class may stand before its escaped name, never the name's own.
    assert '<b>&"' not in page
    assert "<b>&amp;" not in page
    assert "<script" not in page
    assert nasty in reader.text
    assert ">二$a_1$</text>" in page


def test_same_records_give_same_bytes(tmp_path):
    document, arrays = image_run()
    first = write_report(save_run(tmp_path / "a", document, arrays)).read_bytes()
    code = (
        "import sys, matplotlib; matplotlib.rcParams['font.size'] = 30; matplotlib.rcParams['lines.marker'] = 'x';"
        "from lamina.report import write_report; write_report(sys.argv[1]);"
        "assert matplotlib.rcParams['font.size'] == 30;"
        "assert 'matplotlib.pyplot' not in sys.modules; assert 'torch' not in sys.modules"
    )
    folder = save_run(tmp_path / "b", document, arrays)
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(folder)], check=True)
    assert (folder / "report.html").read_bytes() == first


def test_mnist_like_run_stays_small(tmp_path):
    random = np.random.default_rng(0)
    document, arrays = image_run()
    document["data"].update(shape=[1, 28, 28], n_features=784)
    for name in ("examples", "reconstruction_input", "reconstruction_output", "samples", "mistakes"):
        arrays[name] = random.uniform(size=(500, 784)).astype(np.float32)
    arrays["filters"] = random.normal(size=(500, 784)).astype(np.float32)
    arrays["code_2d"] = random.normal(size=(10000, 2)).astype(np.float32)
    for name in ("example_labels", "mistake_true", "mistake_predicted"):
        arrays[name] = random.integers(0, 3, 500)
    arrays["code_labels"] = random.integers(0, 3, 10000)
    page, _ = drawn(tmp_path, document, arrays)
    assert len(page.encode()) < 3_000_000


def test_summary_with_labels(tmp_path):
    document, arrays = image_run()
    records = read_records(save_run(tmp_path, document, arrays))
    assert summary_sentence(records) == (
        "With 100 labels Lamina errs on 8.0 % of the test rows; the best baseline, pca + svm, on 20.3 %. "
        "Lamina errs less in each of the 3 draws."
    )


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (
            [result("lamina", [0.2, 0.25]), result("frozen features", [0.1, 0.1])],
            "Another use of the same layers, frozen features, does better: 10.0 %.",
        ),
        (
            [result("lamina", [0.2]), result("pca + svm", [0.2])],
            "errs on 20.0 % of the test rows, as does the best baseline, pca + svm.",
        ),
        (
            [result("lamina", [0.0104]), result("pca + svm", [0.014])],
            "errs on 1.04 % of the test rows; the best baseline, pca + svm, on 1.40 %.",
        ),
        ([result("lamina", [0.5])], "errs on 50.0 % of the test rows."),
    ],
)
def test_summary_of_other_outcomes(tmp_path, results, said):
    document, _ = minimal_run()
    document["results"] = results
    sentence = summary_sentence(read_records(save_run(tmp_path, document)))
    assert sentence.endswith(said)
    assert "worse" not in sentence


def test_summary_says_so_when_a_baseline_is_better(tmp_path):
    document, _ = minimal_run()
    document["data"].update(n_labels=300, n_train=300)
    document["results"] = [
        result("lamina", [0.22, 0.24]),
        result("knn", [0.3, 0.3]),
        result("pca + svm", [0.2, 0.25]),
    ]
    assert summary_sentence(read_records(save_run(tmp_path, document))) == (
        "With all 300 labels Lamina errs on 23.0 % of the test rows, worse than the best baseline, pca + svm, "
        "which errs on 22.5 %. Lamina errs less in 1 of the 2 draws."
    )


def test_summary_without_labels(tmp_path):
    document, _ = unlabelled_run()
    assert "60,000 rows of synthetic without any label" in summary_sentence(read_records(save_run(tmp_path, document)))


def test_result_that_failed_is_no_best_baseline(tmp_path):
    document, _ = minimal_run()
    failed = {"name": "knn", "error_mean": float("nan"), "error_sd": None, "seconds": None, "errors": []}
    document["results"] = [result("lamina", [0.3]), failed, result("pca + svm", [0.4])]
    page, reader = drawn(tmp_path, document)
    assert "pca + svm, on 40.0 %" in reader.text
    assert ["knn", "–", "–", "–"] in reader.rows
    assert not re.search(r"\bnan\b", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).lower())


def test_table_numbers(pages):
    rows = pages["image"][1].rows
    assert ["method", "error, % (mean ± s.d. over 3 draws)", "seconds"] in rows
    assert ["laminawhat lamina is", "8.0 ± 1.0", "123"] in rows
    assert ["logistic regressionwhat logistic regression is", "23.0 ± 1.0", "0.25"] in rows
    assert ["pca + svmwhat pca + svm is", "20.3 ± 0.6", "2,346"] in rows
    # The label curve is sorted by number of labels, whatever order it was saved in.
    assert rows.index(["10", "30.0", "60.0"]) < rows.index(["1,000", "4.0", "9.0"])
    assert ["label spreading", "12.0", "chosen"] in rows
    assert ["momentum · end", "0.9"] in rows
    assert ["seed", "7"] in rows


def test_own_row_is_emphasised(pages):
    page = pages["image"][0]
    own = re.findall(r'<tr class="own">.*?</tr>', page)
    assert len(own) == 2
    assert ">lamina<" in own[0]
    assert ">label spreading<" in own[1]
