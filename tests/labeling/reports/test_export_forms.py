from __future__ import annotations

import pytest
from stillroom.errors import ConfigError, DataError
from stillroom.labeling.reports.export_forms import FORM_NAMES, Exporter, ExportFields

RECORD = {"sample_id": "r1", "instruction": "Count.", "input": "a b", "generation": "2",
          "chosen": "2", "rejected": "3", "chosen_score": 0.9, "rejected_score": None}  # fmt: skip


@pytest.mark.parametrize(
    ("form", "fields", "expected"),
    [
        ("alpaca", {}, {"instruction": "Count.", "input": "a b", "output": "2"}),
        ("alpaca", {"input_field": None, "system_prompt": "Be short."},
         {"instruction": "Count.", "input": "", "output": "2", "system": "Be short."}),
        ("messages", {}, {"messages": [{"role": "user", "content": "Count."},
                                       {"role": "assistant", "content": "2"}]}),
        ("mlx", {"system_prompt": "S", "metadata_fields": ("sample_id", "absent")},
         {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Count."},
                       {"role": "assistant", "content": "2"}], "metadata": {"sample_id": "r1"}}),
        ("sharegpt", {"system_prompt": "S"},
         {"conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "Count."},
                            {"from": "gpt", "value": "2"}]}),
        ("dpo", {}, {"prompt": "Count.", "chosen": "2", "rejected": "3", "chosen_score": 0.9}),
        ("messages", {"prompt_template": "Q: {{ instruction }} {{ input }}"},
         {"messages": [{"role": "user", "content": "Q: Count. a b"},
                       {"role": "assistant", "content": "2"}]}),
    ],
)  # fmt: skip
def test_each_form_has_its_fields(form, fields, expected):
    assert Exporter(form, ExportFields(**fields)).export(RECORD) == expected


@pytest.mark.parametrize("form", FORM_NAMES)
@pytest.mark.parametrize("prompt", [{}, {"instruction": None}, {"instruction": " "}])
def test_a_record_without_its_prompt_is_an_error_that_names_it(form, prompt):
    # contracts.md 10, row 21: the peer trains an empty text.
    record = {k: v for k, v in RECORD.items() if k != "instruction"} | prompt
    with pytest.raises(DataError, match=r"record 'r1': .*(undefined|null|blank)"):
        Exporter(form, ExportFields()).export(record)


@pytest.mark.parametrize("answer", [None, "", " \n", float("nan"), ["a"], True])
def test_a_record_without_an_answer_is_an_error(answer):
    for form, field in (("messages", "generation"), ("alpaca", "generation"), ("dpo", "rejected")):
        with pytest.raises(DataError, match=f"record 'r1': .*{field}"):
            Exporter(form, ExportFields()).export({**RECORD, field: answer})


def test_a_records_own_system_prompt_goes_first_and_chosen_may_be_turns():
    fields = ExportFields(system_prompt="S", system_prompt_field="own")
    turns = [{"role": "assistant", "content": "2"}]
    for own, expected in (("O", "O"), (None, "S")):
        found = Exporter("messages", fields).export({**RECORD, "own": own})
        assert found["messages"][0] == {"role": "system", "content": expected}
    assert Exporter("dpo", fields).export({**RECORD, "chosen": turns})["chosen"] == turns


def test_an_unknown_form_is_refused():
    with pytest.raises(ConfigError, match="form is 'csv'; allowed are alpaca"):
        Exporter("csv", ExportFields())
