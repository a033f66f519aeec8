"""The section of the report that the doctor writes."""

from __future__ import annotations

import copy

import pytest
from synthetic_runs import save_run

from lamina.core.errors import FileFormatError
from lamina.report.page import page
from lamina.report.records import read_records

FINDING = {
    "name": "vanishing gradients",
    "stage": "fine-tuning",
    "evidence": ["layer 1 of 7 gets 2e-05 of the gradient", "a <b>"],
    "remedy": "Use rectified units.",
    "options": [{"python": 'MLP(activation="relu")', "command": ""}, {"python": "", "command": "--hidden"}],
    "score": 0.91,
    "because": "",
}
EFFECT = {**FINDING, "name": "too small a network", "score": 0.3, "because": "vanishing gradients", "options": []}
SICK = {"name": "fine-tuning", "verdict": "vanishing gradients", "findings": [FINDING, EFFECT], "symptoms": {}}
WELL = {"name": "layer 1", "verdict": "healthy", "findings": [], "symptoms": {"epochs": 20}}
SHORT = {"name": "layer 2", "verdict": "too little to go by", "findings": [], "symptoms": {}}


def written(tmp_path, stages) -> str:
    diagnosis = {"verdict": "", "stages": copy.deepcopy(stages)}
    return page(read_records(save_run(tmp_path, {"data": {"name": "rows"}, "diagnosis": diagnosis})))


def test_a_sick_stage_shows_evidence_remedy_and_options_and_its_effect_below(tmp_path):
    html = written(tmp_path, [WELL, SICK])
    assert '<h2 id="diagnosis">Diagnosis</h2>' in html
    assert "The curves of 2 stages of training were read." in html
    assert "1 stage looked healthy." in html
    assert "<li>layer 1 of 7 gets 2e-05 of the gradient</li>" in html
    assert "a &lt;b&gt;" in html
    assert "<code>MLP(activation=&quot;relu&quot;)</code>, <code>--hidden</code>" in html
    assert html.index("score 0.91") < html.index("an effect of vanishing gradients")
    assert "<h3>layer 1</h3>" not in html


def test_where_all_is_well_one_sentence_says_so(tmp_path):
    html = written(tmp_path, [WELL, SHORT])
    assert "Nothing wrong was seen. 1 stage had too few epochs to go by." in html
    assert 'class="sick"' not in html
    assert "They are too short to go by." in written(tmp_path, [SHORT])


def test_without_a_diagnosis_there_is_no_section(tmp_path):
    assert "Diagnosis" not in written(tmp_path, [])
    records = read_records(save_run(tmp_path, {"data": {"name": "rows"}}))
    assert "Diagnosis" not in page(records)


def test_of_many_sick_stages_the_clearest_are_shown(tmp_path):
    stages = [{**SICK, "name": f"stage {k}", "findings": [{**FINDING, "score": k / 20}]} for k in range(12)]
    html = written(tmp_path, stages)
    assert "The 8 clearest of 12 are shown." in html
    assert "<h3>stage 11</h3>" in html
    assert "<h3>stage 3</h3>" not in html


@pytest.mark.parametrize(
    "part",
    [[], {"stages": {}}, {"stages": [3]}, {"stages": [{"name": "a"}]}, {"stages": [{**SICK, "findings": [{}]}]}],
)
def test_an_altered_part_is_refused(tmp_path, part):
    with pytest.raises(FileFormatError, match="diagnosis"):
        read_records(save_run(tmp_path, {"data": {"name": "rows"}, "diagnosis": part}))
