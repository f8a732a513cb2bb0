"""Grounding: what the table does not hold is not answered, and what is answered is cited."""

import dataclasses

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.grounding.grounded_answer import Grounding, open_grounding
from stillroom.agentic_workflow.grounding.question_coverage import near_keys, refusal_of
from stillroom.agentic_workflow.policy import AnswerPolicy
from stillroom.agentic_workflow.record_search.duckdb_store import RecordStore
from stillroom.agentic_workflow.record_search.lookup import RecordLookup
from stillroom.agentic_workflow.state import MAX_ATTEMPTS
from stillroom.errors import ConfigError
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.tables import Column, FactTable, TableRow


@pytest.fixture(scope="module")
def lookup(table):
    return RecordLookup(table)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("What is the symbol of Gold?", None),
        ("what's gold's atomic number", None),
        ("Hi! Could you look up the atomic mass of gold for me, please?", None),
        ("which category is the transition metal gold in?", None),
        ("What is the atomic mass of Au?", None),
        ("Which element has the symbol Au?", None),
        ("category of the element with symbol In", None),
        ("Hi! What's gold\u2019s atomic mass?", None),
        ("I forgot the symbol of gold again, what was it?", None),
        ("Which category would you put gold into?", None),
        ("what's the mass of gold", None),
        ("the number of the atomic mass of gold", None),
        ("the number of the symbol of gold", "other_words"),
        ("Which element has the same category as gold?", "other_words"),
        ("What is the symbol x of gold?", "other_words"),
        ("What is the symbol 'd' of gold?", "other_words"),
        ("What is the symbol of gold chloride?", "other_words"),
        ("What is the symbol of New Silver?", "other_words"),
        ("What is the symbol of Gold 198?", "other_words"),
        ("What is the national symbol of gold?", "other_words"),
        ("What is the symbol of gold in France?", "other_words"),
        ("What is the symbol of gold times two?", "other_words"),
        ("What is not the symbol of gold?", "other_words"),
        ("What is the symbol of Goold?", "no_record"),
        ("What is the symbol of Kryptonite?", "no_record"),
        ("What is the boiling point of gold?", "no_column"),
        ("symbol and category of gold", "no_column"),
        ("symbol of gold and silver", "several_records"),
    ],
)
def test_every_word_of_a_question_must_be_accounted_for(lookup, question, kind):
    refusal = refusal_of(question, lookup.find(question), lookup)
    assert (refusal and refusal.kind) == kind


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
    ("question", "kind"),
    [
        ("What is the area of Vienna?", "named_by_value"),
        ("What is the area of the country with the capital Vienna?", None),
        ("What is the area of AT?", None),
        ("Which country has the capital Vienna?", None),
        ("What is the capital of New Mexico?", "other_words"),
        ("What is the capital of Antarctica?", "no_value"),
    ],
)
def test_a_value_names_a_record_only_where_it_is_said_to(question, kind):
    lookup = RecordLookup(countries())
    refusal = refusal_of(question, lookup.find(question), lookup)
    assert (refusal and refusal.kind) == kind


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
    lookup = RecordLookup(table)
    assert (refusal_of(question, lookup.find(question), lookup) is None) is answered


def test_keys_that_are_spelt_alike_are_offered(lookup):
    assert near_keys("What is the symbol of Goold?", lookup) == ("Gold",)
    assert near_keys("What is the symbol of Xyzzy?", lookup) == ()


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


def test_a_record_named_by_a_code_cites_the_code_too(table):
    _, metadata = ask(table, "What is the atomic mass of Au?", "196.97")
    assert cited(metadata)[1:] == [(79, "symbol", "Au"), (79, "mass", "196.97")]


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
    assert not metadata["citations"]


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
        ("What is the symbol of Goold?", "Near to it: Gold."),
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
    lookup = RecordLookup(named)
    match = lookup.find(question)
    assert match.row.key == "Gold"
    assert (match.column and match.column.name) == column
    assert (refusal_of(question, match, lookup) is None) == (column is not None)


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
    response, metadata = ask(table, "Which one is a transition metal?", grounding=grounding)
    assert metadata["verdict"] == "abstained"
    offered = response.partition("Near to it: ")[2].rstrip(".").split(", ")
    assert {"Gold", "Silver"} <= set(offered) <= {"Gold", "Silver", "Indium"}


def test_likeness_of_vectors_alone_offers_nothing(table):
    grounding = open_grounding(table, DeterministicFakeEmbedding(size=4))
    assert grounding.retriever.find("Xyzzy?", 3)
    assert grounding.near("Xyzzy?") == ()


def test_rows_that_share_a_name_are_cited_where_they_say_so(table):
    rows = (TableRow(1, "Lima", {"mass": "5"}), TableRow(2, "Lima", {"mass": "6"}))
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
        def refuse(self, task, text, match):
            from stillroom.agentic_workflow.grounding.question_coverage import Refusal

            return Refusal("no_record")

    _, metadata = ask(table, "symbol of gold?", grounding=Silent(RecordLookup(table)))
    assert metadata["verdict"] == "abstained"
