"""Distil a small model that writes SQL, and ask it about databases it has never seen.

stillroom models add smollm2
python examples/text_to_sql.py
python examples/text_to_sql.py --questions 400 --measured 60

SmolLM2 is taught on questions about eleven small databases, writes SQL for other questions about
them, and what gives the right rows teaches a pruned student. Teacher and students then answer
questions about two databases that none of them was trained on. The time is told beforehand; an
interrupted run goes on with the same command.
"""

import sys

from stillroom.pipeline.text_to_sql.options import TEXT_TO_SQL

if __name__ == "__main__":
    sys.exit(TEXT_TO_SQL())
