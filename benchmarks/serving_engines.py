"""Measure tokens per second on one device: this project's engine, transformers and vLLM.

    python benchmarks/serving_engines.py outputs/elements/student --device cuda

All engines serve the same weights, in bfloat16 on a GPU and in float32 on a CPU, with greedy
decoding and the same number of tokens. vLLM is measured if it is installed, and last, since it
reserves the GPU's memory. The file is written after each engine, so an interrupted run keeps its
results.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from stillroom.console import quiet_libraries
from stillroom.files import write_json
from stillroom.inference.checkpoints.load_student import Checkpoint, load_checkpoint
from stillroom.inference.engine.protocol import GenerationRequest
from stillroom.inference.engine.transformers_engine import serve_checkpoint
from stillroom.inference.sources.find_model import find_model

Ids = list[int]
Ask = Callable[[Sequence[Ids]], list[Ids]]
"""Prompts -> the tokens written for each."""


def prompts_of(checkpoint: Checkpoint, callers: int, length: int) -> list[Ids]:
    """Write prompts of so many tokens that differ from their first ones on."""
    texts = (f"Question {n}: what is the symbol of element {n * 7 % 97}? " for n in range(callers))
    rows = (
        checkpoint.tokenizer(text * 40, add_special_tokens=False)["input_ids"] for text in texts
    )
    return [row[:length] for row in rows]


def ours(checkpoint: Checkpoint, tokens: int) -> Ask:
    """Ask this project's engine, which batches the callers."""

    def ask(prompts: Sequence[Ids]) -> list[Ids]:
        capacity = {"most_running": len(prompts), "most_waiting": len(prompts)}
        with closing(serve_checkpoint(checkpoint, **capacity)) as engine:
            streams = [
                engine.submit(GenerationRequest(ids, max_tokens=tokens, ignore_end=True))
                for ids in prompts
            ]
            return [[int(event.token_id) for event in stream.collect()] for stream in streams]

    return ask


def transformers_generate(checkpoint: Checkpoint, tokens: int) -> Ask:
    """Ask `generate` for one batch."""

    def ask(prompts: Sequence[Ids]) -> list[Ids]:
        ids = torch.tensor(list(prompts), device=checkpoint.device)
        with torch.inference_mode():
            made = checkpoint.model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
                max_new_tokens=tokens, min_new_tokens=tokens,
            )  # fmt: skip
        return [[int(one) for one in row[ids.shape[1] :]] for row in made]

    return ask


def vllm_generate(checkpoint: Checkpoint, tokens: int) -> Ask:
    """Ask vLLM, which reads the checkpoint's folder again."""
    from vllm import LLM, SamplingParams

    engine = LLM(
        model=str(checkpoint.path), dtype="bfloat16", gpu_memory_utilization=0.4, max_model_len=1024
    )
    how = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True)

    def ask(prompts: Sequence[Ids]) -> list[Ids]:
        asked = [{"prompt_token_ids": ids} for ids in prompts]
        made = engine.generate(asked, how, use_tqdm=False)
        return [list(one.outputs[0].token_ids) for one in made]

    return ask


OPENED: dict[str, Callable[[Checkpoint, int], Ask]] = {
    "stillroom": ours,
    "transformers": transformers_generate,
    "vllm": vllm_generate,
}


def measure(ask: Ask, prompts: Sequence[Ids], rounds: int, device: str) -> dict[str, Any]:
    """Give tokens per second, the median of the rounds; the first round warms up."""
    rates, answers = [], []
    for turn in range(rounds + 1):
        began = time.perf_counter()
        answers = ask(prompts)
        if device == "cuda":
            torch.cuda.synchronize()
        if turn > 0:
            rates.append(sum(map(len, answers)) / (time.perf_counter() - began))
    return {"tokens_per_s": round(statistics.median(rates), 1), "answers": answers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", help="folders or names of the model cache")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--callers", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64, help="of each answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("serving_engines.json"))
    options = parser.parse_args()
    quiet_libraries()
    has_vllm = options.device == "cuda" and importlib.util.find_spec("vllm") is not None
    told: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if options.device == "cuda" else platform.machine(),
        "torch": torch.__version__,
        "dtype": "bfloat16" if options.device == "cuda" else "float32",
        "prompt_tokens": options.prompt_tokens,
        "tokens": options.tokens,
        "vllm": "measured" if has_vllm else "not installed, or no GPU",
        "models": {},
    }
    folders = {name: Path(find_model(name)) for name in options.models}
    first: dict[tuple[str, int], list[Ids]] = {}
    for engine in ["stillroom", "transformers", *(["vllm"] if has_vllm else [])]:
        for name, folder in folders.items():
            dtype = torch.bfloat16 if options.device == "cuda" else torch.float32
            checkpoint = load_checkpoint(folder, device=options.device, dtype=dtype)
            ask = OPENED[engine](checkpoint, options.tokens)
            for callers in options.callers:
                prompts = prompts_of(checkpoint, callers, options.prompt_tokens)
                row = measure(ask, prompts, options.rounds, options.device)
                answers = row.pop("answers")
                same = first.setdefault((name, callers), answers)
                equal = sum(one == other for one, other in zip(answers, same, strict=True))
                row["answers_as_the_first_engine"] = equal / callers
                rows = told["models"].setdefault(name, {}).setdefault(engine, {})
                rows[f"{callers} callers"] = row
                print(name, engine, callers, row, flush=True)
            write_json(options.output, told)


if __name__ == "__main__":
    main()
