"""From a task in words to an agent's bundle: instructions, checked answers, a student."""
