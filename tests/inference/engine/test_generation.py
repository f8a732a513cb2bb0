from __future__ import annotations

import math
import threading

import pytest
import torch
from stillroom.errors import ConfigError, GenerationError
from stillroom.inference.checkpoints.load_student import Checkpoint
from stillroom.inference.engine.sampling import make_draws, sample
from stillroom.inference.generate import generate_texts
from tiny_model import PAIRS, make_model, make_tokenizer, peer_generate

PROMPTS = list(PAIRS)
STRANGE = [
    "gold",
    "Question: Who counts silver metal?\n\nAnswer:",
    "one two",
    "Au Ag" * 9,
    "eleven",
]


def test_answers_what_was_learned(tiny):
    answers = generate_texts(tiny, PROMPTS)
    assert [answer.text for answer in answers] == list(PAIRS.values())
    assert all(answer.finish_reason == "stop" for answer in answers)
    assert "Assistant:" in answers[3].text  # an answer is never searched for its beginning


@pytest.mark.parametrize("name", ["tiny", "restless"])
@pytest.mark.parametrize("prompt", [*PROMPTS, *STRANGE])
def test_greedy_tokens_are_those_of_transformers(request, name, prompt):
    checkpoint = request.getfixturevalue(name)
    ids = checkpoint.tokenizer(prompt)["input_ids"]
    wanted = peer_generate(checkpoint.model, ids, 40)
    (answer,) = generate_texts(checkpoint, [prompt], max_new_tokens=40)
    assert list(answer.token_ids) == wanted
    ended = wanted[-1] == checkpoint.tokenizer.eos_token_id
    assert answer.finish_reason == ("stop" if ended else "length")
    assert answer.prompt_tokens == len(ids)
    if name == "restless":
        assert len(set(wanted)) > 10, "a comparison of repeated tokens would show nothing"


@pytest.mark.parametrize("name", ["tiny", "restless"])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
def test_batch_and_order_change_nothing(request, name, batch_size):
    checkpoint = request.getfixturevalue(name)
    prompts = [*PROMPTS, *STRANGE]
    alone = [generate_texts(checkpoint, [prompt], max_new_tokens=12)[0] for prompt in prompts]
    together = generate_texts(checkpoint, prompts, max_new_tokens=12, batch_size=batch_size)
    backwards = generate_texts(checkpoint, prompts[::-1], max_new_tokens=12, batch_size=batch_size)
    for one, many, back in zip(alone, together, backwards[::-1], strict=True):
        assert one.token_ids == many.token_ids == back.token_ids
        assert one.text == many.text == back.text
        assert one.logprobs == pytest.approx(many.logprobs, abs=1e-3)


def test_logprobs_are_those_of_one_forward_pass(tiny):
    (answer,) = generate_texts(tiny, [PROMPTS[2]])
    prompt = tiny.tokenizer(PROMPTS[2])["input_ids"]
    ids = torch.tensor([[*prompt, *answer.token_ids]])
    with torch.inference_mode():
        rows = tiny.model(input_ids=ids).logits.log_softmax(-1)[0, len(prompt) - 1 : -1]
    wanted = [row[token].item() for row, token in zip(rows, answer.token_ids, strict=True)]
    assert answer.logprobs == pytest.approx(wanted, abs=1e-4)


def test_samples_depend_on_seed_and_prompt_alone(tiny):
    def sample(prompts, **options):
        return [g.token_ids for g in generate_texts(tiny, prompts, max_new_tokens=12, **options)]

    hot = {"temperature": 2.0, "seed": 7}
    together = sample(STRANGE, **hot)
    assert together == sample(STRANGE, **hot, batch_size=2)
    assert together == [sample([prompt], **hot)[0] for prompt in STRANGE]
    assert together[::-1] == sample(STRANGE[::-1], **hot)
    assert together != sample(STRANGE, temperature=2.0, seed=8)
    first, second = sample([STRANGE[0]] * 2, **hot)
    assert first != second, "a repeated prompt gets a sample of its own"
    assert first == together[0]


def sampled(tiny, draws, **settings):
    """Sample the token after a prompt many times; give the tokens and their distribution."""
    ids = tiny.tokenizer(STRANGE[1])["input_ids"]
    with torch.inference_mode():
        logits = tiny.model(input_ids=torch.tensor([ids])).logits[:, -1]
    options = {"temperature": 2.0, "top_p": 1.0, "top_k": logits.shape[1], **settings}
    numbers = torch.cat([make_draws(seed, ids, 1) for seed in range(draws)])
    columns = [torch.full((draws,), value) for value in options.values()]
    tokens = sample(logits.expand(draws, -1), *columns, numbers)
    return tokens, (logits[0] / options["temperature"]).softmax(-1)


def test_samples_follow_the_distribution(tiny):
    draws = 4000
    tokens, wanted = sampled(tiny, draws)
    seen = torch.zeros(len(wanted)).index_add_(0, tokens, torch.ones(draws))
    spread = (wanted * (1 - wanted) / draws).sqrt()
    assert ((seen / draws - wanted).abs() <= 5 * spread + 1 / draws).all()


def test_top_p_keeps_to_the_likeliest(tiny):
    tokens, wanted = sampled(tiny, 500, temperature=3.0, top_p=0.5)
    ranked, order = wanted.sort(descending=True)
    allowed = set(order[: int((ranked.cumsum(0) < 0.5).sum()) + 1].tolist())
    assert 1 < len(allowed) < len(wanted)
    seen = set(tokens.tolist())
    assert seen <= allowed
    assert len(seen) > len(allowed) / 2


def test_threads_get_their_own_answers(tiny):
    results = {}

    def ask(prompt):
        results[prompt] = generate_texts(tiny, [prompt])[0].text

    threads = [threading.Thread(target=ask, args=(prompt,)) for prompt in PROMPTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == PAIRS


def test_nothing_of_the_engine_stays(tiny):
    before = set(threading.enumerate())
    generate_texts(tiny, PROMPTS)
    new = set(threading.enumerate()) - before
    assert not [one for one in new if one.name == "stillroom-engine"]


def test_progress_counts_prompts(tiny):
    seen = []
    generate_texts(tiny, PROMPTS[:5], batch_size=2, progress=lambda *pair: seen.append(pair))
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_nothing_to_answer(tiny):
    assert generate_texts(tiny, []) == []


def test_special_tokens_in_a_prompt_are_plain_text(tiny):
    end = tiny.tokenizer.eos_token
    (answer,) = generate_texts(tiny, [f"a {end} b"], max_new_tokens=1)
    assert answer.prompt_tokens > 5, "the name of the end token became the end token"


@pytest.mark.parametrize(("words", "match"), [("", "empty"), ("gold " * 300, r"\d+ tokens.*256")])
def test_prompts_without_room_are_refused(tiny, words, match):
    with pytest.raises(GenerationError, match=match):
        generate_texts(tiny, ["gold", words])


def test_the_context_ends_an_answer(tiny):
    prompt = "gold " * 250
    ids = tiny.tokenizer(prompt)["input_ids"]
    answers = generate_texts(tiny, [prompt, "silver"], max_new_tokens=50)
    assert len(answers[0].token_ids) <= 256 - len(ids)


@pytest.mark.parametrize(
    "options",
    [{"max_new_tokens": 0}, {"temperature": -1.0}, {"temperature": math.nan}, {"top_p": 0.0}],
)
def test_settings_out_of_range_are_refused(tiny, options):
    (name,) = options
    with pytest.raises(ConfigError, match=name.replace("max_new", "max")):
        generate_texts(tiny, ["gold"], **options)


def test_damaged_weights_give_an_error_and_no_answer():
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    checkpoint = Checkpoint(model, tokenizer, None, "damaged", {})
    with pytest.raises(GenerationError, match="no finite numbers"):
        generate_texts(checkpoint, ["gold"])
