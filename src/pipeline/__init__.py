"""The main job: from a table to a student that answers, with numbers.

    load -> questions -> split -> teacher -> labels -> student and controls -> measure -> ask the
    agents

One file per step; `main_job` holds their order.
"""

from .main_job.run import run_main_job
from .main_job.settings import MainJob, Recipe

__all__ = ["MainJob", "Recipe", "run_main_job"]
