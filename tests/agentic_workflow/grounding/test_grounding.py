"""Grounding: what the table does not hold is not answered, and what is answered is cited."""

import dataclasses

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.grounding.grounded_answer import Grounding, open_grounding
from stillroom.agentic_workflow.policy import AnswerPolicy
from stillroom.agentic_workflow.reading.table_reader import TableReader
from stillroom.agentic_workflow.record_search.duckdb_store import RecordStore
from stillroom.agentic_workflow.state import MAX_ATTEMPTS
from stillroom.errors import ConfigError
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.tables import Column, FactTable, TableRow


@pytest.fixture(scope="module")
def reader(table):
    return TableReader(table, encoder=None)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the symbol of Gold?", "Au"),
        ("what's gold's atomic number", "79"),
        ("Hi! Could you look up the atomic mass of gold for me, please?", "196.97"),
        ("What is the atomic mass of Au?", "196.97"),
        ("Which element has the symbol Au?", "Gold"),
        ("category of the element with symbol In", "post-transition metal"),
        ("Hi! What's gold\u2019s atomic mass?", "196.97"),
        ("I forgot the symbol of gold again, what was it?", "Au"),
        ("Which category would you put gold into?", "transition metal"),
        ("what's the mass of gold", "196.97"),
        ("What is the symbol 'd' of gold?", None),
        ("What is the symbol of gold chloride?", None),
        ("What is the symbol of New Silver?", None),
        ("What is the symbol of Gold 198?", None),
        ("What is the national symbol of gold?", None),
        ("What is the symbol of gold in France?", None),
        ("What is not the symbol of gold?", None),
        ("What is the symbol of Goold?", None),
        ("What is the symbol of Kryptonite?", None),
        ("What is the boiling point of gold?", None),
        ("symbol and category of gold", None),
        ("I need the symbol of it", None),
    ],
)
def test_every_word_of_a_question_must_be_accounted_for(reader, question, answer):
    found = reader.read(question)
    assert found.answer == (() if answer is None else (answer,)), found
    assert (found.verdict == "answered") is (answer is not None)


def countries():
    columns = (
        Column("capital", "capital", ("What is the capital of {key}?",)),
        Column("area", "area", ("What is the area of {key}?",)),
        Column("code", "code", ("What is the code of {key}?",)),
    )
    rows = (
        TableRow(1, "Austria", {"capital": "Vienna", "area": "83871", "code": "AT"}),
        TableRow(2, "Mexico", {"capital": "Mexico City", "area": "1964375", "code": "MX"}),
        TableRow(3, "Antarctica", {"area": "14000000", "code": "AQ"}),
    )
    return FactTable("countries.csv", "facts", "country", columns, rows)


@pytest.mark.parametrize(
    ("question", "answered"),
    [
        ("What is the area of Vienna?", False),
        ("What is the area of the country with the capital Vienna?", True),
        ("What is the area of AT?", True),
        ("Which country has the capital Vienna?", True),
        ("What is the capital of New Mexico?", False),
        ("What is the capital of Antarctica?", False),
    ],
)
def test_a_value_names_a_record_only_where_it_is_said_to(question, answered):
    found = TableReader(countries(), encoder=None).read(question)
    assert (found.verdict == "answered") is answered, found


@pytest.mark.parametrize(
    ("question", "answered"),
    [
        ("What is the capital of France?", True),
        ("Please tell me, what is the capital of France?", True),
        ("What is the capital of Frankistan?", False),
        ("What is the capital of Farnce?", False),
        ("How do viruses spread?", True),
        ("How does the bacterium spread?", False),
    ],
)
def test_a_known_question_with_another_subject_is_another_question(question, answered):
    keys = ("What is the capital of France?", "What is the capital of Peru?",
            "What is the capital of Chile?", "How does the virus spread?")  # fmt: skip
    rows = tuple(TableRow(i, key, {"answer": f"a{i}"}) for i, key in enumerate(keys, 1))
    table = FactTable("faq.csv", "questions", "question", (Column("answer", "answer"),), rows)
    assert (TableReader(table).read(question).verdict == "answered") is answered


def test_keys_that_are_spelt_alike_are_offered(reader):
    assert reader.near("What is the symbol of Goold?") == ("Gold",)
    assert reader.near("What is the symbol of Xyzzy?") == ()


def ask(table, query, *replies, grounding=True, context=None):
    model = ScriptedModel(list(replies))
    workflow = MultiAgentWorkflow(None, chat_model=model, table=table, grounding=grounding)
    result = workflow.run(query, context)
    model.assert_exhausted()
    return result["response"], result["messages"][-1].response_metadata


def cited(metadata):
    return [(c["row"], c["column"], c["value"]) for c in metadata["citations"]]


def test_an_accepted_answer_cites_its_cells(table):
    response, metadata = ask(table, "what is the atomic mass of gold?", "196.97")
    assert (response, metadata["verdict"]) == ("196.97", "agrees")
    assert cited(metadata) == [(79, "element", "Gold"), (79, "mass", "196.97")]
    assert metadata["citations"][0]["table"] == "elements.csv"


def test_one_answer_cites_one_fact(table):
    twice = dataclasses.replace(
        table,
        rows=tuple(
            dataclasses.replace(r, values={**r.values, "number": "47", "mass": "47"})
            for r in table.rows
        ),
    )
    _, metadata = ask(twice, "What is the atomic mass of Ag?", "47")
    assert cited(metadata) == [(47, "element", "Silver"), (47, "mass", "47")]


def test_a_summary_cites_what_it_tells(table):
    _, metadata = ask(table, "Summarize gold", "Gold (Au) is a transition metal.")
    assert cited(metadata) == [
        (79, "element", "Gold"), (79, "symbol", "Au"), (79, "category", "transition metal"),
    ]  # fmt: skip


def test_a_claim_cites_the_cell_that_decides_it(table):
    for claim, verdict in (("Au", "agrees"), ("Ag", "disagrees")):
        _, metadata = ask(table, f"Check: the symbol of gold is {claim}")
        assert metadata["verdict"] == verdict
        assert (79, "symbol", "Au") in cited(metadata)


def test_a_claim_about_something_else_is_not_decided(table):
    _, metadata = ask(table, "Check: the symbol of gold chloride is Au")
    assert metadata["verdict"] == "unverified"
    assert "citations" not in metadata


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("Au", "agrees"),
        ("Au, number 79 of 118", "abstained"),
        ("Au, since 1789", "abstained"),
        ("Au (2 letters)", "abstained"),
    ],
)
def test_a_number_that_no_cited_cell_holds_takes_the_answer_back(table, answer, verdict):
    attempts = 1 if verdict == "agrees" else MAX_ATTEMPTS
    response, metadata = ask(table, "What is the symbol of gold?", *[answer] * attempts)
    assert metadata["verdict"] == verdict
    assert bool(metadata["citations"]) is (verdict == "agrees")
    assert response.startswith("I don't know") is (verdict == "abstained")


def test_a_number_that_no_cited_cell_holds_is_asked_for_again(table):
    response, metadata = ask(table, "symbol of gold?", "Au, since 1789", "Au")
    assert (response, metadata["verdict"]) == ("Au", "agrees")
    assert cited(metadata)[-1] == (79, "symbol", "Au")


def escalated(table, *teacher_replies):
    teacher = ScriptedModel(list(teacher_replies))
    policy = AnswerPolicy(teacher=teacher, attempts=1)
    model = ScriptedModel(["Ag"])
    workflow = MultiAgentWorkflow(None, chat_model=model, table=table, policy=policy)
    event = workflow.explain("What is the symbol of gold?")
    teacher.assert_exhausted()
    return event


def test_a_teachers_answer_rests_on_the_table_too(table):
    event = escalated(table, "Au")
    assert (event["answered_by"], event["verdict"]) == ("teacher", "agrees")
    assert [c["value"] for c in event["citations"]] == ["Gold", "Au"]
    event = escalated(table, "Au, since 1789")
    assert (event["answered_by"], event["verdict"]) == ("student", "disagrees")
    assert "1789" in event["steps"][-1]["detail"]


def test_a_validator_of_ones_own_is_overruled(table):
    class Trusting(MultiAgentWorkflow):
        def _validator_node(self, state):
            return {"verdict": "agrees", "messages": AIMessage(state["results"][-1])}

    def explain(*replies):
        workflow = Trusting(None, chat_model=ScriptedModel(list(replies)), table=table)
        return workflow.explain("What is the symbol of gold?")

    event = explain("Ag", "Ag", "Ag")
    assert event["verdict"] == "abstained"
    assert "no cell that supports the answer" in event["response"]
    event = explain("Au, since 1789", "Au")
    assert (event["verdict"], event["response"], event["attempts"]) == ("agrees", "Au", 2)
    assert event["citations"][-1]["value"] == "Au"


def test_a_grounding_over_another_table_is_refused(table):
    with pytest.raises(ConfigError, match=r"over countries\.csv \(3 records\)"):
        MultiAgentWorkflow(
            None, chat_model=ScriptedModel([]), table=table, grounding=open_grounding(countries())
        )


def test_a_grounding_brings_its_table(table):
    workflow = MultiAgentWorkflow(
        None, chat_model=ScriptedModel(["Au"]), grounding=open_grounding(table)
    )
    assert workflow.explain("symbol of gold?")["citations"][-1]["value"] == "Au"


def test_without_grounding_the_same_answer_stands(table):
    answer = "Au, since 1789"
    response, metadata = ask(table, "What is the symbol of gold?", answer, grounding=False)
    assert (response, metadata["verdict"]) == (answer, "agrees")
    assert "citations" not in metadata


def test_what_rests_on_the_users_own_text_is_not_held_against_the_table(table):
    text = "Gold melts at 1064 degrees."
    response, metadata = ask(table, "At what does gold melt?", "1064 degrees", context=text)
    assert (response, metadata["verdict"]) == ("1064 degrees", "agrees")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("What is the symbol of gold chloride?", 'matches "chloride" in this question'),
        ("What is the symbol of Goold and Silfer?", "Similar records: Gold"),
        ("Summarize gold chloride", '"chloride"'),
        ("What is the boiling joke of gold?", "It can be asked for: symbol"),
    ],
)
def test_an_abstention_says_why_and_the_student_is_not_asked(table, query, said):
    response, metadata = ask(table, query)
    assert metadata["verdict"] == "abstained"
    assert response.startswith("I don't know")
    assert said in response


def test_where_some_words_are_strange_the_nearest_cell_is_told(table):
    response, metadata = ask(table, "What is the atomic mass of gold chloride?")
    assert metadata["verdict"] == "abstained"
    assert response == (
        'I don\'t know: nothing in the table matches "chloride" in this question. '
        "What it holds: Gold, atomic mass: 196.97."
    )


@pytest.mark.parametrize(
    ("question", "column"),
    [
        ("how heavy is gold", "mass"),
        ("What does gold weigh?", "mass"),
        ("The weight and atomic mass of gold?", "mass"),
        ("What kind of element is gold?", "category"),
        ("Which kind of category is gold?", "category"),
        ("What does gold cost?", None),
        ("What kind is the weight of gold?", None),
    ],
)
def test_a_column_is_found_by_what_people_say_for_it(table, question, column):
    named = table.also_called({"mass": ("how heavy", "weight"), "category": ("kind",)})
    named = named.also_called({"mass": ("weigh",)})
    found = TableReader(named, encoder=None).read(question)
    assert [name for _, name in found.cells] == ([column] if column else [])


def test_what_people_say_is_kept_with_the_table_and_answered(table, tmp_path):
    named = table.also_called({"mass": ("how heavy",)})
    named.write(tmp_path)
    assert FactTable.read(tmp_path) == named
    model = ScriptedModel(lambda prompt: "196.97" if "atomic mass of Gold" in prompt else "79")
    workflow = MultiAgentWorkflow(None, chat_model=model, table=named)
    assert workflow.run("how heavy is gold")["response"] == "196.97"
    with pytest.raises(ConfigError, match="names 'size'"):
        table.also_called({"size": ("big",)})
    with pytest.raises(ConfigError, match="no letter or digit"):
        table.also_called({"mass": ("?",)})


def test_an_empty_cell_is_not_asked_for():
    response, _ = ask(countries(), "What is the capital of Antarctica?")
    assert response == "I don't know: the table holds no capital of Antarctica."


def test_a_record_file_that_is_not_the_students_table_is_noticed(table):
    other = dataclasses.replace(
        table,
        rows=tuple(dataclasses.replace(r, values={**r.values, "mass": "1"}) for r in table.rows),
    )
    grounding = open_grounding(table, store=RecordStore.of(other))
    _, good = ask(table, "symbol of gold?", "Au", grounding=grounding)
    response, bad = ask(table, "atomic mass of gold?", "196.97", grounding=grounding)
    assert (good["verdict"], bad["verdict"]) == ("agrees", "abstained")
    assert "no cell that supports the answer" in response


def test_retrieval_offers_records_where_nothing_is_named(table):
    grounding = open_grounding(table)
    response, metadata = ask(table, "Who sells things of transition metal?", grounding=grounding)
    assert metadata["verdict"] == "abstained"
    offered = response.partition("Similar records: ")[2].rstrip(".").split(", ")
    assert {"Gold", "Silver"} <= set(offered) <= {"Gold", "Silver", "Indium"}


def test_likeness_of_vectors_alone_offers_nothing(table):
    grounding = open_grounding(table, DeterministicFakeEmbedding(size=4))
    assert grounding.retriever.find("Xyzzy?", 3)
    assert grounding.near("Xyzzy?") == ()


def test_rows_that_share_a_name_are_cited_where_they_say_so(table):
    named = ("Lima", "Lima", "Quito")
    rows = tuple(TableRow(n, name, {"mass": str(4 + n)}) for n, name in enumerate(named, 1))
    twins = dataclasses.replace(table, rows=rows)
    _, metadata = ask(twins, "atomic mass of Lima?", "6")
    assert {c["row"] for c in metadata["citations"]} == {2}


def test_citations_are_of_this_turn_alone(table):
    from langgraph.checkpoint.memory import InMemorySaver

    model = ScriptedModel(["Au"])
    workflow = MultiAgentWorkflow(None, chat_model=model, table=table, checkpointer=InMemorySaver())
    workflow.run("symbol of gold?", thread_id="1")
    workflow.run("symbol of Kryptonite?", thread_id="1")
    state = workflow.graph.get_state({"configurable": {"thread_id": "1"}}).values
    assert state["citations"] == []


def test_a_grounding_of_ones_own_is_used(table):
    class Silent(Grounding):
        def refuse(self, requested):
            return "I say nothing."

    response, metadata = ask(table, "symbol of gold?", grounding=Silent(TableReader(table)))
    assert (response, metadata["verdict"]) == ("I say nothing.", "abstained")


@pytest.mark.parametrize(
    ("question", "response", "rows"),
    [
        ("How many elements are there?", "5", {1, 2, 47, 49, 79}),
        ("What is the symbol of gold and silver?", "Ag, Au", {47, 79}),
    ],
)
def test_what_is_computed_is_answered_by_the_table_and_cited(table, question, response, rows):
    said, metadata = ask(table, question)  # the language model is not asked
    assert (said, metadata["verdict"], metadata["answered_by"]) == (response, "agrees", "table")
    assert {c["row"] for c in metadata["citations"]} == rows
