"""Whatever works on the shards, the artefacts are the same; a worker that dies loses nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from small_steps import First, Numbers, OddOnes, Poison, Slow, Times, Total
from stillroom.errors import ConfigError, PipelineError
from stillroom.pipeline.records import Pipeline, RowStep, StepResources
from stillroom.pipeline.records.replay import compare, verify

TWO = StepResources(replicas=2)
RUN = {"run_id": "r", "rows_per_shard": 10}


class DiesOnce(RowStep):
    """Its process dies at row 17, the first time."""

    mark: str = ""
    unhashed = RowStep.unhashed | {"mark"}

    def apply(self, record):
        if record["n"] == 17 and self.mark and not os.path.exists(self.mark):
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {**record, "lived": True}


def made(log, resources, *, mark="", sleep_s=0.0):
    with Pipeline("engines") as pipeline:
        numbers = Numbers(count=95, period=60)
        numbers >> Times(resources=resources) >> Poison(bad=[33]) >> First() >> DiesOnce(
            mark=mark, resources=resources
        ) >> Total(name="total")  # fmt: skip
        slow = Slow(log=str(log), resources=resources, sleep_s=sleep_s, input_batch_size=2)
        numbers >> slow >> OddOnes()
    return pipeline


@pytest.fixture
def reference(tmp_path):
    return made(tmp_path / "log0", StepResources()).run(artifacts_dir=tmp_path / "0", **RUN).folder


def test_processes_give_the_same_artefacts(reference, tmp_path):
    done = made(tmp_path / "log", TWO).run(artifacts_dir=tmp_path / "1", **RUN)
    assert compare(reference, done.folder) == []
    assert verify(done.folder) == []


def test_a_process_that_dies_loses_nothing(reference, tmp_path):
    pipeline = made(tmp_path / "log", TWO, mark=str(tmp_path / "mark"))
    done = pipeline.run(artifacts_dir=tmp_path / "1", **RUN)
    assert (tmp_path / "mark").exists()
    assert compare(reference, done.folder) == []


def test_processes_that_die_again_and_again_end_the_run(tmp_path):
    class Dies(RowStep):
        def apply(self, record):
            os.kill(os.getpid(), signal.SIGKILL)

    with Pipeline() as pipeline:
        Numbers(count=20) >> Dies(resources=TWO)
    with pytest.raises(PipelineError, match="'dies_0' died 3 times"):
        pipeline.run(artifacts_dir=tmp_path, **RUN)


def test_a_fault_of_a_process_is_that_of_the_run(tmp_path):
    class Unloadable(RowStep):
        def load(self):
            raise ConfigError(["no such model"])

        def apply(self, record):
            return record

    with Pipeline() as pipeline:
        Numbers(count=20) >> Unloadable(resources=TWO)
    with pytest.raises(PipelineError, match="'unloadable_0' could not be loaded: no such model"):
        pipeline.run(artifacts_dir=tmp_path, **RUN)


def test_ctrl_c_reaches_the_processes(reference, tmp_path):
    log = tmp_path / "log"
    pipeline = made(log, TWO, sleep_s=0.03)

    def interrupt():
        while not log.exists() or len(log.read_text().split()) < 8:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(artifacts_dir=tmp_path / "1", **RUN)
    assert len(log.read_text().split()) < 40
    done = made(log, TWO).run(artifacts_dir=tmp_path / "1", **RUN)
    assert compare(reference, done.folder) == []


ON_RAY = """
from test_pipeline_engines import *

if __name__ == "__main__":
    options = {{"workers": 2}}
    for name, mark in (("whole", ""), ("killed", "{folder}/mark")):
        made("{folder}/log-" + name, StepResources(), mark=mark).run(
            artifacts_dir="{folder}/" + name, engine="ray", engine_options=options, **RUN
        )
    with pytest.raises(ConfigError, match="'slow_0' needs 1 GPU; the cluster has 0"):
        made("{folder}/log", StepResources(gpus=1)).run(
            {{"times_0": {{"resources": {{}}}}, "dies_once_0": {{"resources": {{}}}}}},
            artifacts_dir="{folder}/gpu", engine="ray", **RUN
        )
"""


def test_ray_gives_the_same_artefacts_also_if_a_worker_is_killed(reference, tmp_path):
    pytest.importorskip("ray")
    script = tmp_path / "on_ray.py"
    script.write_text(ON_RAY.format(folder=tmp_path))
    path = f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"
    subprocess.run(
        [sys.executable, str(script)], check=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert (tmp_path / "mark").exists()
    for name in ("whole", "killed"):
        assert compare(reference, tmp_path / name / "r") == []
        assert verify(tmp_path / name / "r") == []


def test_an_engine_or_an_option_of_it_that_is_unknown(tmp_path):
    with pytest.raises(ConfigError, match="'spark'"):
        made(tmp_path / "log", TWO).run(artifacts_dir=tmp_path, engine="spark")
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match="'adress'; the nearest known key is 'address'"):
        made(tmp_path / "log", TWO).run(
            artifacts_dir=tmp_path, engine="ray", engine_options={"adress": 1}
        )
