"""A service over a scripted student and the elements' table."""

import pytest
from stillroom.agentic_workflow.agent import AgenticWorkflow, MultiAgentWorkflow
from stillroom.agentic_workflow.http.service import Service
from stillroom.inference.chat.scripted_model import ScriptedModel


@pytest.fixture
def make_service(table):
    def make(settings=None, with_table=True):
        model = ScriptedModel(lambda prompt: "Au")
        options = {"table": table if with_table else None, "checkpointer": "memory"}
        workflows = {
            "multi": MultiAgentWorkflow(model, **options),
            "single": AgenticWorkflow(model, **options),
        }
        return Service(model, workflows, settings, model_name="elements")

    return make
