"""Few records to many: what is asked, what is kept, and texts that say nearly the same."""

import random
from itertools import pairwise

import pytest
from scripted_teacher import Scripted
from stillroom.errors import ConfigError, DataError, EmptyDataError
from stillroom.labeling.batch.label_run import LabelSettings
from stillroom.labeling.tasks.duplicates import SeenTexts, words_of
from stillroom.labeling.tasks.new_examples import ExpansionPlan, expand_records

SEEDS = [
    {"id": str(n), "question": f"What is the symbol of {metal}?", "answer": symbol}
    for n, (metal, symbol) in enumerate([("gold", "Au"), ("silver", "Ag"), ("tin", "Sn")])
]
FAST = LabelSettings(backoff_s=0.001)


def new(prompt, number):
    return f"<answer>Question {random.Random(prompt + str(number)).random()}?</answer>"


def test_records_grow_to_the_target(tmp_path):
    teacher = Scripted(new)
    grown = expand_records(SEEDS, teacher, tmp_path, ExpansionPlan(target=30), settings=FAST)
    assert len(grown.records) == 30
    assert grown.records[:3] == SEEDS
    assert grown.new == 27
    assert grown.methods == {"instruction": 9, "paraphrase": 9, "persona": 9}
    assert len({record["id"] for record in grown.records}) == 30
    for record in grown.records[3:]:
        method = record["origin"]["method"]
        assert ("answer" in record) == (method == "paraphrase")
        if method == "paraphrase":
            parent = SEEDS[int(record["origin"]["parent"])]
            assert record["answer"] == parent["answer"]
        assert ("persona" in record["origin"]) == (method == "persona")
    asked = "".join(teacher.asked)
    assert all(seed["question"] in asked for seed in SEEDS)
    assert teacher.profiles[0].temperature > 0.0


def test_an_interrupted_expansion_goes_on_without_asking_again(tmp_path):
    plan = ExpansionPlan(target=30)
    whole = expand_records(SEEDS, Scripted(new), tmp_path, plan, settings=FAST)
    again = Scripted(new)
    assert expand_records(SEEDS, again, tmp_path, plan, settings=FAST).records == whole.records
    assert again.asked == []


def test_duplicates_are_left_out_and_asked_for_again(tmp_path):
    said = ["what is the SYMBOL of gold", "Which letters stand for lead?", "Name a noble gas!"]
    teacher = Scripted(lambda prompt, number: f"<answer>{said[number % 3]}</answer>")
    plan = ExpansionPlan(target=8, most_rounds=5)
    grown = expand_records([*SEEDS, SEEDS[0]], teacher, tmp_path, plan, settings=FAST)
    assert [record["question"] for record in grown.records[3:]] in (
        [said[1], said[2]], [said[2], said[1]],
    )  # fmt: skip
    assert grown.rounds == 2  # the second brought nothing new
    assert grown.duplicates == 1 + len(teacher.asked) - 2


def test_answers_without_the_tag_are_dead_letters(tmp_path):
    teacher = Scripted(lambda prompt, number: "Sure! What about lead?")
    grown = expand_records(SEEDS, teacher, tmp_path, ExpansionPlan(target=5), settings=FAST)
    assert (grown.new, grown.failed) == (0, 3)
    assert "no_answer_tag" in (tmp_path / "dead_letter.jsonl").read_text()


def test_what_cannot_be_expanded(tmp_path):
    plan = ExpansionPlan(target=5)
    with pytest.raises(EmptyDataError):
        expand_records([], Scripted(new), tmp_path, plan)
    with pytest.raises(DataError, match="one of"):
        expand_records([{"metal": "gold"}], Scripted(new), tmp_path, plan)
    with pytest.raises(DataError, match="row 2"):
        expand_records([SEEDS[0], {"question": " "}], Scripted(new), tmp_path, plan)
    with pytest.raises(ConfigError, match=r"target.*methods.*in_context"):
        ExpansionPlan(target=0, methods=("guess",), in_context=0)


def test_words_of_scripts_with_and_without_spaces():
    assert words_of("Grüße,  WELT!") == ["grüsse", "welt"]
    assert words_of("e\u0301t\u00e9") == ["été"]
    assert words_of("金はAuです") == ["金", "は", "au", "で", "す"]


def jaccard(a, b):
    def features(text):
        words = words_of(text)
        return set(words) | set(pairwise(words))

    a, b = features(a), features(b)
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("likeness", [0.5, 0.7, 0.9])
def test_near_duplicates_are_those_that_brute_force_finds(likeness):
    chance = random.Random(0)
    words = [f"w{n}" for n in range(30)]
    texts = [" ".join(chance.choices(words, k=chance.randint(3, 12))) for _ in range(150)]
    texts += [" ".join(chance.choices("abcdef", k=chance.randint(1, 5))) for _ in range(300)]
    for text in list(texts):
        changed = text.split()
        changed[chance.randrange(len(changed))] = chance.choice(words)
        texts.append(" ".join(changed))
    chance.shuffle(texts)
    seen, kept = SeenTexts(likeness), []
    for text in texts:
        near = [n for n, other in enumerate(kept) if jaccard(text, other) >= likeness - 1e-9]
        found = seen.add(text)
        assert found in near if near else found is None
        if not near:
            kept.append(text)
    assert len(seen) == len(kept) < len(texts)


def test_equal_words_are_the_same_at_any_likeness():
    seen = SeenTexts(1.0)
    assert seen.add("What is gold?") is None
    assert seen.add("what IS   gold") == 0
    assert seen.add("what is is gold") is None
    assert seen.add("?!") is None
    assert seen.add("?!") == 3 - 1
    with pytest.raises(ConfigError, match="likeness is 0"):
        SeenTexts(0)


def test_columns_of_the_table_stay_beside_the_origin(tmp_path):
    mark = {"teacher": "m", "prompt_hash": "x"}
    seeds = [{**seed, "label": "metal", "stillroom_label": mark} for seed in SEEDS]
    plan = ExpansionPlan(target=5, methods=("paraphrase",))
    for origin, ours in (("Peru", "stillroom_origin"), (None, "origin")):
        given = [{**seed, "origin": origin} if origin else seed for seed in seeds]
        folder = tmp_path / ours
        grown = expand_records(given, Scripted(new), folder, plan, settings=FAST)
        for record in grown.records[3:]:
            assert record["label"] == "metal"
            assert "stillroom_label" not in record
            assert record[ours]["method"] == "paraphrase"
            assert record.get("origin") == origin or ours == "origin"
        again = expand_records(grown.records, Scripted(new), folder / "more", plan, settings=FAST)
        assert again.records == grown.records
