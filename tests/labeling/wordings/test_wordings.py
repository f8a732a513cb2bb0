"""Wordings by frames and by a teacher: what is kept, what is refused and why."""

import re
import zlib

import pytest
from scripted_teacher import Scripted
from stillroom.errors import ConfigError
from stillroom.labeling.batch.label_run import LabelSettings
from stillroom.labeling.wordings.column_meaning import ColumnMeanings
from stillroom.labeling.wordings.column_values import value_forms
from stillroom.labeling.wordings.outcome import (
    DISAGREES,
    DUPLICATE,
    MANY,
    NO_TIME,
    OTHER_COLUMN,
    OTHER_KIND,
    STOPPED,
    UNKNOWN,
    WordingPlan,
    Wordings,
)
from stillroom.labeling.wordings.question_frames import CONDITION_FRAMES, KINDS, LABEL_FRAMES
from stillroom.labeling.wordings.wording_form import as_wording, form_fault, read_lines, says
from stillroom.labeling.wordings.write_wordings import write_wordings
from stillroom.tables import Column, FactTable, TableRow

FAST = LabelSettings(backoff_s=0.001, max_error_rate=None)
TEMPLATES = ("What is the {label} of {key}?", "Tell me the {label} of {key}.")
CELLS = {
    "Ranger": {"price": "24 EUR", "weight": "2 kg", "maker": "Holm"},
    "Badger": {"price": "18 EUR", "weight": "5 kg", "maker": "Bryce"},
    "Otter": {"price": "95 EUR", "weight": "7 kg", "maker": "Ferrum"},
    "Heron": {"price": "31 EUR", "weight": "1 kg", "maker": "Tarn"},
}
WORDS = {
    "price": "price cost costs expensive much money pay eur sold charge",
    "weight": "weight heavy weigh weighs kilos scales kg mass",
    "maker": "maker who makes made company firm manufacturer brand produces",
}


def make_table(columns=("price", "weight", "maker"), kind="facts"):
    return FactTable(
        source="tools.csv",
        kind=kind,
        key="tool",
        columns=tuple(
            Column(name, name, tuple(t.replace("{label}", name) for t in TEMPLATES))
            for name in columns
        ),
        rows=tuple(
            TableRow(
                number, key, {name: cells[name] for name in columns},
                dict.fromkeys(columns, f"tool is {key}") if kind == "rows" else {},
            )
            for number, (key, cells) in enumerate(CELLS.items(), 1)
        ),
    )  # fmt: skip


class WordEncoder:
    """Embeds a text as its words; words of one meaning share a direction."""

    def embed_documents(self, texts):
        means = {word: mean for mean, words in WORDS.items() for word in words.split()}
        vectors = []
        for text in texts:
            vector = [0.0] * 600
            for word in re.findall(r"[a-z]+", text.lower()):
                if word in means:
                    vector[list(WORDS).index(means[word])] += 3.0
                else:
                    vector[3 + zlib.crc32(word.encode()) % 597] += 0.3
            vectors.append(vector)
        return vectors


def knows(prompt, number):
    """Answer from the table, for whichever column the words of a question mean."""
    question = prompt.removeprefix("Question: ").removesuffix("\n\nAnswer:")
    key = next(key for key in CELLS if key in question)
    said = set(re.findall(r"[a-z]+", question.lower()))
    column = max(WORDS, key=lambda name: len(said & set(WORDS[name].split())))
    return CELLS[key][column]


def write(lines, about="price"):
    """Make a teacher that rewords the questions for one column by lines with `KEY`."""

    def answer(prompt, number):
        question = prompt[-1]["content"].rsplit("Question: ", 1)[1]
        key = next(key for key in CELLS if key in question)
        told = [line.replace("KEY", key) for line in lines] if about in question else ["None."]
        return "\n".join(told)

    return Scripted(answer)


@pytest.mark.parametrize(
    ("wording", "fault"),
    [
        ("How expensive is {key}?", None),
        ("Is {key} 95 EUR?", "it tells the answer"),
        ("What does it cost?", "the record is not named once"),
        ("Does {key} cost more than {key}?", "the record is not named once"),
        ("How heavy is {key}? And how dear?", "more than one question, or none"),
        ("I have a question. What is {key}?", "more than one question, or none"),
        ("The price of {key}.", "more than one question, or none"),
        ("In 1999, what did {key} cost?", "it holds a number of its own"),
        ("{key}?", "too short or too long"),
        ("What " + "really " * 40 + "is {key}?", "too short or too long"),
    ],
)
def test_the_form_of_a_wording(wording, fault):
    assert form_fault(wording, "95 EUR", "What is the price of {key}?") == fault


def test_a_number_of_the_question_may_stay():
    assert form_fault("How many points in 2019 for {key}?", "7", "Points in 2019 of {key}?") is None


@pytest.mark.parametrize(
    ("line", "key", "wording"),
    [
        ("How tall is the big ben?", "Big Ben", "How tall is the {key}?"),
        ("How tall is Ann's house?", "Ann", "How tall is {key}'s house?"),
        ("How tall is Annabel?", "Ann", "How tall is Annabel?"),
        ("How old is C++ (2)?", "C++ (2)", "How old is {key}?"),
        ("What {label} is X?", "X", "What (label) is {key}?"),
    ],
)
def test_the_record_is_found_in_a_teachers_line(line, key, wording):
    assert as_wording(line, key) == wording


def test_numbers_bullets_and_quotes_are_no_part_of_a_line():
    said = 'Here:\n1) "How big is X?"\n\n* **Q2: Is X big?**\n2 apples cost what?'
    assert read_lines(said) == ["Here:", "How big is X?", "Is X big?", "2 apples cost what?"]


@pytest.mark.parametrize(
    ("answer", "right"),
    [("red", True), ("Red.", True), ("It is red, I think", True), ("blue", False), ("", False),
     ("red or blue", False), ("dark red", False), ("reddish", False)],
)  # fmt: skip
def test_an_answer_says_one_value_of_the_column(answer, right):
    assert says(answer, "red", frozenset({"red", "blue", "dark red"})) == right


def test_an_answer_of_signs_alone_must_be_equal():
    assert says("+", "+")
    assert not says("-", "+")
    assert not says("", "+")


@pytest.mark.parametrize(
    ("cells", "forms"),
    [
        (["12.5 km", "3 km", "1,119 km"], {"number"}),
        (["EUR 12.50", "3.99 EUR each"], {"number"}),
        (["1988", "2003"], {"number", "date"}),
        (["2024-05-01", "1.5.2024", "May 1, 2024", "9:30", "1 May 2024"], {"date"}),
        (["9:00-17:00", "10:30-12:00"], {"date"}),
        (["yes", "No", "TRUE"], {"yes_no"}),
        (["RAL 7016 grey, matt", "blue"], {"words"}),
        (["3", "blue", "green"], {"words"}),
        ([], set()),
    ],
)
def test_how_cells_look(cells, forms):
    assert value_forms(cells) == forms


def test_frames_are_whole():
    named = [*LABEL_FRAMES, *CONDITION_FRAMES]
    unnamed = [frame for kind in KINDS for frame in kind.frames]
    for frame in [*named, *unnamed]:
        assert frame.count("{key}") == 1, frame
        assert set(re.findall(r"{\w*}?", frame)) <= {"{key}", "{label}"}, frame
    assert all(frame.count("{label}") == 1 for frame in named)
    folded = [frame.casefold() for frame in named]
    assert len(set(folded)) == len(folded)
    for kind in KINDS:
        assert len(set(kind.frames)) == len(kind.frames), kind.name
        assert kind.about
        assert all("{label}" not in frame for frame in kind.frames) or kind.values == ("yes_no",)
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_a_teachers_wordings_are_kept_or_refused_with_a_reason(tmp_path):
    writer = write([
        "1. How expensive is KEY?", "how expensive is KEY ?", "What is the price of KEY?",
        "How heavy is KEY?", "How expensive is it?", "How long is KEY?",
    ])  # fmt: skip
    found = write_wordings(
        make_table(), tmp_path, writer=writer, encoder=WordEncoder(),
        plan=WordingPlan(calls=1, frames=False), settings=FAST,
    )  # fmt: skip
    kept = [(one.wording, one.reason) for one in found.results if one.column == "price"]
    assert kept[:5] == [
        ("How expensive is {key}?", None),
        ("how expensive is {key} ?", DUPLICATE),
        ("What is the price of {key}?", DUPLICATE),
        ("How heavy is {key}?", OTHER_COLUMN),
        ("How expensive is it?", "the record is not named once"),
    ]
    assert kept[5][1] in (OTHER_COLUMN, OTHER_KIND)
    assert found.templates == {"price": ("How expensive is {key}?",)}


def test_a_writer_of_no_use_is_asked_once_per_column(tmp_path):
    writer = Scripted(lambda prompt, number: "Sure!\nHere it is.\nThe answer is 12.")
    found = write_wordings(
        make_table(), tmp_path, writer=writer, plan=WordingPlan(calls=9), settings=FAST
    )
    assert len(writer.asked) == found.calls["written"] == 3
    assert "0% of the teacher's own wordings were of use" in found.describe()
    good = write(["How expensive is KEY?"] * 3)
    write_wordings(
        make_table(("price",)), tmp_path / "good", writer=good, plan=WordingPlan(calls=9),
        settings=FAST,
    )  # fmt: skip
    assert len(good.asked) == 9


def test_without_an_encoder_frames_name_their_column(tmp_path):
    found = write_wordings(make_table(), tmp_path)
    assert {column: len(texts) for column, texts in found.templates.items()} == dict.fromkeys(
        ("price", "weight", "maker"), 40
    )
    for column, texts in found.templates.items():
        assert all(column in text.casefold() for text in texts)
        assert not set(texts) & {t.replace("{label}", column) for t in TEMPLATES}


def test_wordings_that_models_are_measured_on_stay_held_out(tmp_path):
    measured = {"price": ["how much does {key} COST", "What's {key}'s price?"]}
    found = write_wordings(
        make_table(), tmp_path, writer=write(["How much does KEY cost?"]), encoder=WordEncoder(),
        plan=WordingPlan(calls=1, wanted=200), measured=measured, settings=FAST,
    )  # fmt: skip
    texts = found.templates["price"]
    assert "What does {key} cost?" in texts
    assert not {"How much does {key} cost?", "What's {key}'s price?"} & set(texts)


def test_with_an_encoder_a_column_takes_the_frames_of_its_kind(tmp_path):
    found = write_wordings(make_table(), tmp_path, encoder=WordEncoder())
    assert "How much does {key} cost?" in found.templates["price"]
    assert "How heavy is {key}?" in found.templates["weight"]
    assert "Which company is behind {key}?" in found.templates["maker"]
    everything = [text for texts in found.templates.values() for text in texts]
    assert len(set(everything)) == len(everything)
    assert "How old is {key}?" not in everything


def test_a_column_of_yes_and_no_is_asked_for_without_an_encoder(tmp_path):
    rows = tuple(
        TableRow(i, key, {"portable": said})
        for i, (key, said) in enumerate([("Otter", "yes"), ("Heron", "no")], 1)
    )
    column = Column("portable", "portable", ("What is the portable of {key}?",))
    table = FactTable("tools.csv", "facts", "tool", (column,), rows)
    assert "Is {key} portable?" in write_wordings(table, tmp_path).templates["portable"]


def test_answers_decide_and_wrong_ones_end_the_asking(tmp_path):
    writer = write(["How expensive is KEY?", "Who bakes KEY at home?", "Is KEY heavy, kilos?"])
    teacher = Scripted(knows)
    found = write_wordings(
        make_table(("price", "weight")), tmp_path, writer=writer, teacher=teacher,
        plan=WordingPlan(calls=1, frames=False, records=4), settings=FAST,
    )  # fmt: skip
    price = [one for one in found.results if one.column == "price"]
    # Without an encoder, "Who bakes" gets the first column's cells from this teacher.
    assert [(one.wording, one.agreement, one.reason) for one in price] == [
        ("How expensive is {key}?", 1.0, None),
        ("Who bakes {key} at home?", 0.0, DISAGREES),
        ("Is {key} heavy, kilos?", 0.0, DISAGREES),
    ]
    asked = [p for p in teacher.asked if "kilos" in p]
    assert len(asked) == 2  # two of four wrong: three right ones are out of reach
    assert found.calls["asked"] == len(teacher.asked)


def test_only_facts_the_teacher_knows_are_asked_about(tmp_path):
    def answer(prompt, number):
        return "?" if "Otter" in prompt or "weight" in prompt else knows(prompt, number)

    teacher = Scripted(answer)
    found = write_wordings(
        make_table(("price", "weight")), tmp_path, teacher=teacher,
        plan=WordingPlan(wanted=2, records=3), facts={"1:price", "3:price", "4:price"},
        settings=FAST,
    )  # fmt: skip
    assert len(found.templates["price"]) == 2
    assert {one.reason for one in found.results if one.column == "weight"} == {UNKNOWN}
    assert not any("Badger" in prompt for prompt in teacher.asked)
    asked = [prompt for prompt in teacher.asked if "What is the price of" not in prompt]
    assert {key for key in CELLS if any(key in p for p in asked)} == {"Ranger", "Heron"}


def test_enough_is_enough_and_the_calls_are_told_beforehand(tmp_path):
    teacher, plan = Scripted(knows), WordingPlan(wanted=5, calls=0)
    found = write_wordings(make_table(), tmp_path, teacher=teacher, plan=plan, settings=FAST)
    assert {len(texts) for texts in found.templates.values()} == {5}
    assert {one.reason for one in found.results} == {None, MANY}
    most = plan.most_calls(make_table(), writes=True, checks=True)
    assert most == (0, 3 * 4 * (3 + 2 * 5))
    assert len(teacher.asked) <= most[1]
    assert plan.most_calls(make_table(), writes=True, checks=False) == (0, 0)


def test_time_and_a_dead_server_end_the_asking(tmp_path):
    plan = WordingPlan(calls=0, most_minutes=1e-9)
    found = write_wordings(
        make_table(), tmp_path / "time", teacher=Scripted(knows), plan=plan, settings=FAST
    )
    assert {one.reason for one in found.results} == {NO_TIME}
    assert found.describe() == "no further wordings (stopped after 1e-09 min)"
    calls = iter(range(1000))

    def fails(prompt, number):
        return knows(prompt, number) if next(calls) < 20 else ConnectionError("gone")

    found = write_wordings(
        make_table(), tmp_path / "dead", teacher=Scripted(fails), plan=WordingPlan(calls=0),
        settings=LabelSettings(backoff_s=0.001, max_attempts=1),
    )  # fmt: skip
    assert {one.reason for one in found.results} == {STOPPED}
    assert found.message


def test_an_interrupted_run_goes_on_without_asking_again(tmp_path):
    settings = {"plan": WordingPlan(calls=2, wanted=8), "settings": FAST}
    first = write_wordings(
        make_table(), tmp_path, writer=write(["How dear is KEY to buy, what price?"]),
        teacher=Scripted(knows), encoder=WordEncoder(), **settings,
    )  # fmt: skip
    silent = Scripted(lambda prompt, number: AssertionError("asked again"))
    again = write_wordings(
        make_table(), tmp_path, writer=silent, teacher=silent, encoder=WordEncoder(), **settings
    )
    assert again.results == first.results
    assert silent.asked == []
    first.write(tmp_path / "wordings.jsonl")
    assert Wordings.read(tmp_path / "wordings.jsonl").results == first.results


def test_a_teacher_that_reads_gets_the_record(tmp_path):
    teacher = Scripted(knows)
    write_wordings(
        make_table(("price",)), tmp_path, teacher=Scripted(lambda p, n: knows(p, n)),
        plan=WordingPlan(wanted=1), settings=FAST,
    )  # fmt: skip

    def reads(prompt, number):
        teacher.asked.append(prompt)
        about, question = prompt.split("\n\n", 1)
        assert about.startswith("Context: ")
        return knows(question, number)

    found = write_wordings(
        make_table(("price",)), tmp_path / "reads", teacher=Scripted(reads),
        plan=WordingPlan(wanted=1), settings=FAST,
        context=lambda row: f"{row.key}: price {row.values['price']}",
    )  # fmt: skip
    assert len(found.templates["price"]) == 1
    assert any("Context: Otter: price 95 EUR" in prompt for prompt in teacher.asked)


def test_records_of_a_table_without_a_key_are_asked_for_by_condition(tmp_path):
    found = write_wordings(make_table(("price",), kind="rows"), tmp_path, encoder=WordEncoder())
    filled = {frame.replace("{label}", "price") for frame in CONDITION_FRAMES}
    assert {text.casefold() for text in found.templates["price"]} == {t.casefold() for t in filled}


def test_a_table_of_questions_gets_no_wordings(tmp_path):
    table = FactTable("faq.csv", "questions", "question", (Column("answer", "answer"),),
                      (TableRow(1, "Why?", {"answer": "So."}),))  # fmt: skip
    found = write_wordings(table, tmp_path, teacher=Scripted(knows))
    assert found.results == ()
    assert found.describe() == "no further wordings (the table holds its own questions)"


def test_faults_of_a_plan_come_at_once():
    with pytest.raises(ConfigError) as fault:
        WordingPlan(wanted=0, least_agreement=0, most_minutes=-1)
    assert all(name in str(fault.value) for name in ("wanted", "least_agreement", "most_minutes"))


OWN = {
    "price": ("24.90 EUR", "18.50 EUR", ["How many euros for {key}?",
        "Is {key} cheap, what do you ask for it?"]),
    "weight": ("1.2 kg", "0.8 kg", ["How heavy would {key} be in my hand?"]),
    "maker": ("Holm", "Bryce", ["Who manufactures {key}?", "What brand is {key}?"]),
    "colour": ("green", "black", ["What hue does {key} have?"]),
    "warranty": ("5 years", "2 years", ["How long is {key} guaranteed?"]),
    "hometown": ("Lund", "Porto", ["What town does {key} come from?"]),
}  # fmt: skip
ABSENT = ["How deep is {key}?", "What does {key} eat?", "Who directed {key}?", "How old is {key}?"]


def test_a_real_encoder_tells_the_columns_apart(real_model):
    from stillroom.inference.checkpoints.load_student import load_checkpoint
    from stillroom.inference.scoring.embeddings import StudentEmbeddings

    encoder = StudentEmbeddings(load_checkpoint(real_model("minilm"), kinds=("encoder",)))
    columns = tuple(Column(name, name, (f"What is the {name} of {{key}}?",)) for name in OWN)
    rows = tuple(
        TableRow(n + 1, key, {name: OWN[name][n] for name in OWN})
        for n, key in enumerate(["Otter", "Heron"])
    )
    meanings = ColumnMeanings(FactTable("t", "facts", "name", columns, rows), encoder)
    verdicts = [v for name, (_, _, texts) in OWN.items() for v in meanings.judge(texts, name)]
    assert sum(lead > 0 for lead, _ in verdicts) >= len(verdicts) - 1
    assert sum(lead > 0 and fits for lead, fits in verdicts) >= len(verdicts) - 2
    absent = [meanings.judge(ABSENT, name) for name in OWN]
    assert not any(lead > 0.02 and fits for judged in absent for lead, fits in judged)
