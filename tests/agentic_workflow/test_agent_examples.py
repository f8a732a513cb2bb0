"""The examples about agents run as they are, and say what they promise."""

import re
import subprocess
import sys

import pytest
from project_paths import ROOT


def run(example, *arguments):
    command = [sys.executable, "-W", "ignore", f"examples/{example}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def told():
    return run("multi_agent.py")


def test_the_added_agent_answers_and_the_router_says_how_sure_it_is(told):
    assert "Platinum and Mercury  [answered]" in told
    assert "route neighbours, " in told
    assert "% sure" in told


def test_the_validator_finds_the_mistake_and_the_trace_shows_it(told):
    asked = told.split("\nWhat is the symbol of Gold?\n", 1)[1]
    assert asked.lstrip().startswith("Au  [answered]")
    assert "validator: retry: " in asked
    assert "asking again as: Which symbol does Gold have?" in asked
    assert "validator: agrees: " in asked


def test_what_the_router_cannot_tell_is_asked_back(told):
    asked = told.split("\nGold, please\n", 1)[1]
    assert "I cannot tell what is wanted" in asked
    assert "[clarify]" in asked


def test_the_graph_is_drawn_with_the_added_agent(told):
    drawn = told[told.index("graph TD") :]
    assert all(name in drawn for name in ("router", "neighbours", "validator", "clarify"))


def test_tools_over_a_table_compare_two_records_and_survive_a_wrong_call():
    told = run("tools_over_a_table.py")
    assert "error: DataError" in told or "error: ValidationError" in told
    assert told.strip().endswith("Gold has more, by 89.1.")


def test_a_filter_as_a_tool_scores_a_text_and_says_why():
    told = run("filter_as_tool.py")
    assert "score_sustainability_tech_deployment" in told
    assert re.search(r"passes with [78]\.\d of 10, tier \w+; most by deployment_maturity", told)
