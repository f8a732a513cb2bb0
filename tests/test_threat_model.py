"""The threat model: every row names ids that exist and tests that are there."""

import re

from project_paths import ROOT

ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "THREAT_MODEL.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and line.count(" | ") == 3
][1:]


def test_every_row_points_to_tests_that_exist():
    assert len(ROWS) > 20
    for threat, _, _, tests in ROWS:
        places = re.findall(r"`([^`]+)`", tests)
        assert places, threat
        for place in places:
            assert (ROOT / place).exists(), (threat, place)
            found = [ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("test_*.py")
            assert list(found), (threat, place)


def test_every_id_of_both_lists_is_answered():
    ids = {one for _, told, *_ in ROWS for one in re.findall(r"\b(?:LLM|ASI)\d\d\b", told)}
    wanted = {f"{name}{n:02}" for name in ("LLM", "ASI") for n in range(1, 11)}
    assert ids == wanted
