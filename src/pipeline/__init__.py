"""The commands' work: the main job (`main_job`), System 1 and 2, EasyDistill, labelling.

Each package composes steps of the rooms; none of the rooms imports this one.
"""

from .main_job.run import run_main_job
from .main_job.settings import MainJob, Recipe, Tuning

__all__ = ["MainJob", "Recipe", "Tuning", "run_main_job"]
