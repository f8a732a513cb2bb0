"""The jobs behind the commands: the main job (`main_job`), System 1 and 2, EasyDistill, labelling.

They compose the steps of the other packages, none of which imports this one.
"""

from .main_job.run import run_main_job
from .main_job.settings import MainJob, Recipe, Tuning

__all__ = ["MainJob", "Recipe", "Tuning", "run_main_job"]
