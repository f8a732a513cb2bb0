"""Chat with a student in the browser: python examples/chat_ui.py [checkpoint]."""

import sys

from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.chat_ui import launch, newest_student

if __name__ == "__main__":
    checkpoint = sys.argv[1] if len(sys.argv) > 1 else newest_student()
    launch(MultiAgentWorkflow(checkpoint))
