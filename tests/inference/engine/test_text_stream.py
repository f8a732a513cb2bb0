"""Tokens to text: what may be shown, and stop texts wherever tokens end."""

from __future__ import annotations

import pytest
import torch
from stillroom.errors import ConfigError
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.engine.detokenize import TextStream, decode_answer
from stillroom.inference.generate import generate_texts
from tiny_model import PAIRS, make_tokenizer

PROMPTS = [*PAIRS, "gold", "one two", "Au Ag" * 9]
COUNT = list(PAIRS)[-1]


def streamed(checkpoint, prompt, **settings):
    chat = ChatStudent(model=checkpoint, seed=0, **settings)
    return [chunk.text for chunk in chat.stream(prompt) if chunk.text]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(("name", "temperature"), [("tiny", 0.0), ("tiny", 3.0), ("restless", 0.0)])
def test_a_stream_adds_up_to_the_answer(request, name, prompt, temperature):
    checkpoint = request.getfixturevalue(name)
    options = {"max_new_tokens": 30, "temperature": temperature}
    (answer,) = generate_texts(checkpoint, [prompt], **options)
    pieces = streamed(checkpoint, prompt, max_tokens=30, temperature=temperature)
    assert "".join(pieces) == answer.text
    if name == "tiny" and temperature == 0.0 and prompt in PAIRS:
        assert not any("\ufffd" in piece for piece in pieces), "half a character was shown"


@pytest.mark.parametrize("stop", ["three", "ee four", "o th", "twelve", "e", "one", "no such"])
def test_stop_texts_end_the_answer_wherever_tokens_end(tiny, stop):
    whole = PAIRS[COUNT]
    wanted = whole[: whole.find(stop)] if stop in whole else whole
    assert ChatStudent(model=tiny, stop=[stop]).invoke(COUNT).text == wanted
    shown = ""
    for piece in streamed(tiny, COUNT, stop=[stop]):
        shown += piece
        assert wanted.startswith(shown), "a stop text, or the beginning of one, was shown"
    assert shown == wanted


def test_the_earliest_of_several_stop_texts_counts(tiny):
    assert "".join(streamed(tiny, COUNT, stop=["four", "three", "ten"])) == "one two "


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_a_stop_text_ends_decoding(tiny, way):
    chat = ChatStudent(model=tiny, stop=["three"])
    before = chat.serving_engine.stats()
    if way == "invoke":
        message = chat.invoke(COUNT)
    else:
        *_, message = chat.stream(COUNT)
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.usage_metadata["output_tokens"] < 12
    after = chat.serving_engine.stats()
    assert after.cancelled - before.cancelled == 1, "the engine was left to go on"


def test_any_tokens_decode_alike_at_once_and_in_pieces():
    tokenizer = make_tokenizer()
    source = torch.Generator().manual_seed(5)
    for _ in range(200):
        ids = torch.randint(0, len(tokenizer), (24,), generator=source).tolist()
        stream = TextStream(tokenizer)
        text = "".join(stream.add(token) for token in ids) + stream.finish()
        assert text == decode_answer(tokenizer, ids)


def test_an_empty_stop_text_is_refused(tiny):
    with pytest.raises(ConfigError, match="stop text is empty"):
        streamed(tiny, "gold", stop=[""])
