"""Chat with a student in the browser: python examples/chat_ui.py [checkpoint]."""

import sys

from stillroom.pipeline.commands.chat import CHAT

if __name__ == "__main__":
    sys.exit(CHAT())
