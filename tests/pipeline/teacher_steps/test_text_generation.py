"""`TextGeneration`: what it adds, what it asks, what becomes of rows that fail."""

import json
import pickle

import pytest
from batch_server import serving_batches
from stillroom.errors import ConfigError, DataError, LabelingStoppedError
from stillroom.files import read_json_lines
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.labeling.reports.token_statistics import token_statistics
from stillroom.pipeline.records.teacher_steps.llms import OpenAILLM, ScriptedLLM
from stillroom.pipeline.records.teacher_steps.text_generation import TextGeneration


def rows(count):
    return [{"task_id": f"t{n}", "instruction": f"ask {n}"} for n in range(count)]


def echo(prompt):
    return f"to {prompt}"


def counts(record):
    """Count the generations that have statistics."""
    return sum(generations for *_, generations in token_statistics(record))


def step(tmp_path, llm, **fields):
    return TextGeneration(name="teacher", llm=llm, cache_dir=str(tmp_path / "cache"), **fields)


def served(server, **fields):
    return OpenAILLM(model="tiny", base_url=server.base_url, gateway=fields or None)


def test_a_record_gets_its_answer_its_model_and_its_tokens(tmp_path):
    made = list(step(tmp_path, ScriptedLLM(replies=echo)).process(rows(1)))
    assert made == [[{
        "task_id": "t0", "instruction": "ask 0", "generation": "to ask 0", "model_name": "scripted",
        "metadata": {
            "statistics_teacher": {"input_tokens": [2], "output_tokens": [3]},
            "raw_output_teacher": "to ask 0",
            "raw_input_teacher": [{"role": "user", "content": "ask 0"}],
        },
    }]]  # fmt: skip
    assert list(token_statistics(made[0][0])) == [("teacher", 2, 3, 1)]


def test_raw_texts_can_be_left_out_and_other_metadata_stays(tmp_path):
    one = {**rows(1)[0], "metadata": {"source": "book"}}
    bare = step(tmp_path, ScriptedLLM(replies=echo), add_raw_output=False, add_raw_input=False)
    ((record,),) = bare.process([one])
    assert sorted(record["metadata"]) == ["source", "statistics_teacher"]
    assert one["metadata"] == {"source": "book"}


def test_several_answers_are_rows_or_a_list(tmp_path):
    asked = []

    def numbered(prompt):
        asked.append(prompt)
        return f"answer {len(asked)}"

    llm = ScriptedLLM(replies=numbered, generation_kwargs={"temperature": 0.7})
    each = step(tmp_path, llm, num_generations=3)
    output = each.run_rows(rows(2))
    assert [place for (place,) in output.parents] == [0, 0, 0, 1, 1, 1]
    assert len({record["generation"] for record in output.records}) == 6
    assert {counts(record) for record in output.records} == {1}
    each.unload()
    grouped = step(tmp_path, llm, num_generations=3, group_generations=True)
    together = grouped.run_rows(rows(2))
    grouped.unload()
    assert [len(record["generation"]) for record in together.records] == [3, 3]
    assert together.records[0]["generation"] == [r["generation"] for r in output.records[:3]]
    assert [counts(record) for record in together.records] == [3, 3]
    assert len(asked) == 6, "the second step found the answers of the first"


def test_the_system_prompt_is_the_records_own_where_it_has_one(tmp_path):
    model = ScriptedModel(echo)
    generation = step(
        tmp_path, model, system_prompt="Return SQL only.", columns=["schema", "instruction"],
        template="Schema: {{ schema }}\nQuestion: {{ instruction }}\nSQL:",
    )  # fmt: skip
    asked = [
        {"schema": "users(id)", "instruction": "Count."},
        {"schema": "users(id)", "instruction": "Count.", "system_prompt": "Be brief."},
    ]
    ((first, second),) = generation.process(asked)
    told = [r["metadata"]["raw_input_teacher"] for r in (first, second)]
    user = {"role": "user", "content": "Schema: users(id)\nQuestion: Count.\nSQL:"}
    assert told == [
        [{"role": "system", "content": "Return SQL only."}, user],
        [{"role": "system", "content": "Be brief."}, user],
    ]


def test_an_undefined_variable_is_an_error_with_the_records_id(tmp_path):
    generation = step(tmp_path, ScriptedLLM(replies=echo))
    poisonous = [*rows(2), {"task_id": "t2", "instruction": None}, {"task_id": "t3"}]
    with pytest.raises(DataError, match="record 't2': a template variable is null"):
        list(generation.process(poisonous))
    output = generation.run_rows(poisonous)
    generation.unload()
    assert [record["task_id"] for record in output.records] == ["t0", "t1"]
    null, missing = output.dead
    assert (null.place, missing.place) == (2, 3)
    assert null.reason.startswith("a template variable is null")
    assert null.reason.endswith(": ['instruction']")
    assert missing.reason == "undefined template variable: 'instruction' is undefined"
    assert not output.missing(4)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"template": "{{ schema }}"}, "uses .'schema'.; columns are .'instruction'."),
        ({"template": "{{ instruction"}, "template, line 1"),
        ({"num_generations": 0}, "num_generations is 0"),
        ({"decode_profile": "wild"}, "decode_profile is 'wild'"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(tmp_path, fields, told):
    with pytest.raises(ConfigError, match=told):
        step(tmp_path, ScriptedLLM(replies=echo), **fields)


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [(" ", "the prompt is empty"), ("half \ud83d", "the prompt holds half a surrogate pair")],
)
def test_a_prompt_that_cannot_be_sent_costs_one_row(tmp_path, instruction, reason):
    generation = step(tmp_path, ScriptedLLM(replies=echo))
    output = generation.run_rows([{"instruction": instruction}, *rows(1)])
    generation.unload()
    assert [loss.reason for loss in output.dead] == [reason]
    assert len(output.records) == 1


def test_what_was_answered_is_asked_by_no_later_run(tmp_path, serve):
    server = serve()
    for _ in range(2):
        first = step(tmp_path, served(server))
        output = first.run_rows(rows(20))
        first.unload()
        assert len(output.records) == 20
    assert server.asked.total() == 20
    other = step(tmp_path, served(server), template="Say: {{ instruction }}")
    other.run_rows(rows(2))
    other.unload()
    assert server.asked.total() == 22


def test_a_failed_row_is_dead_for_its_kind_of_fault_until_the_next_run(tmp_path, serve):
    server = serve(stubborn=frozenset({"ask 3"}))
    fields = {"max_attempts": 2}
    generation = step(tmp_path, served(server, **fields))
    output = generation.run_rows(rows(6))
    assert [(loss.place, loss.reason) for loss in output.dead] == [(3, "llm_api_error")]
    assert "injected 500" in output.dead[0].record["metadata"]["fault_teacher"]
    assert len(output.records) == 5
    assert not output.missing(6)
    again = generation.run_rows(rows(6))
    assert (again.dead, again.records) == (output.dead, output.records)
    assert server.asked["ask 3"] == 2
    generation.unload()
    server.stubborn = frozenset()
    healed = step(tmp_path, served(server, **fields))
    assert len(healed.run_rows(rows(6)).records) == 6
    healed.unload()
    assert server.asked.total() == 8


def test_a_row_that_was_lost_to_its_own_answer_is_asked_again_if_that_is_wanted(tmp_path, serve):
    server = serve(answer=lambda prompt: "")
    for retry, calls in ((False, 1), (False, 1), (True, 2)):
        generation = step(tmp_path, served(server), retry_failed=retry)
        assert [loss.reason for loss in generation.run_rows(rows(1)).dead] == ["empty_response"]
        generation.unload()
        assert server.asked["ask 0"] == calls


@pytest.mark.parametrize(("temperature", "calls"), [(0.0, 1), (0.5, 2)])
def test_an_empty_answer_is_asked_again_only_if_it_may_differ(tmp_path, serve, temperature, calls):
    server = serve(answer=lambda prompt: "" if prompt == "ask 1" else prompt)
    llm = OpenAILLM(
        model="tiny", base_url=server.base_url, generation_kwargs={"temperature": temperature}
    )
    generation = step(tmp_path, llm)
    output = generation.run_rows(rows(3))
    generation.unload()
    assert [(loss.place, loss.reason) for loss in output.dead] == [(1, "empty_response")]
    assert server.asked["ask 1"] == calls


def test_a_dead_server_stops_the_run_and_kills_no_row(tmp_path, serve):
    server = serve()
    away = OpenAILLM(model="tiny", base_url="http://127.0.0.1:9/v1", gateway={"max_attempts": 1})
    generation = step(tmp_path, away, input_batch_size=3)
    small = [rows(30)[start : start + 3] for start in range(0, 30, 3)]

    def ask_all():
        for batch in small:
            generation.run_rows(batch)

    with pytest.raises(LabelingStoppedError, match="same_fault"):
        ask_all()
    generation.unload()
    back = step(tmp_path, served(server), input_batch_size=3)
    outputs = [back.run_rows(batch) for batch in small]
    back.unload()
    assert sum(len(output.records) for output in outputs) == 30
    assert not any(output.dead for output in outputs)


def test_a_used_up_budget_stops_the_run_and_a_larger_one_continues_it(tmp_path, serve):
    server = serve()
    paid = {"prices": {"prompt": 1e6, "completion": 1e6}, "max_concurrency": 1}
    poor = step(tmp_path, served(server, **paid, budget=2000), add_raw_input=False)
    with pytest.raises(LabelingStoppedError, match="budget"):
        poor.run_rows(rows(100))
    poor.unload()
    asked = server.asked.total()
    assert 0 < asked < 100
    rich = step(tmp_path, served(server, **paid, budget=1e6))
    output = rich.run_rows(rows(100))
    rich.unload()
    assert len(output.records) == 100
    assert server.asked.total() == 100


def test_a_refused_key_stops_the_run(tmp_path):
    class RefusedError(Exception):
        status_code = 401

    def refuse(prompt):
        raise RefusedError("no such key")

    generation = step(tmp_path, ScriptedModel(refuse))
    with pytest.raises(LabelingStoppedError, match="auth_error"):
        generation.run_rows(rows(3))
    generation.unload()
    healed = step(tmp_path, ScriptedModel(echo))
    assert len(healed.run_rows(rows(3)).records) == 3
    healed.unload()


def test_the_batch_endpoint_gives_the_same_records_at_half_the_price(tmp_path, serve):
    prices = {"prices": {"prompt": 1e6, "completion": 1e6}}
    single = step(tmp_path / "single", served(serve(), **prices))
    expected = single.run_rows(rows(7)).records
    single.unload()
    with serving_batches() as provider:
        for fields in ({"batch_endpoint": {"poll_s": 0.01}}, {}):
            in_batches = step(tmp_path / "batch", served(provider, **prices), **fields)
            assert in_batches.run_rows(rows(7)).records == expected
            spent = in_batches.calls().journal.ledger.known
            in_batches.unload()
        assert (len(provider.batches), provider.asked.total(), spent) == (1, 7, 7 * 15)
    assert step(tmp_path, served(provider), batch_endpoint=True).input_batch_size == 50_000
    setting = OpenAILLM(model="tiny", base_url="http://x/v1", use_offline_batch_generation=True)
    assert step(tmp_path, setting).input_batch_size == 50_000
    with pytest.raises(ConfigError, match="nearest known key is 'poll_s'"):
        step(tmp_path, served(provider), batch_endpoint={"pol_s": 3})


def test_nothing_about_time_is_in_the_records(tmp_path, serve):
    made = []
    server = serve(latency_s=0.01)
    for cache in ("one", "one", "two"):
        generation = step(tmp_path / cache, served(server))
        made.append(json.dumps(generation.run_rows(rows(5)).records))
        generation.unload()
    assert made[0] == made[1] == made[2]


def test_two_steps_of_a_process_share_a_folder(tmp_path):
    first, second = (step(tmp_path, ScriptedLLM(replies=echo)) for _ in range(2))
    first.load()
    second.load()
    first.run_rows(rows(3))
    first.unload()
    assert len(second.run_rows(rows(3)).records) == 3
    second.unload()
    (calls,) = tmp_path.rglob("calls.jsonl")
    assert sum(line["t"] == "sent" for line in read_json_lines(calls)) == 3


def test_the_reasoning_is_in_the_raw_output_alone(tmp_path):
    llm = ScriptedLLM(replies=lambda prompt: f"<think>\nHm.\n</think>\n\n{prompt}")
    ((record,),) = step(tmp_path, llm).process(rows(1))
    assert record["generation"] == "ask 0"
    assert record["metadata"]["raw_output_teacher"] == "<think>\nHm.\n</think>\n\nask 0"


def test_columns_can_be_mapped(tmp_path):
    mapped = step(
        tmp_path, ScriptedLLM(replies=echo), input_mappings={"instruction": "question"},
        output_mappings={"generation": "answer"},
    )  # fmt: skip
    output = mapped.run_rows([{"question": "Why?"}])
    mapped.unload()
    assert sorted(output.records[0]) == ["answer", "metadata", "model_name", "question"]


def test_a_step_can_be_sent_to_a_worker(tmp_path):
    generation = step(tmp_path, OpenAILLM(model="tiny", base_url="http://127.0.0.1:9/v1"))
    generation.load()
    copy = pickle.loads(pickle.dumps(generation))
    assert copy.template == generation.template
    assert copy.settings().keys() == generation.settings().keys()
    generation.unload()


def test_a_pilot_tells_the_price_and_the_time_of_all_rows(tmp_path, serve):
    server = serve(latency_s=0.02)
    gateway = {"prices": {"prompt": 1.0, "completion": 2.0}, "max_concurrency": 4}
    generation = step(tmp_path, served(server, **gateway))
    records = generation.run_rows(rows(12)).records
    generation.unload()
    told = generation.estimate(records, 1000)
    assert (told.pilot_rows, told.rows) == (12, 1000)
    assert told.cost == pytest.approx(1000 * (20 * 1.0 + 10 * 2.0) / 1e6)
    low, high = told.seconds_interval
    assert 5 <= low <= told.seconds <= high < 100
    assert "1,000 rows, from a pilot of 12: 30,000 tokens, cost 0.04" in str(told)
