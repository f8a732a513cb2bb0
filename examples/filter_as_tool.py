"""Give an agent a filter as a tool: it scores a text and says why.

    python examples/filter_as_tool.py                                # a made student of words
    python examples/filter_as_tool.py filters/uplifting/v1           # your package with its student

Without a package, a small student of the packaged filter `sustainability_tech_deployment/v1` is
trained in a second on sentences that are written below; it knows nothing but their words. The
model that calls the tool is scripted.
"""

import argparse
import itertools
import sys

import numpy as np
from langchain_core.messages import AIMessage
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.nodes.tool_node import tool_agent
from stillroom.agentic_workflow.record_search.filter_tool import filter_tool
from stillroom.distillation.score_students.score_examples import ScoreExamples
from stillroom.distillation.score_students.train_tfidf import train_tfidf
from stillroom.errors import StillroomError
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.inference.score_students.protocol import StudentFacts
from stillroom.labeling.filters.filter_package import FilterPackage, load_filter
from stillroom.labeling.filters.scoring.scorer import FilterBaseScorer
from stillroom.labeling.filters.scoring.student_scorer import StudentScorer, open_scorer

PLANTS = ("The wind farm", "The solar plant", "The battery storage", "The heat pump factory")
STATES = {
    "has been in commercial operation for three years and supplies 40,000 homes": 8.5,
    "was commissioned in spring and delivers power to the grid": 7.0,
    "is a pilot with a single unit behind the town hall": 4.0,
    "is a concept study that could one day change everything": 1.0,
}
DETAILS = (
    "The costs fell by a third.",
    "Its owner reports the output each month.",
    "Two banks have lent the money.",
    "The climate office has visited it twice.",
)
ARTICLE = (
    "The solar plant on the old airfield has been in commercial operation for three years and "
    "supplies 40,000 homes. The costs fell by a third. Two banks have lent the money. Its owner "
    "reports the output each month, and the climate office has visited it twice. Renewables now "
    "cover most of what the town needs, and a battery storage next to it was commissioned in "
    "spring and delivers power to the grid in the evening."
)


def made_scorer(package: FilterPackage) -> FilterBaseScorer:
    """Train a student of words on the sentences above."""
    texts, scores = [], []
    for plant, state, first, second in itertools.product(PLANTS, STATES, DETAILS, DETAILS):
        texts.append(f"{plant}\n\n{plant} {state}. {first} {second}")
        scores.append([STATES[state]] * len(package.config.dimension_names))
    examples = ScoreExamples(texts, np.array(scores), np.ones(len(texts)))
    facts = StudentFacts(package.config.dimension_names, package.view.sha256)
    parts = [examples.chosen(range(start, len(texts), 2)) for start in (0, 1)]
    return StudentScorer(package, train_tfidf(*parts, facts))


def ask(folder: str | None) -> None:
    package = load_filter(folder or "sustainability_tech_deployment/v1")
    scorer = open_scorer(package) if folder else made_scorer(package)
    tool = filter_tool(scorer, what=package.config.description, weights=package.config.weights)
    call = {"name": tool.name, "args": {"title": "Solar plant", "text": ARTICLE}, "id": "1"}
    model = ScriptedModel([AIMessage("", tool_calls=[call])])
    workflow = MultiAgentWorkflow(model)
    agent = tool_agent(model, [tool], first_call=tool.name, most_calls=1)
    workflow.add_agent("score", "scores articles", agent, words=["score"])
    told = workflow.explain(f"Score this article: {ARTICLE}")
    for step in told["steps"]:
        print(f"{step['node']:>12}: {step['what']}: {str(step['detail'])[:100]}")
    print(told["response"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("filter", nargs="?", help="package with a student; a made one by default")
    given = parser.parse_args()
    try:
        ask(given.filter)
    except StillroomError as fault:
        sys.exit(str(fault))
