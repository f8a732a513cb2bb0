"""Run one engine in a process of its own, and execute the commands of `inference.py`.

Each line of input is a JSON object with `do` and its arguments; each answer is a JSON object too.
Engines run in separate processes because memory is measured per process, and because the threads of
one library must not wait for those of another.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

BACKENDS = ("ChatHuggingFace", "transformers engine", "export float32", "export int8")
PEERS = {
    "llama.cpp float32": "xllamacpp",
    "llama.cpp Q8_0": "xllamacpp",
    "onnxruntime-genai float32": "onnxruntime_genai",
    "onnxruntime-genai int8": "onnxruntime_genai",
}
"""Engines that are compared where their package is installed: name -> module."""
ONE_CALLER = frozenset(name for name in PEERS if name.startswith("onnxruntime-genai"))
"""Engines that are asked by one caller only; they have no queue of their own."""
PLAIN = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
Work = dict[str, Callable[[Sequence[str], int], Any]]


def student_work(folder: str, engine: str) -> Work:
    """`ChatStudent`, all callers in one event loop."""
    from langchain_core.messages import HumanMessage
    from stillroom.inference.chat.chat_model import ChatStudent
    from stillroom.inference.engine.protocol import GenerationRequest

    chat = ChatStudent(model=folder, engine=engine, device="cpu")

    async def together(prompts: Sequence[str], tokens: int) -> list[str]:
        asked = (chat.ainvoke(prompt, max_tokens=tokens) for prompt in prompts)
        return [message.text for message in await asyncio.gather(*asked)]

    def ask(prompts: Sequence[str], tokens: int) -> float:
        began = time.perf_counter()
        if len(prompts) == 1:
            chat.invoke(prompts[0], max_tokens=tokens)
        else:
            asyncio.run(together(prompts, tokens))
        return time.perf_counter() - began

    async def first_of(prompt: str, tokens: int) -> float:
        began, first = time.perf_counter(), 0.0
        async for chunk in chat.astream(prompt, max_tokens=tokens):
            if chunk.text and not first:
                first = time.perf_counter() - began
        return first

    async def firsts(prompts: Sequence[str], tokens: int) -> list[float]:
        return list(await asyncio.gather(*(first_of(prompt, tokens) for prompt in prompts)))

    def prompt_ids(prompts: Sequence[str], tokens: int) -> list[list[int]]:
        return [chat._prepare([HumanMessage(text)], None, {})[0].prompt_ids for text in prompts]

    def ids(prompts: Sequence[str], tokens: int) -> list[list[int | None]]:
        encoded = prompt_ids(prompts, tokens)
        asked = [GenerationRequest(one, max_tokens=tokens, ignore_end=True) for one in encoded]
        streams = [chat.serving_engine.submit(request) for request in asked]
        return [[event.token_id for event in stream.collect()] for stream in streams]

    first = lambda p, n: asyncio.run(firsts(p, n))  # noqa: E731
    return {"ask": ask, "first": first, "ids": ids, "prompt_ids": prompt_ids}


def peer_work(folder: str) -> Work:
    """`ChatHuggingFace`, every caller in a thread; it has no async of its own."""
    import torch
    from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline
    from stillroom.inference.checkpoints.load_student import load_checkpoint
    from transformers import pipeline

    checkpoint = load_checkpoint(folder, device="cpu")
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN

    @cache
    def chat(tokens: int) -> ChatHuggingFace:
        pipe = pipeline(
            "text-generation", model=model, tokenizer=tokenizer, max_new_tokens=tokens,
            do_sample=False, return_full_text=False,
        )  # fmt: skip
        return ChatHuggingFace(
            llm=HuggingFacePipeline(pipeline=pipe), tokenizer=tokenizer, model_id="local"
        )

    def ask(prompts: Sequence[str], tokens: int) -> float:
        asked = chat(tokens)
        began = time.perf_counter()
        with ThreadPoolExecutor(len(prompts)) as pool:
            list(pool.map(asked.invoke, prompts))
        return time.perf_counter() - began

    def first_of(prompt: str, tokens: int) -> float:
        asked, began = chat(tokens), time.perf_counter()
        for chunk in asked.stream(prompt):
            if chunk.content:
                return time.perf_counter() - began
        return time.perf_counter() - began

    def firsts(prompts: Sequence[str], tokens: int) -> list[float]:
        with ThreadPoolExecutor(len(prompts)) as pool:
            return list(pool.map(lambda prompt: first_of(prompt, tokens), prompts))

    def prompt_ids(prompts: Sequence[str], tokens: int) -> list[list[int]]:
        found = []
        for text in prompts:
            turns = [{"role": "user", "content": text}]
            written = tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
            found.append(tokenizer(written, add_special_tokens=False)["input_ids"])
        return found

    def ids(prompts: Sequence[str], tokens: int) -> list[list[int]]:
        """Ask `transformers.generate` itself: the reference."""
        answers = []
        for encoded in prompt_ids(prompts, tokens):
            given = torch.tensor([encoded])
            made = model.generate(
                given, attention_mask=torch.ones_like(given), max_new_tokens=tokens,
                do_sample=False, eos_token_id=-1, pad_token_id=0,
            )  # fmt: skip
            answers.append(made[0, given.shape[1] :].tolist())
        return answers

    return {"ask": ask, "first": firsts, "ids": ids, "prompt_ids": prompt_ids}


def llama_cpp_work(folder: str, threads: int) -> Work:
    """llama.cpp's own server, asked with token ids, so that only its computing differs.

    `folder` holds `model.gguf` and `prompts.json`, the ids of each prompt.
    """
    import httpx
    import xllamacpp

    known = _known_prompts(folder)
    settings = xllamacpp.CommonParams()
    settings.model.path = f"{folder}/model.gguf"
    settings.n_ctx, settings.n_parallel, settings.verbosity = 32 * 256, 32, 0
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(settings)
    client = httpx.Client(base_url=server.listening_address, timeout=600)

    def body(text: str, tokens: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401
        return {"prompt": known[text], "n_predict": tokens, "temperature": 0,
                "cache_prompt": False, **more}  # fmt: skip

    def one(text: str, tokens: int) -> None:
        client.post("/completion", json=body(text, tokens)).raise_for_status()

    def ask(prompts: Sequence[str], tokens: int) -> float:
        began = time.perf_counter()
        with ThreadPoolExecutor(len(prompts)) as pool:
            list(pool.map(lambda text: one(text, tokens), prompts))
        return time.perf_counter() - began

    def first_of(text: str, tokens: int) -> float:
        began = time.perf_counter()
        with client.stream("POST", "/completion", json=body(text, tokens, stream=True)) as reply:
            for line in reply.iter_lines():
                if line:
                    break
        return time.perf_counter() - began

    def firsts(prompts: Sequence[str], tokens: int) -> list[float]:
        with ThreadPoolExecutor(len(prompts)) as pool:
            return list(pool.map(lambda text: first_of(text, tokens), prompts))

    def ids(prompts: Sequence[str], tokens: int) -> list[list[int]]:
        asked = (body(t, tokens, ignore_eos=True, return_tokens=True) for t in prompts)
        return [client.post("/completion", json=one).json()["tokens"] for one in asked]

    return {"ask": ask, "first": firsts, "ids": ids, "server": lambda p, n: server}


def genai_work(folder: str) -> Work:
    """onnxruntime-genai on the graph that its own builder wrote, one prompt after another."""
    import onnxruntime_genai as genai

    known = _known_prompts(folder)
    model = genai.Model(folder)

    def made(text: str, tokens: int) -> Iterator[int]:
        params = genai.GeneratorParams(model)
        length = len(known[text]) + tokens
        params.set_search_options(do_sample=False, max_length=length)
        generator = genai.Generator(model, params)
        generator.append_tokens(known[text])
        while not generator.is_done():
            generator.generate_next_token()
            yield int(generator.get_next_tokens()[0])

    def ask(prompts: Sequence[str], tokens: int) -> float:
        began = time.perf_counter()
        for text in prompts:
            list(made(text, tokens))
        return time.perf_counter() - began

    def firsts(prompts: Sequence[str], tokens: int) -> list[float]:
        waits = []
        for text in prompts:
            began = time.perf_counter()
            next(iter(made(text, tokens)))
            waits.append(time.perf_counter() - began)
        return waits

    def ids(prompts: Sequence[str], tokens: int) -> list[list[int]]:
        return [list(made(text, tokens)) for text in prompts]

    return {"ask": ask, "first": firsts, "ids": ids}


def _known_prompts(folder: str) -> dict[str, list[int]]:
    return json.loads(Path(folder, "prompts.json").read_text(encoding="utf-8"))


def limits(weight_bytes: Sequence[int]) -> dict[str, Any]:
    """Measure what these cores do at best, under this library and these threads.

    Args:
        weight_bytes: Sizes to be read over and over; small ones stay in the processor's cache.

    Returns:
        Bytes per second by size, and multiplications and additions per second by type.
    """
    import torch

    rates = {}
    with torch.inference_mode():
        for size in weight_bytes:
            held = torch.ones(max(1, size // 4))
            matrix = held[: len(held) // 4096 * 4096].view(-1, 4096)
            ways: list[Callable[[], Any]] = [held.sum]
            if len(matrix):
                vector = torch.ones(4096)
                ways.append(lambda m=matrix, v=vector: m @ v)  # type: ignore[misc]
            rates[str(size)] = 4 * len(held) / min(_best_s(way) for way in ways)
        square = torch.randn(1536, 1536)
        whole = torch.randint(-127, 127, (1536, 1536), dtype=torch.int8)
        work = 2 * 1536**3
        return {
            "bytes_per_s": rates,
            "float32": work / _best_s(lambda: square @ square),
            "int8": work / _best_s(lambda: torch._int_mm(whole, whole)),
        }


def _best_s(way: Callable[[], Any]) -> float:
    seconds = []
    end = time.perf_counter() + 0.7
    while time.perf_counter() < end or len(seconds) < 3:
        began = time.perf_counter()
        way()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def memory_mb() -> dict[str, float]:
    """Resident memory of this process, now and at most."""
    with open("/proc/self/status", encoding="utf-8") as lines:
        known = dict(line.split(":", 1) for line in lines)
    names = {"now": "VmRSS", "own": "RssAnon", "most": "VmHWM"}
    return {name: int(known[key].split()[0]) / 1024 for name, key in names.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("backend", choices=(*BACKENDS, *PEERS, "limit"))
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever libraries print is no answer
    import torch

    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    began = time.perf_counter()
    work: Work = {}
    if options.backend == "ChatHuggingFace":
        work = peer_work(options.folder)
    elif options.backend.startswith("llama.cpp"):
        work = llama_cpp_work(options.folder, options.threads)
    elif options.backend.startswith("onnxruntime-genai"):
        work = genai_work(options.folder)
    elif options.backend != "limit":
        engine = "transformers" if options.backend == "transformers engine" else "export"
        work = student_work(options.folder, engine)
    print(json.dumps({"load_s": time.perf_counter() - began}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        do = asked.pop("do")
        if do == "limits":
            answer: Any = limits(**asked)
        elif do == "memory":
            answer = memory_mb()
        else:
            answer = work[do](asked["prompts"], asked["tokens"])
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
