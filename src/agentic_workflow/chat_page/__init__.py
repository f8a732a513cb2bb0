"""The Gradio chat page: layout, messages as HTML, style sheet."""
