"""The file of calls: what it says is what happened, wherever it is cut off."""

import json
import shutil
import tracemalloc

import pytest
from stillroom.errors import ConfigError, DataError
from stillroom.labeling.batch.budget import Ledger
from stillroom.labeling.batch.failures import CallFault
from stillroom.labeling.batch.journal import CALLS_FILE, Journal
from stillroom.labeling.batch.label_run import LabelFault
from stillroom.labeling.teachers.protocol import TeacherAnswer
from stillroom.records import sha256_text

TIMEOUT = CallFault("timeout", "too late", again=True, answered=False, free=False)
REFUSED = CallFault("llm_api_error", "500", again=True, answered=True, free=True)
BROKEN = CallFault("json_parse_error", "?", again=True, answered=True, free=False)
WRONG = CallFault("rejected", "no", again=True, answered=True, free=False)


def story(journal, once=False):
    """Some of everything."""
    for key in "abcde":
        journal.sent(key, 1.0, once=once)
    charged = {"most": 1.0, "once": once}
    first = TeacherAnswer("Grüße\n", "stop", 3, 2, "m")
    journal.answered("a", first, good=True, cost=0.25, **charged)
    journal.failed("b", REFUSED, most=1.0, cost=0.0, once=once)
    journal.failed("c", TIMEOUT, most=1.0, cost=None, once=once)
    journal.sent("c", 1.0, once=once)
    journal.answered("c", TeacherAnswer("c", "stop", 3, 2, "m"), good=False, cost=0.5, **charged)
    journal.accept("c")
    journal.answered("d", TeacherAnswer("d", "stop", 3, 2, "m"), good=False, cost=0.125, **charged)
    journal.failed("d", WRONG, cost=0.125, **charged)
    journal.give_up("d", LabelFault("rejected", "no", 1))


def labels(journal):
    found = {key: journal.label(key) for key in "abcde"}
    return {key: answer for key, answer in found.items() if answer is not None}


def state(journal):
    return (
        labels(journal), journal.unjudged, journal.dead, +journal.attempts, +journal.rejections,
        journal.under_way, journal.ledger.known, journal.ledger.most,
        [journal.call_id(key) for key in "abcde"],
    )  # fmt: skip


def test_reading_gives_what_was_written(tmp_path):
    with Journal(tmp_path) as journal:
        story(journal)
        before = state(journal)
    with Journal(tmp_path) as again:
        assert state(again) == before
        assert again.label("a").text == "Grüße\n"
        assert again.under_way == {"e"}
        assert again.attempts == {"b": 1, "c": 1, "d": 1}
        assert again.rejections == {"d": 1, "b": 0, "c": 0}
        assert labels(again).keys() == {"a", "c"}
        assert again.unjudged == set()
        assert again.ledger.known == 0.875
        assert again.ledger.most == 0.875 + 2.0  # e is under way, and c was too late once


def test_money_is_known_or_the_most():
    """Known: 0.25 + 0.5 + 0.125; `e` is under way, and the timeout may have cost its 1."""
    for once, most in ((False, 0.875 + 2.0), (True, 0.875 + 1.0)):
        ledger = Ledger()
        for key in "abcde":
            ledger.charge(key, 1.0, once=once)
        for key, cost in (("a", 0.25), ("b", 0.0), ("d", 0.125)):
            ledger.settle(key, 1.0, cost, once=once)
        ledger.charge("c", 1.0, once=once)
        ledger.settle("c", 1.0, 0.5, once=once)
        assert ledger.known == 0.875
        assert ledger.most == most
        assert ledger.fits("e", 1.0, most, once=once) == once  # charged once is charged already
        assert ledger.fits("x", 1.0, most + 1.0, once=once)
        assert not ledger.fits("x", 1.0, most + 0.99, once=once)


def test_a_call_keeps_its_id_until_it_is_known_to_have_ended(tmp_path):
    charged = {"most": 1.0, "once": False}
    ids = []
    with Journal(tmp_path) as journal:

        def send(*outcome):
            ids.append(journal.call_id("k"))
            journal.sent("k", 1.0, once=False)
            if outcome:
                journal.failed("k", *outcome, cost=0.0 if outcome[0].free else None, **charged)

        send(REFUSED)  # known to have ended
        send(TIMEOUT)
        send(REFUSED)  # this one, but not the one before
        assert journal.ledger.most == 1.0
        send(BROKEN)  # a whole answer that cannot be read
        assert journal.ledger.most == 2.0
        send()
    with Journal(tmp_path) as journal:  # as if it had died
        assert journal.under_way == {"k"}
        send(REFUSED)
        ids.append(journal.call_id("k"))
    assert [ids.index(one) for one in ids] == [0, 1, 1, 1, 4, 4, 4]
    with Journal(tmp_path / "other") as other:  # other samples may be wanted there
        assert other.call_id("k") not in ids


def test_a_file_cut_anywhere_is_read_up_to_its_last_line(tmp_path):
    with Journal(tmp_path / "whole") as journal:
        story(journal)
    content = (tmp_path / "whole" / CALLS_FILE).read_bytes()
    folder = tmp_path / "cut"
    folder.mkdir()
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    sizes = {size + step for size in [0, *ends] for step in (-1, 0, 1)} | set(
        range(0, ends[-1], 23)
    )
    for size in sorted(sizes & set(range(len(content) + 1))):
        (folder / CALLS_FILE).write_bytes(content[:size])
        with Journal(folder) as journal:
            whole = content[:size].count(b"\n")
            assert (journal.label("a") is not None) == (whole >= 7)
            assert journal.under_way <= set("abcde")
            journal.sent("z", 0.0, once=False)
        lines = (folder / CALLS_FILE).read_bytes().splitlines()
        assert len(lines) == max(1, whole) + 1
        assert all(json.loads(line) for line in lines)
        shutil.rmtree(folder)
        folder.mkdir()


def test_answers_come_back_as_they_were_and_take_no_memory(tmp_path):
    """The newest answer of each key, for more than the cache holds."""
    charged = {"most": 0.0, "cost": 0.0, "once": False}
    count = 20_000
    with Journal(tmp_path) as journal:
        tracemalloc.start()
        for number in [*range(count), 7]:
            text = f"Zürich {number} " + "x" * 200
            key, answer = sha256_text(str(number)), TeacherAnswer(text, "stop", 3, 2, "m")
            journal.sent(key, 0.0, once=False)
            journal.answered(key, answer, good=True, **charged)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert held / count < 10, "bytes of memory per answer"
        before = journal.call_id(sha256_text("7"))
    with Journal(tmp_path) as again:
        for number in (0, 7, 9_999, count - 1):
            assert again.label(sha256_text(str(number))).text.startswith(f"Zürich {number} x")
        assert again.label(sha256_text("no")) is None
        assert again.call_id(sha256_text("7")) == before
        again.revive(sha256_text("7"))
        assert again.label(sha256_text("7")) is None
        assert again.call_id(sha256_text("7")) == before, "its calls stay counted"


def test_one_process_at_a_time(tmp_path):
    with Journal(tmp_path), pytest.raises(ConfigError, match="another labelling writes to it"):
        Journal(tmp_path)
    with Journal(tmp_path):
        pass


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"nonsense\n", "line 2.*damaged"),
        (b'{"t": "answer", "key": "k"}\n', "line 2.*damaged"),
        (
            b'{"t": "answer", "key": "k", "good": true, "most": 0, "cost": 0, "once": false}\n',
            "line 2.*damaged",
        ),
        (b'{"t": "new", "key": "k"}\n', "unknown kind 'new'"),
    ],
)
def test_damage_in_the_middle_is_told_with_its_line(tmp_path, line, words):
    with Journal(tmp_path):
        pass
    path = tmp_path / CALLS_FILE
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(DataError, match=words):
        Journal(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"t": "again", "key": "k"}\n', "is not the calls of a labelling"),
        (b'{"t": "folder", "version": 9, "nonce": "n"}\n', "version 9"),
    ],
)
def test_another_file_is_refused(tmp_path, content, words):
    (tmp_path / CALLS_FILE).write_bytes(content)
    with pytest.raises(DataError, match=words):
        Journal(tmp_path)
