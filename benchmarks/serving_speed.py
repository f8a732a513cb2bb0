"""Compare answers per second of `ChatStudent` and `ChatHuggingFace`, with one caller and many.

    pip install langchain-huggingface
    python benchmarks/serving_speed.py                     # 3M and 32M parameters, 5 rounds
    python benchmarks/serving_speed.py --sizes 3M --rounds 3 --threads 1

Both serve the same random weights with the same tokenizer in one process. It is checked first that
they give the same tokens. They alternate, and medians are reported. Processor seconds per token are
reported too, since they are more reliable on a busy machine. Then 16 answers are streamed at once
in one event loop, and the delay of that loop is measured (99th percentile).

`--manager` adds transformers' own continuous batching.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stillroom.inference.checkpoints.load_student import Checkpoint

SIZES = {
    "3M": {"vocab_size": 4096, "hidden_size": 256, "num_hidden_layers": 3, "heads": 4},
    "32M": {"vocab_size": 32000, "hidden_size": 512, "num_hidden_layers": 5, "heads": 8},
}
PROMPT_WORDS = 40
Ask = Callable[[Sequence[str]], list[str]]


def make_checkpoint(size: str, tokens: int) -> Checkpoint:
    """Make a random Llama with a byte-level tokenizer; it runs to the limit of every answer."""
    import torch
    from stillroom.inference.checkpoints.load_student import Checkpoint
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    shape = dict(SIZES[size])
    heads = shape.pop("heads")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: place for place, letter in enumerate(letters)}
    while len(vocabulary) < shape["vocab_size"] - 1:  # words that only a random model says
        vocabulary[f"Ġw{len(vocabulary)}"] = len(vocabulary)
    raw = Tokenizer(models.BPE(vocabulary, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    end = "<|end|>"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=end, pad_token=end)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            **shape,
            intermediate_size=3 * shape["hidden_size"],
            num_attention_heads=heads,
            num_key_value_heads=heads // 2,
            max_position_embeddings=1024,
            initializer_range=0.1,  # with less a random model repeats one token
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    ).eval()
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] = 0  # never the likeliest
    model.generation_config.max_new_tokens = tokens
    return Checkpoint(model, tokenizer, None, size, {})


def make_prompts(count: int) -> list[str]:
    """Write prompts that differ from their first words on."""
    return [" ".join(f"q{(caller * 7 + word) % 97}" for word in range(PROMPT_WORDS))
            for caller in range(count)]  # fmt: skip


def ours(checkpoint: Checkpoint, tokens: int) -> Ask:
    """Ask `ChatStudent`, all callers in one event loop."""
    from stillroom.inference.chat.chat_model import ChatStudent

    chat = ChatStudent(model=checkpoint, max_tokens=tokens)

    async def together(prompts: Sequence[str]) -> list[str]:
        return [m.text for m in await asyncio.gather(*(chat.ainvoke(p) for p in prompts))]

    return lambda prompts: (
        [chat.invoke(prompts[0]).text] if len(prompts) == 1 else asyncio.run(together(prompts))
    )


def theirs(checkpoint: Checkpoint, tokens: int) -> Ask:
    """Ask `ChatHuggingFace`, every caller in a thread; it has no async of its own."""
    from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline
    from transformers import pipeline

    checkpoint.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    pipe = pipeline(
        "text-generation",
        model=checkpoint.model,
        tokenizer=checkpoint.tokenizer,
        max_new_tokens=tokens,
        do_sample=False,
        return_full_text=False,
    )
    chat = ChatHuggingFace(
        llm=HuggingFacePipeline(pipeline=pipe), tokenizer=checkpoint.tokenizer, model_id="local"
    )

    def ask(prompts: Sequence[str]) -> list[str]:
        with ThreadPoolExecutor(len(prompts)) as pool:
            return list(pool.map(lambda prompt: str(chat.invoke(prompt).content), prompts))

    return ask


def manager(checkpoint: Checkpoint, tokens: int) -> Ask:
    """Ask transformers' continuous batching."""
    from transformers import GenerationConfig

    tokenizer = checkpoint.tokenizer
    config = GenerationConfig(max_new_tokens=tokens, do_sample=False, eos_token_id=-1)

    def ask(prompts: Sequence[str]) -> list[str]:
        ids = [tokenizer(prompt)["input_ids"] for prompt in prompts]
        done = checkpoint.model.generate_batch(ids, generation_config=config)
        answers = sorted(done.values(), key=lambda one: int(one.request_id.rsplit("_", 1)[-1]))
        return [tokenizer.decode(one.generated_tokens) for one in answers]

    return ask


def measure(
    ways: dict[str, Ask], prompts: Sequence[str], tokens: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Let all take turns; give tokens per second and processor milliseconds per token."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, ask in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            ask(prompts)
            made = tokens * len(prompts)
            if turn > 0:  # the first warms up
                rates[name].append(made / (time.perf_counter() - wall))
                costs[name].append(1000 * (time.process_time() - cpu) / made)
    return {
        name: {
            "tokens_per_s": round(statistics.median(rates[name]), 1),
            "processor_ms_per_token": round(statistics.median(costs[name]), 3),
        }
        for name in ways
    }


async def loop_lag_ms(checkpoint: Checkpoint, tokens: int, callers: int) -> dict[str, float]:
    """Stream answers at once and measure how late a task that wants every millisecond comes."""
    from stillroom.inference.chat.chat_model import ChatStudent

    chat = ChatStudent(model=checkpoint, max_tokens=tokens)

    async def read(prompt: str) -> int:
        return sum([1 async for _ in chat.astream(prompt)])

    late: list[float] = []
    reading = asyncio.gather(*(read(prompt) for prompt in make_prompts(callers)))
    while not reading.done():
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append(1000 * (time.perf_counter() - before) - 1)
    late.sort()
    return {
        "chunks": sum(await reading),
        "median": round(late[len(late) // 2], 2),
        "p99": round(late[int(len(late) * 0.99)], 2),
        "most": round(late[-1], 2),
    }


def report(size: str, options: argparse.Namespace) -> dict[str, Any]:
    checkpoint = make_checkpoint(size, options.tokens)
    ways = {"ChatStudent": ours(checkpoint, options.tokens),
            "ChatHuggingFace": theirs(checkpoint, options.tokens)}  # fmt: skip
    if options.manager:
        ways["transformers continuous batching"] = manager(checkpoint, options.tokens)
    for prompt in make_prompts(2):
        answers = {name: ask([prompt])[0].strip() for name, ask in ways.items()}
        if len(set(answers.values())) != 1:
            raise SystemExit(f"the answers differ, so their speeds cannot be compared: {answers}")
    told: dict[str, Any] = {"parameters": sum(p.numel() for p in checkpoint.model.parameters())}
    for callers in options.callers:
        found = measure(ways, make_prompts(callers), options.tokens, options.rounds)
        mine, peer = found["ChatStudent"], found["ChatHuggingFace"]
        found["ratio"] = {
            "tokens_per_s": round(mine["tokens_per_s"] / peer["tokens_per_s"], 2),
            "processor": round(
                peer["processor_ms_per_token"] / max(mine["processor_ms_per_token"], 1e-3), 2
            ),
        }
        told[f"{callers} callers"] = found
    told["loop lag of 16 streams, ms"] = asyncio.run(loop_lag_ms(checkpoint, options.tokens, 16))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--callers", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--tokens", type=int, default=64, help="of each answer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of torch; default: as many as it takes")
    parser.add_argument("--manager", action="store_true")
    options = parser.parse_args()

    import torch
    import transformers

    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    if options.threads:
        torch.set_num_threads(options.threads)
    told: dict[str, Any] = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "torch_threads": torch.get_num_threads(),
        "tokens_per_answer": options.tokens,
        "rounds": options.rounds,
        "load_average": os.getloadavg()[0],
    }
    for size in options.sizes:
        told[size] = report(size, options)
    print(json.dumps(told, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
