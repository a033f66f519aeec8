"""Comparison, codes and interpolations drawn from records alone, and sentences that claim no more than they may."""

from __future__ import annotations

import json

import numpy as np
import pytest
from page_reader import PageReader
from safetensors.numpy import save_file

from lamina.core.errors import FileFormatError
from lamina.report import comparison_sentence, read_records, write_report
from lamina.report.codes import dead_words, small_histogram
from lamina.report.comparison import apart, comparison_figure


def result(layer, protocol, errors):
    name = protocol if layer is None else f"{layer}, {protocol}"
    sd = float(np.std(errors, ddof=1)) if len(errors) > 1 else 0.0
    mean = {"error_mean": float(np.mean(errors)), "error_sd": sd, "errors": errors, "seconds": 2.0}
    return {"name": name, "layer": layer, "protocol": protocol, "what": f"what {protocol} is", **mean}


FROZEN = {
    "rbm": [0.10, 0.12, 0.11],
    "denoising": [0.09, 0.12, 0.10],
    "sparse-coding": [0.20, 0.21, 0.22],
}


def document(frozen=None, repeats=3, baseline=(0.15, 0.14, 0.16)):
    frozen = FROZEN if frozen is None else frozen
    results = [result(layer, "frozen features", errors) for layer, errors in frozen.items()]
    results += [result(layer, "fine-tuned", [e - 0.02 for e in errors]) for layer, errors in frozen.items()]
    results.append(result(None, "pca + svm", list(baseline)[:repeats]))
    about = {"title": "a title", "units": 30, "dead": 1.5, "near_zero": 0.2, "hoyer": 0.4, "seconds": 3.0}
    compared = [{"layer": layer, **about, "error_train": 0.01, "error_test": 0.02} for layer in frozen]
    data = {"name": "rows", "n_train": 100, "n_labels": 20, "n_test": 50, "n_features": 4}
    return {
        "kind": "comparison",
        "title": "Kinds of layer on rows",
        "data": data,
        "repeats": repeats,
        "results": results,
        "compared": compared,
    }


def saved(folder, document, arrays=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "records.json").write_text(json.dumps(document), encoding="utf-8")
    if arrays:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "records.safetensors")
    return folder


def sentence(folder, document):
    return comparison_sentence(read_records(saved(folder, document)))


def test_a_difference_within_the_spread_is_said_to_be(tmp_path):
    words = sentence(tmp_path, document())
    assert words.startswith(
        "rows with 20 labels, 3 repeats. Frozen features: denoising has the lowest mean error, 10.3 ± 1.5 %"
    )
    assert "rbm is within the spread, sparse-coding beyond it." in words
    assert "Fine-tuned: denoising has the lowest mean error, 8.3 ± 1.5 %" in words
    assert words.endswith("The best baseline, pca + svm, errs on 15.0 %.")


def test_two_repeats_say_nothing_of_differences(tmp_path):
    two = {layer: errors[:2] for layer, errors in FROZEN.items()}
    words = sentence(tmp_path, document(two, repeats=2))
    assert words.count("too few repeats to say what chance would do") == 2
    assert "spread" not in words


def test_a_baseline_that_beats_every_kind_is_said_to(tmp_path):
    words = sentence(tmp_path, document(baseline=(0.02, 0.03, 0.025)))
    assert words.endswith("pca + svm, errs on 2.5 %, less than any kind of layer here.")


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"b": [0.11, 0.1, 0.1]}, "b is within the spread."),
        ({"b": [0.31, 0.3, 0.3]}, "b lies beyond the spread."),
        ({"b": [0.11, 0.1, 0.1], "c": [0.1, 0.11, 0.1]}, "the others are within the spread."),
        ({"b": [0.31, 0.3, 0.3], "c": [0.4, 0.41, 0.4]}, "all others lie beyond the spread."),
        ({"b": [0.11, 0.1, 0.1], "c": [0.4, 0.4, 0.4]}, "b is within the spread, c beyond it."),
        ({}, "a errs on 10.0 ± 1.0 % of the test rows."),
    ],
)
def test_near_and_far(tmp_path, others, words):
    assert words in sentence(tmp_path, document({"a": [0.09, 0.1, 0.11], **others}))


def test_differences_are_paired():
    """The same shift in every repeat is no chance, however much the repeats differ."""
    one, other = (result("a", "p", [0.1, 0.3, 0.5]), result("b", "p", [0.12, 0.32, 0.52]))
    assert apart(one, other)
    assert not apart(one, result("b", "p", [0.05, 0.35, 0.57]))
    assert not apart(one, result("b", "p", [0.12, 0.32]))
    assert not apart(one, result("b", "p", [0.1, 0.3, 0.5]))


def test_the_page_shows_table_figure_and_baselines(tmp_path):
    page = write_report(saved(tmp_path, document())).read_text()
    assert PageReader(page).faults == []
    assert 'id="comparison"' in page
    assert 'id="results"' not in page
    for words in ("denoising", "10.3 ± 1.5", "pca + svm", "2 of 30", "0.40", "what pca + svm is"):
        assert words in page, words
    assert page.count("<b>10.3 ± 1.5</b>") == 1  # the lowest of its protocol


def test_a_name_with_marks_is_shown_and_not_obeyed(tmp_path):
    page = write_report(saved(tmp_path, document({"<b>x": [0.1, 0.2, 0.3]}))).read_text()
    assert "<b>x" not in page.replace("&lt;b&gt;x", "")


def test_every_kind_and_baseline_has_its_line():
    found = document()
    axes = comparison_figure(found["compared"], found["results"]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [*FROZEN, "pca + svm"]


def test_records_without_errors_still_make_a_page(tmp_path):
    found = document()
    for one in found["results"]:
        one.update(error_mean=None, error_sd=None, errors=[])
    assert "no errors were recorded" in sentence(tmp_path, found)
    assert write_report(tmp_path).is_file()


# codes, and what lies between rows ------------------------------------------------------------------------------------

CODE = {
    "layer": 1,
    "units": 40,
    "mean_activity": 0.123,
    "near_zero": 0.5,
    "hoyer": 0.61,
    "dead": 2,
    "error_train": 0.0123,
    "error_test": None,
    "histogram": {"low": -1.0, "high": 3.0, "shares": [0.25, 0.5, 0.25]},
}
STUDY = {"data": {"name": "rows", "n_features": 4, "shape": [1, 2, 2]}}


def test_codes_are_a_table_with_a_histogram_each(tmp_path):
    page = write_report(
        saved(tmp_path, {**STUDY, "codes": [CODE, {**CODE, "layer": 2, "error_test": 0.5}]})
    ).read_text()
    for words in ("1: 40 units", "0.61", "2 (5.0", "0.0123", "error, held out"):
        assert words in page, words
    assert page.count('class="bars"') == 2


def test_bars_are_as_many_as_shares_and_zero_is_marked():
    svg = small_histogram(CODE)
    assert svg.count("<rect") == 3
    assert 'd="M33.0 0V' in svg  # a quarter of the way from −1 to 3
    assert "<path" not in small_histogram({**CODE, "histogram": {"low": 0.0, "high": 1.0, "shares": [1.0]}})


@pytest.mark.parametrize(
    "histogram", [None, {}, {"low": 1, "high": 1, "shares": [1]}, {"low": 0, "high": 1, "shares": []}]
)
def test_a_histogram_that_was_not_kept(histogram):
    assert small_histogram({**CODE, "histogram": histogram}) == "–"


def test_dead_units_in_words():
    assert dead_words(2, 40) == "2 (5.0 %)"
    assert dead_words(0, 40) == "0"
    assert dead_words(None, 40) == "–"


@pytest.mark.parametrize("shape", [[1, 2, 2], [4]])
def test_lines_between_rows(tmp_path, shape):
    pairs = np.random.default_rng(0).random((3, 5, 4)).astype(np.float32)
    about = {"data": {"name": "rows", "n_features": 4, "shape": shape}}
    page = write_report(saved(tmp_path, about, {"interpolations": pairs})).read_text()
    assert 'id="interpolations"' in page
    assert page.count('class="cell"') == 15
    assert "3 steps" in page


def test_atoms_are_called_atoms(tmp_path):
    arrays = {"filters": np.random.default_rng(0).random((3, 4)).astype(np.float32)}
    page = write_report(saved(tmp_path / "a", {**STUDY, "layer": {"filters": "atoms"}}, arrays)).read_text()
    assert "the atom of one unit" in page
    page = write_report(saved(tmp_path / "b", STUDY, arrays)).read_text()
    assert "the weights from the input to one unit" in page


def test_interpolations_of_another_width_are_refused(tmp_path):
    pairs = np.zeros((3, 5, 6), np.float32)
    with pytest.raises(FileFormatError, match="'interpolations' has 6 columns"):
        read_records(saved(tmp_path, STUDY, {"interpolations": pairs}))


def test_the_summary_names_the_kind_of_layer(tmp_path):
    results = [{"name": "lamina", "error_mean": 0.1}]
    layer = {"kind": "denoising", "title": "denoising autoencoder"}
    found = {**STUDY, "data": {**STUDY["data"], "n_labels": 9}, "results": results}
    assert (
        "Lamina (layers: denoising autoencoder) errs"
        in write_report(saved(tmp_path / "a", {**found, "layer": layer})).read_text()
    )
    usual = {"kind": "rbm", "title": "restricted Boltzmann machine"}
    assert "Lamina errs" in write_report(saved(tmp_path / "b", {**found, "layer": usual})).read_text()
