"""The validator: what disagrees is asked again at most twice, and then the response says so."""

import pytest
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.inference.chat.scripted_model import ScriptedModel


def ask(table, query, *replies, context=None):
    """Run a query over a script; check that exactly these replies were used."""
    model = ScriptedModel(list(replies))
    event = MultiAgentWorkflow(None, chat_model=model, table=table).explain(query, context)
    model.assert_exhausted()
    return event, model.prompts


def test_an_answer_that_agrees_with_the_record_passes(table):
    event, prompts = ask(table, "what is the symbol of gold", "Au")
    assert (event["response"], event["verdict"], event["attempts"]) == ("Au", "agrees", 1)
    assert prompts == ["Question: what is the symbol of gold\n\nAnswer:"]
    source = event["sources"][0]
    assert (source["row"], source["column"], source["value"]) == (79, "symbol", "Au")
    assert source["values"]["mass"] == "196.97"


def test_a_wrong_answer_is_asked_again_in_a_trained_wording(table):
    event, prompts = ask(table, "symbol of gold?", "Ag", "Au")
    assert (event["response"], event["verdict"], event["attempts"]) == ("Au", "agrees", 2)
    assert prompts[1] == "Question: What is the symbol of Gold?\n\nAnswer:"


def test_after_two_retries_the_response_says_so_and_shows_the_record(table):
    event, prompts = ask(table, "symbol of gold?", "Ag", "Al", "Hg")
    assert event["response"] == "The student answered Hg; row 79 says symbol = Au."
    assert (event["verdict"], event["exit"], event["attempts"]) == ("disagrees", "disagrees", 3)
    assert prompts[1:] == [
        "Question: What is the symbol of Gold?\n\nAnswer:",
        "Question: Which symbol does Gold have?\n\nAnswer:",
    ]


def test_only_the_final_answer_stays_in_the_conversation(table):
    model = ScriptedModel(["Ag", "Al", "Hg"])
    result = MultiAgentWorkflow(None, chat_model=model, table=table).run("symbol of gold?")
    assert [m.type for m in result["messages"]] == ["human", "ai"]
    assert result["messages"][-1].content == result["response"]
    assert result["messages"][-1].response_metadata["verdict"] == "disagrees"


@pytest.mark.parametrize(
    "query",
    [
        "What is the capital of France?",
        "What is the symbol of unobtainium?",
        "Summarize the plot of Hamlet",
        "In which year was it?",
        "<script>alert(1)</script>",
        "'; DROP TABLE elements; --",
        "😀" * 50,
        "a" * 100_000,
    ],
)
def test_what_the_table_cannot_answer_is_not_invented(table, query):
    event, _ = ask(table, query)  # the student is not asked
    assert event["response"].startswith("I don't know: nothing in the table matches")
    assert (event["verdict"], event["exit"]) == ("abstained", "abstained")


def test_a_known_record_with_an_unknown_column_lists_what_can_be_asked(table):
    event, _ = ask(table, "What is the melting joke of gold?")
    assert event["verdict"] == "abstained"
    assert "Gold" in event["response"]
    assert "symbol, atomic number, atomic mass, category" in event["response"]


def test_several_records_at_once_are_refused(table):
    event, _ = ask(table, "Summarize gold and silver")
    assert "Gold, Silver" in event["response"]
    assert event["verdict"] == "abstained"


def test_without_a_table_the_answer_is_given_and_called_unverified():
    event, _ = ask(None, "What is the symbol of gold?", "Au")
    assert (event["response"], event["verdict"]) == ("Au", "unverified")
    assert "no table" in event["reason"]


def test_a_context_is_answered_from_though_the_table_does_not_match(table):
    event, prompts = ask(table, "Where is the cat?", "On the mat", context="The cat is on the mat.")
    assert (event["response"], event["verdict"]) == ("On the mat", "agrees")
    assert prompts == ["Context: The cat is on the mat.\n\nQuestion: Where is the cat?\n\nAnswer:"]


@pytest.mark.parametrize(
    ("replies", "verdict"),
    [
        (["Gold has the symbol Au and the atomic number 79."], "agrees"),
        (["Gold has the symbol Ag.", "Gold: symbol Au, category transition metal."], "agrees"),
        (
            ["atomic number 79, atomic mass 79", "symbol Au, atomic mass 197", "a noble gas"],
            "disagrees",
        ),
        (["Gold is nice.", "Lovely.", ""], "disagrees"),
    ],
)
def test_summaries_are_held_against_the_record(table, replies, verdict):
    event, prompts = ask(table, "Summarize the following: gold", *replies)
    assert (event["verdict"], event["task_type"]) == (verdict, "summarize")
    assert event["attempts"] == len(replies) == len(prompts)
    if verdict == "disagrees":
        assert "symbol = Au" in event["response"]
    wordings = ["gold", "Gold", "the record of Gold"]
    assert prompts == [f"Summarize the following: {w}" for w in wordings[: len(prompts)]]


def test_the_context_is_what_is_summarised(table):
    text = "The survey of 2024 counted 12 bears."
    event, prompts = ask(table, "Summarize this", "12 bears in 2024.", context=text)
    assert prompts == [f"Summarize the following: {text}"]
    assert event["verdict"] == "unverified"


CLAIMS = [
    ("Validate this: the symbol of gold is Au", "agrees", "Yes: row 79 says symbol = Au."),
    (
        "Validate this: the symbol of gold is Ag",
        "disagrees",
        "No: row 79 says symbol = Au, not Ag.",
    ),
    ("check that the answer Au to 'What is the symbol of gold?' is right", "agrees", "Yes: "),
    ('Check: the answer to "What is the symbol of gold?" is Ag', "disagrees", "No: "),
    ("check whether gold has the atomic number 79", "agrees", "Yes: "),
    ("check that gold is a noble gas", "disagrees", "No: "),
    ("Ag is the symbol of gold, check that please", "disagrees", "No: "),
    ("validate that the symbol of gold is not Ag", "agrees", "Yes: "),
    ("validate that the atomic mass of gold is 196.970", "agrees", "Yes: "),
    ("Validate the symbol of gold", "unverified", "There is no claim to check"),
]


@pytest.mark.parametrize(("query", "verdict", "response"), CLAIMS)
def test_claims_about_a_record_are_decided_in_code(table, query, verdict, response):
    event, _ = ask(table, query)  # no reply in the script: the student must not be asked
    assert (event["verdict"], event["task_type"]) == (verdict, "validate")
    assert event["response"].startswith(response)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("yes", "says yes"),
        ("No.", "says no"),
        ("It is made of rock, so no", "says no"),
        ("rock: no", "says no"),
        ("purple", 'it said "purple"'),
        ("", "it said nothing"),
    ],
)
@pytest.mark.parametrize("with_table", [True, False])
def test_other_claims_get_the_students_view_and_are_never_empty(table, reply, said, with_table):
    event, prompts = ask(table if with_table else None, "Validate this: the moon is cheese", reply)
    assert said in event["response"]
    assert event["verdict"] == "unverified"
    assert prompts[0].startswith("Question: the moon")
    assert prompts[0].endswith("Is this answer right?")


class NeverPasses(MultiAgentWorkflow):
    def _validator_node(self, state):
        return {"verdict": "retry", "reason": "it is never good enough"}


def test_a_validator_that_never_passes_ends_after_three_attempts(table):
    model = ScriptedModel(["a", "b", "c"])
    event = NeverPasses(None, chat_model=model, table=table).explain("symbol of gold?")
    model.assert_exhausted()
    assert event["attempts"] == 3
    assert event["verdict"] == "disagrees"
    expected = "The student answered c; after 3 attempts, it is never good enough."
    assert event["response"] == expected


def test_every_step_is_in_the_state(table):
    event, _ = ask(table, "symbol of gold?", "Ag", "Au")
    assert [(s["node"], s["what"]) for s in event["steps"]] == [
        ("router", "qa"),
        ("qa_agent", "answer"),
        ("validator", "retry"),
        ("qa_agent", "answer again"),
        ("validator", "agrees"),
    ]
    assert all(s["detail"] for s in event["steps"])
