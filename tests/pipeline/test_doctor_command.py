"""`stillroom doctor`: what is told is what pyproject says and the machine has."""

import json
import re
import socket
import tomllib

import pytest
from project_paths import ROOT
from stillroom.cli import main
from stillroom.pipeline.commands import doctor

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOR_DEVELOPERS = {"test", "bench", "dev"}


def test_packages_and_extras_are_those_of_the_project():
    needed = {re.match(r"[\w.-]+", one)[0] for one in PROJECT["dependencies"]}
    assert set(doctor.NEEDED) == needed
    assert set(doctor.EXTRAS) == set(PROJECT["optional-dependencies"]) - FOR_DEVELOPERS


def test_a_healthy_machine_ends_with_0_and_one_document(capsys, monkeypatch):
    def no_network(*_):
        raise AssertionError("nobody asked for a network call")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    assert main(["doctor", "--quick", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["missing"] == []
    assert told["machine"]["usable_cores"] >= 1
    assert 1 <= told["settings"]["threads"] <= told["machine"]["cores"]
    assert "index" not in told
    assert all(one["fits"] for one in told["packages"].values())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"python": "3.10.9"}, "Python 3.11; this is 3.10.9"),
        ({"memory_bytes": 5e8}, "1.0 GB of memory; there are 0.5 GB"),
        ({"free_disk_bytes": {"outputs": 2e8, "models": 9e9}}, "1.0 GB of free disk"),
    ],
)
def test_what_is_missing_is_named(change, said):
    machine = {"python": "3.12.1", "memory_bytes": 8e9,
               "free_disk_bytes": {"outputs": 9e9, "models": 9e9}}  # fmt: skip
    assert doctor.list_missing({"machine": machine, "packages": {}}) == []
    (fault,) = doctor.list_missing({"machine": machine | change, "packages": {}})
    assert said in fault


def test_an_old_or_absent_package_ends_with_1(monkeypatch, capsys):
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: "0.1" if name == "torch" else real(name))
    assert main(["doctor", "--quick"]) == 1
    told = capsys.readouterr()
    least = doctor._least_versions()["torch"]
    assert f"pip install 'torch>={least}'" in told.out
    assert "1 of what stillroom needs is missing" in told.err
