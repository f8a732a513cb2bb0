"""Chat with a student in the browser: python examples/chat_ui.py [checkpoint]."""

import sys

from stillroom.cli import run_chat

if __name__ == "__main__":
    sys.exit(run_chat(sys.argv[1:]))
