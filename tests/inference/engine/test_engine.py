"""What an engine answers: the tokens of the model, whoever else is served."""

from __future__ import annotations

import asyncio
import random

import pytest
import torch
from engine_tools import ask, eventually, held, ids_of, serving
from stillroom.errors import ConfigError, GenerationError
from stillroom.inference.checkpoints.load_student import Checkpoint
from stillroom.inference.engine.protocol import Engine, GenerationRequest, Usage
from stillroom.inference.scoring.choices import score_continuations
from tiny_model import PAIRS, make_model, make_tokenizer, peer_generate


@pytest.fixture(scope="module")
def engine(restless):
    with serving(restless) as engine:
        yield engine


def prompts(count, seed=0):
    chance = random.Random(seed)
    return [[chance.randrange(1, 400) for _ in range(chance.randint(1, 60))] for _ in range(count)]


def test_it_is_an_engine(engine):
    assert isinstance(engine, Engine)
    assert engine.takes == "ids"
    assert engine.ready()


def test_greedy_tokens_are_those_of_generate_whatever_else_runs(restless, engine):
    asked = prompts(60)
    limits = [random.Random(7).randint(1, 25) for _ in asked]
    streams = [engine.submit(ask(p, n)) for p, n in zip(asked, limits, strict=True)]
    hot = [engine.submit(ask(p, 25, temperature=2.0)) for p in asked[:9]]
    for prompt, limit, stream in zip(asked, limits, streams, strict=True):
        wanted = peer_generate(restless.model, prompt, limit, min_new_tokens=0)
        got = ids_of(stream.collect())
        end = restless.tokenizer.eos_token_id
        assert got[: len(wanted)] == wanted
        assert len(got) == limit or wanted[-1] == end
        assert stream.finish_reason == "length"
        assert stream.usage == Usage(len(prompt), limit)
    for stream in hot:
        stream.collect()


def test_a_student_ends_where_it_learned_to(tiny):
    with serving(tiny) as engine:
        streams = {
            prompt: engine.submit(GenerationRequest(tiny.tokenizer(prompt)["input_ids"]))
            for prompt in PAIRS
        }
        for prompt, stream in streams.items():
            events = stream.collect()
            assert tiny.tokenizer.decode(ids_of(events[:-1])).strip() == PAIRS[prompt]
            assert [e.finish_reason for e in events] == [None] * (len(events) - 1) + ["stop"]


def test_samples_depend_on_seed_and_prompt_whatever_else_runs(restless, engine):
    asked = prompts(8, seed=3)
    settings = {"temperature": 1.5, "top_p": 0.9, "seed": 11}
    noise = [engine.submit(ask(p, 40, temperature=3.0, top_k=5)) for p in prompts(9, seed=4)]
    streams = [engine.submit(ask(p, 12, **settings)) for p in asked]
    with serving(restless, most_running=1) as lonely:
        for prompt, stream in zip(asked, streams, strict=True):
            alone = lonely.submit(ask(prompt, 12, **settings))
            assert ids_of(stream.collect()) == ids_of(alone.collect())
    other = engine.submit(ask(asked[0], 12, **{**settings, "seed": 12})).collect()
    assert ids_of(other) != ids_of(engine.submit(ask(asked[0], 12, **settings)).collect())
    for stream in noise:
        stream.collect()


def test_top_k_keeps_to_the_likeliest(restless, engine):
    request = {"temperature": 5.0, "top_k": 3, "top_logprobs": 3}
    for seed in range(5):
        for event in engine.submit(ask(max_tokens=10, seed=seed, **request)).collect():
            assert event.token_id in [one.token_id for one in event.alternatives]
    wide = engine.submit(ask(max_tokens=40, temperature=5.0, top_logprobs=3)).collect()
    assert any(e.token_id not in [one.token_id for one in e.alternatives] for e in wide)


def test_logprobs_and_alternatives_are_those_of_one_pass(restless, engine):
    events = engine.submit(ask((5, 6, 7), 8, top_logprobs=4)).collect()
    ids = torch.tensor([[5, 6, 7, *ids_of(events)]])
    with torch.inference_mode():
        rows = restless.model(input_ids=ids).logits.log_softmax(-1)[0, 2:-1]
    for event, row in zip(events, rows, strict=True):
        assert event.logprob == pytest.approx(row[event.token_id].item(), abs=1e-3)
        best = row.topk(4)
        assert [one.token_id for one in event.alternatives] == best.indices.tolist()
        wanted = pytest.approx(best.values.tolist(), abs=1e-3)
        assert [one.logprob for one in event.alternatives] == wanted


def test_twenty_four_callers_cost_the_steps_of_one(restless):
    with serving(restless) as engine:
        with held(restless):
            streams = [engine.submit(ask((5, n), 40, caller=str(n))) for n in range(24)]
        for stream in streams:
            stream.collect()
        stats = engine.stats()
    assert stats.tokens == 24 * 40
    # One starts alone while the others are still asking; then all take the same steps.
    assert 40 <= stats.steps <= 42


def test_async_readers_share_the_steps_as_well(restless):
    async def together(engine):
        with held(restless):
            streams = [engine.submit(ask((5, n), 30)) for n in range(24)]
        return await asyncio.gather(*(stream.acollect() for stream in streams))

    with serving(restless) as engine:
        answers = asyncio.run(together(engine))
        assert engine.stats().steps <= 32
        assert [len(answer) for answer in answers] == [30] * 24


def test_more_than_fit_wait_their_turn(restless):
    with serving(restless, most_running=3) as engine:
        streams = [engine.submit(ask((5, n), 12)) for n in range(10)]
        most = 0
        for stream in streams:
            for _ in stream:
                most = max(most, engine.stats().running)
        assert most == 3
        assert engine.stats().finished == 10


def test_scores_are_those_of_the_model(restless, engine):
    choices = [[5], [6, 7], [8, 9, 10]]
    streams = [engine.submit(ask((5, n), 30)) for n in range(5)]
    scores = engine.score_choices([3, 4], choices).result(20)
    assert scores == pytest.approx(score_continuations(restless.model, [3, 4], choices), abs=1e-4)
    for stream in streams:
        stream.collect()

    async def awaited():
        return await asyncio.wrap_future(engine.score_choices([3, 4], choices))

    assert asyncio.run(awaited()) == pytest.approx(scores)
    with pytest.raises(GenerationError, match="empty one"):
        engine.score_choices([3], [[4], []])


class Even:
    """A form: even ids only, and the answer ends after five."""

    def __init__(self, fault=None):
        self.taken, self._fault = [], fault

    def mask(self, generated):
        assert list(generated) == self.taken
        if self._fault is not None:
            raise self._fault
        return torch.arange(300) % 2 == 0

    def accept(self, token_id):
        self.taken.append(token_id)
        return len(self.taken) == 5


@pytest.mark.parametrize("temperature", [0.0, 4.0])
def test_a_form_binds_its_own_request_only(restless, engine, temperature):
    form = Even()
    with held(restless):
        bound = engine.submit(ask(max_tokens=30, temperature=temperature, constraint=form))
        free = engine.submit(ask(max_tokens=30))
    events = bound.collect()
    assert ids_of(events) == form.taken
    assert len(events) == 5
    assert all(token % 2 == 0 and token < 300 for token in form.taken)
    assert bound.finish_reason == "stop"
    wanted = ids_of(engine.submit(ask(max_tokens=30)).collect())
    assert ids_of(free.collect()) == wanted
    assert any(token % 2 for token in wanted), "the form forbade nothing"


def test_a_form_that_breaks_breaks_its_own_request_only(restless, engine):
    class Closed(Even):
        def mask(self, generated):
            return torch.zeros(400, dtype=torch.bool)

    with held(restless):
        free = engine.submit(ask(max_tokens=10))
        broken = engine.submit(ask(constraint=Even(KeyError("rule"))))
        closed = engine.submit(ask(constraint=Closed()))
    with pytest.raises(GenerationError, match=r"KeyError.*rule"):
        broken.collect()
    with pytest.raises(GenerationError, match="no way to go on"):
        closed.collect()
    assert len(free.collect()) == 10


@pytest.mark.parametrize(
    ("ids", "match"),
    [((), "empty"), ((1, 400), "ids from 1 to 400"), ((-1,), "-1"), ([1] * 256, "256")],
)
def test_prompts_that_would_break_everyones_pass_are_refused(engine, ids, match):
    with pytest.raises(GenerationError, match=match):
        engine.submit(ask(ids))


def test_settings_out_of_range_are_refused_all_at_once():
    with pytest.raises(ConfigError) as caught:
        GenerationRequest((1,), max_tokens=0, temperature=-1, top_p=0, top_k=0, top_logprobs=99)
    assert len(caught.value.faults) == 5


def test_the_context_ends_an_answer(engine):
    stream = engine.submit(ask([7] * 250, 50))
    assert len(stream.collect()) == 6
    assert stream.finish_reason == "length"


def test_damaged_weights_fail_a_request_and_no_text_is_given():
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    with serving(Checkpoint(model, tokenizer, None, "damaged", {})) as engine:
        with pytest.raises(GenerationError, match="no finite numbers"):
            engine.submit(ask()).collect()
        eventually(lambda: engine.stats().running == 0)
