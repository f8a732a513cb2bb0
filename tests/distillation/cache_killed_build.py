"""A build of a teacher cache that kills itself with SIGKILL.

python cache_killed_build.py <folder> part|manifest

part: in the middle of writing the third part. manifest: when all parts are there, before the
manifest says so.
"""

import os
import signal
import sys

import kd_models
import teacher_caches

folder, moment = sys.argv[1:]
replace, renamed = os.replace, []


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_while_renaming(source, target):
    renamed.append(str(target))
    parts = sum("part-" in name for name in renamed)
    manifests = len(renamed) - parts
    if parts == 3 and moment == "part":
        os.truncate(source, os.path.getsize(source) // 2)
        die()
    if manifests == 2:
        die()
    replace(source, target)


os.replace = die_while_renaming
teacher_caches.build(folder, kd_models.random_items(12))
