"""What Gradio leaves open is closed when a test file ends."""

from gradio_loops import close_what_gradio_leaves_open

__all__ = ["close_what_gradio_leaves_open"]
