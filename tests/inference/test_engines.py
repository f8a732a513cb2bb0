"""One engine for all who ask for the same model, as long as somebody does."""

from __future__ import annotations

import gc
import shutil
import threading
import weakref

import pytest
from stillroom.errors import ConfigError
from stillroom.inference import open_engine as engines
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.open_engine import open_engine
from tiny_model import PAIRS

GOLD, *_ = PAIRS


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "student")


@pytest.fixture
def loads(monkeypatch):
    """Count how often weights are read."""
    seen, load = [], engines.load_checkpoint
    monkeypatch.setattr(engines, "load_checkpoint", lambda *a, **k: seen.append(a) or load(*a, **k))
    return seen


def test_chat_models_of_one_folder_share_one_engine(folder, loads):
    chats = [ChatStudent(model=str(folder)), ChatStudent(model=folder, temperature=1.0)]
    chats.append(ChatStudent(model=folder / ".." / folder.name, engine="transformers"))
    assert len({id(chat.serving_engine) for chat in chats}) == 1
    assert len({id(chat.checkpoint.model) for chat in chats}) == 1
    assert len(loads) == 1
    assert [chat.invoke(GOLD, temperature=0).text for chat in chats] == ["Au"] * 3


def test_threads_that_ask_at_once_load_once(folder, loads):
    found = []
    threads = [threading.Thread(target=lambda: found.append(open_engine(folder))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == len(loads) == 1


def test_a_folder_that_was_trained_again_is_loaded_again(folder, saved, loads):
    first = open_engine(folder)
    shutil.rmtree(folder)
    shutil.copytree(saved, folder)
    assert open_engine(folder) is not first
    assert len(loads) == 2


def test_a_model_that_nobody_uses_goes(folder):
    chat = ChatStudent(model=folder)
    assert chat.invoke(GOLD).text == "Au"
    chat.serving_engine.close()
    kept = weakref.ref(chat.checkpoint.model)
    del chat
    gc.collect()
    assert kept() is None


def test_a_closed_engine_is_not_given_out_again(folder):
    first = open_engine(folder)
    first.close()
    second = open_engine(folder)
    assert second is not first
    assert ChatStudent(model="any", engine=second).invoke(GOLD).text == "Au"


def test_loaded_checkpoints_share_by_object(tiny, restless):
    assert open_engine(tiny) is open_engine(tiny)
    assert open_engine(tiny) is not open_engine(restless)


def test_unknown_engines_are_refused(tiny):
    with pytest.raises(ConfigError, match=r"'warp'.*transformers"):
        ChatStudent(model=tiny, engine="warp")
    with pytest.raises(ConfigError, match="model is missing"):
        ChatStudent()
