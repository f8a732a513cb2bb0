"""A run that kills itself with SIGKILL in the middle of writing its second checkpoint.

python kd_killed_run.py <work folder> [<teacher cache>]
"""

import os
import signal
import sys

import kd_resume
from stillroom.distillation.teacher.cache_reader import TeacherCache
from stillroom.distillation.training.trainer import KDTrainer

saves = 0
save_random_states = KDTrainer._save_rng_state


def die_in_the_second_save(self, folder):
    global saves
    saves += 1
    save_random_states(self, folder)
    if saves == 2:  # weights and optimizer are written, trainer_state.json is not
        os.kill(os.getpid(), signal.SIGKILL)


KDTrainer._save_rng_state = die_in_the_second_save
teacher = TeacherCache(sys.argv[2]) if len(sys.argv) > 2 else None
kd_resume.run(sys.argv[1], steps=12, teacher=teacher)
