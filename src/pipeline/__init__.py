"""The main job: from a table to a student that answers, with numbers.

    load -> questions -> split -> teacher -> labels -> student and controls -> measure -> ask the
    agents

One file per step; `main_job` holds their order.
"""

from .job import MainJob, Recipe
from .main_job import run_main_job

__all__ = ["MainJob", "Recipe", "run_main_job"]
