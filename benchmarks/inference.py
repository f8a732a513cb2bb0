"""Measure throughput, time to first token and memory of the engines on a CPU.

    pip install 'stillroom[cpu]'
    pip install --no-deps langchain-huggingface      # its own pin would downgrade huggingface_hub
    python benchmarks/inference.py                   # about a quarter of an hour; 12 GB of memory
    python benchmarks/inference.py --quick           # the two small sizes, once: a minute or two
    python benchmarks/inference.py --student outputs/elements/student
    pip install --no-deps xllamacpp onnxruntime-genai onnx_ir ml_dtypes   # peers; may be absent
    python benchmarks/inference.py --shapes --callers 1 16 --name inference_real_weights \
        --trained SmolLM2=~/.cache/stillroom/models/smollm2 student=outputs/cheeses/student \
        --prompts outputs/cheeses/data/held_out.jsonl

Compared are `ChatHuggingFace(HuggingFacePipeline)`, `ChatStudent` over transformers, and over
exports in float32 and int8 (`stillroom export`), with the same weights and tokenizer, and with what
the cores allow. The greedy tokens of all float32 engines must equal those of
`transformers.generate` before anything is timed. The engines alternate, and medians are reported.
With `--trained`, llama.cpp (float32 and Q8_0, from GGUF files of the same weights) and
onnxruntime-genai (its own builder's float32 and int8) are asked too where their packages are
installed. All rounds are written to `<output>/<name>.json`, and a table and a picture are made from
it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from inference_report import draw, summarise, write_markdown
from inference_worker import BACKENDS, ONE_CALLER, PEERS

SHAPES: dict[str, dict[str, Any]] = {
    "3M": {"vocab_size": 4096, "hidden_size": 256, "intermediate_size": 768,
           "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2},
    "30M": {"vocab_size": 32000, "hidden_size": 512, "intermediate_size": 1536,
            "num_hidden_layers": 5, "num_attention_heads": 8, "num_key_value_heads": 4},
    "0.5B": {"vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
             "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2},
}  # fmt: skip
"""The last is that of Qwen2.5-0.5B."""
PROMPT_WORDS = 40
WORKER = Path(__file__).with_name("inference_worker.py")


class Worker:
    """A process that computes one way."""

    def __init__(self, backend: str, folder: Path, threads: int) -> None:
        command = [sys.executable, str(WORKER), backend, str(folder), "--threads", str(threads)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.backend = backend
        self.load_s = self._answer()["load_s"]

    def do(self, what: str, **given: Any) -> Any:  # noqa: ANN401 - JSON
        self.process.stdin.write(json.dumps({"do": what, **given}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(60)

    def _answer(self) -> Any:  # noqa: ANN401
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.backend} ended early; run {WORKER.name} by hand to see why")
        return json.loads(line)


def make_checkpoint(shape: str, folder: Path) -> Path:
    """Save random weights of a shape, with a tokenizer of as many words."""
    import torch
    from stillroom.inference.checkpoints.load_student import save_checkpoint
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    sizes = SHAPES[shape]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: place for place, letter in enumerate(letters)}
    while len(vocabulary) < sizes["vocab_size"] - 1:  # words that only a random model says
        vocabulary[f"Ġw{len(vocabulary)}"] = len(vocabulary)
    raw = Tokenizer(models.BPE(vocabulary, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    end = "<|end|>"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=end, pad_token=end)
    torch.manual_seed(0)
    kinds = {"0.5B": (Qwen2Config, Qwen2ForCausalLM)}
    config, kind = kinds.get(shape, (LlamaConfig, LlamaForCausalLM))
    ends = dict.fromkeys(("eos_token_id", "pad_token_id"), tokenizer.eos_token_id)
    model = kind(config(**sizes, **ends, bos_token_id=None, max_position_embeddings=2048,
                        tie_word_embeddings=True, initializer_range=0.1)).eval()  # fmt: skip
    with torch.no_grad():
        # With the head tied a random model repeats its last token; the norm's gains take that out.
        gains = model.model.norm.weight
        gains.copy_(torch.where(torch.rand_like(gains) < 0.5, -1.0, 1.0))
        model.lm_head.weight[tokenizer.eos_token_id] = 0  # never the likeliest
    return save_checkpoint(folder / "checkpoint", model, tokenizer, {})


def make_prompts(count: int) -> list[str]:
    """Write prompts that differ from their first words on."""
    return [" ".join(f"q{(caller * 7 + word) % 97}" for word in range(PROMPT_WORDS))
            for caller in range(count)]  # fmt: skip


def student_prompts(path: Path, count: int) -> list[str]:
    """Take prompts that the student was held out from, evenly spaced."""
    from stillroom.files import read_json_lines

    lines = read_json_lines(path)
    return [lines[place * len(lines) // count]["prompt"] for place in range(count)]


def describe_shape(folder: Path, prompts: list[str], tokens: int) -> dict[str, Any]:
    """Give what the limit is computed from."""
    import math

    from stillroom.inference.checkpoints.folder_checks import check_model_files
    from stillroom.inference.checkpoints.tokenizer_files import load_tokenizer
    from stillroom.inference.onnx_export.folder import make_config
    from stillroom.inference.onnx_export.layout import describe

    files = check_model_files(folder)
    shape = describe(make_config(files.config))
    sizes = {"F32": 4, "U8": 1}
    read = {}
    for dtype in ("float32", "int8"):
        # Every tensor is read at every step, but for the embedding where the head is another.
        counted = {name: size for name, size in shape.tensors(dtype).items()
                   if shape.tied or not name.startswith("embedding")}  # fmt: skip
        read[dtype] = sum(sizes[kind] * math.prod(dims) for kind, dims in counted.values())
    tokenizer = load_tokenizer(folder)
    length = sum(len(tokenizer(prompt)["input_ids"]) for prompt in prompts) // len(prompts)
    return {
        "parameters": sum(map(math.prod, files.shapes.values())),
        "read_parameters": read["float32"] // 4,
        "weight_bytes": read,
        "cache_bytes_per_token": 8 * shape.layers * shape.key_heads * shape.head_size,
        "context": length + tokens / 2,
        "prompt_tokens": length,
        "tokens": tokens,
        "end": tokenizer.eos_token_id,
    }


def export_all(
    folder: Path, scratch: Path, prompts: list[str], measured: Path | None
) -> tuple[dict[str, Path], str]:
    """Export a checkpoint both ways; give the folders by backend, and the loss of int8.

    The loss is measured on the prompts and targets of the file `measured`, or on `prompts`.
    """
    from stillroom.files import write_json_lines
    from stillroom.inference.onnx_export.export import export_checkpoint

    asked = measured or scratch / "prompts.jsonl"
    if measured is None:
        write_json_lines(asked, [{"prompt": prompt} for prompt in prompts])
    places = dict.fromkeys(BACKENDS, folder)
    loss = ""
    for dtype in ("float32", "int8"):
        backend = f"export {dtype}"
        places[backend] = scratch / dtype / folder.name
        made = export_checkpoint(
            folder, dtype=dtype, output=places[backend], prompts=asked, most_prompts=100
        )
        loss = "; ".join(made.loss.lines())
    return places, loss


def export_peers(folder: Path, scratch: Path, known: dict[str, list[int]]) -> dict[str, Path]:
    """Write the weights in the forms of the peers that are installed; give the folders."""
    import torch
    from stillroom.files import write_json
    from stillroom.inference.checkpoints.load_student import load_checkpoint
    from stillroom.inference.gguf_export.write_gguf import write_gguf

    checkpoint = load_checkpoint(folder, device="cpu", dtype=torch.float32)
    places = {}
    for backend, module in PEERS.items():
        if importlib.util.find_spec(module) is None:
            print(f"  {backend}: not installed", flush=True)
            continue
        place = places[backend] = scratch / backend.replace(" ", "-")
        place.mkdir()
        form = backend.rpartition(" ")[2]
        if module == "xllamacpp":
            dtype = "q8_0" if form == "Q8_0" else "float32"
            write_gguf(checkpoint, place / "model.gguf", dtype=dtype)
        else:
            build_genai(checkpoint, place, "fp32" if form == "float32" else form)
        write_json(place / "prompts.json", known)
    return places


def build_genai(checkpoint: Any, place: Path, precision: str) -> None:  # noqa: ANN401
    """Let onnxruntime-genai's builder write its graph."""
    from onnxruntime_genai.models.builder import create_model

    with tempfile.TemporaryDirectory() as plain:
        checkpoint.model.save_pretrained(plain)
        checkpoint.tokenizer.save_pretrained(plain)
        create_model("", plain, str(place), precision, "cpu", f"{plain}/cache")
    path = place / "genai_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    options = config["model"]["decoder"]["session_options"]
    options["intra_op_num_threads"] = int(os.environ["OMP_NUM_THREADS"])
    path.write_text(json.dumps(config), encoding="utf-8")


def check_tokens(workers: dict[str, Worker], prompts: list[str], tokens: int) -> dict[str, Any]:
    """Compare greedy tokens with `transformers.generate`.

    Raises:
        SystemExit: A float32 way differs, or the model says too little for this to mean anything.
    """
    asked = [workers[name].do("prompt_ids", prompts=prompts, tokens=0) for name in BACKENDS]
    if any(ids != asked[0] for ids in asked):
        raise SystemExit("the ways give the model different prompts")
    wanted = workers["ChatHuggingFace"].do("ids", prompts=prompts, tokens=tokens)
    equal = {}
    for backend, worker in workers.items():
        found = worker.do("ids", prompts=prompts, tokens=tokens)
        pairs = [(a, b) for one, other in zip(wanted, found, strict=True)
                 for a, b in zip(one, other, strict=True)]  # fmt: skip
        equal[backend] = sum(a == b for a, b in pairs) / len(pairs)
        if backend in BACKENDS and not backend.endswith("int8") and equal[backend] != 1:
            raise SystemExit(f"{backend} gives other tokens than transformers.generate: {found}")
    distinct = len({token for answer in wanted for token in answer})
    if distinct < 8:
        raise SystemExit(f"the model says {distinct} different tokens; equality would mean nothing")
    return {"compared": sum(map(len, wanted)), "distinct": distinct, "equal": equal}


def time_all(
    workers: dict[str, Worker], prompts: list[str], tokens: int, rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """Let all ways take turns; the first round warms up and does not count."""
    found: dict[str, list[dict[str, Any]]] = {backend: [] for backend in workers}
    for turn in range(rounds + 1):
        for backend, worker in workers.items():
            if backend in ONE_CALLER and len(prompts) > 1:
                continue
            if turn == 0:
                worker.do("ask", prompts=prompts, tokens=min(tokens, 4))
                continue
            entry = {
                "whole_s": worker.do("ask", prompts=prompts, tokens=tokens),
                "one_token_s": worker.do("ask", prompts=prompts, tokens=1),
                "first_s": worker.do("first", prompts=prompts, tokens=4),
            }
            found[backend].append(entry)
    return found


def measure(name: str, options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Measure one shape, or a trained model."""
    trained = name in options.trained
    tokens = 16 if options.quick or name in ("0.5B", "student") else 64
    most = 16 if name == "0.5B" else 32
    counts = [count for count in options.callers if count <= most]
    if trained:
        folder, prompts = options.trained[name], student_prompts(options.prompts, 32)
    else:
        folder, prompts = make_checkpoint(name, scratch), make_prompts(max(counts))
    told = describe_shape(folder, prompts, tokens)
    measured = options.prompts if trained else None
    places, told["int8_loss"] = export_all(folder, scratch, prompts[:2], measured)
    workers = {backend: Worker(backend, places[backend], options.threads) for backend in BACKENDS}
    if trained:
        ids = workers["ChatHuggingFace"].do("prompt_ids", prompts=prompts, tokens=0)
        known = dict(zip(prompts, ids, strict=True))
        told["prompt_tokens"] = sum(map(len, ids)) // len(ids)
        told["context"] = told["prompt_tokens"] + tokens / 2
        for backend, place in export_peers(folder, scratch, known).items():
            workers[backend] = Worker(backend, place, options.threads)
    told["load_s"] = {backend: worker.load_s for backend, worker in workers.items()}
    gate = (prompts, 16) if trained else (prompts[:4], tokens)
    told["gate"] = check_tokens(workers, *gate)
    answers = [[None] * tokens] * max(counts)  # random models never end
    if trained:
        answers = workers["ChatHuggingFace"].do("ids", prompts=prompts, tokens=tokens)
    lengths = [ids.index(told["end"]) + 1 if told["end"] in ids else tokens for ids in answers]
    told["made"] = {str(count): sum(lengths[:count]) for count in counts}
    told["rounds"] = {}
    for count in counts:
        rounds = options.rounds if count == 1 else max(1, options.rounds // 2)
        told["rounds"][str(count)] = time_all(workers, prompts[:count], tokens, rounds)
        print(f"  {name}, {count} callers: done", flush=True)
    told["memory_mb"] = {backend: worker.do("memory") for backend, worker in workers.items()}
    for worker in workers.values():
        worker.close()
    return told


def trained_models(options: argparse.Namespace) -> dict[str, Path]:
    """Give the folders of the trained models by name."""
    named = {}
    if options.student is not None:
        named["student"] = options.student
    for one in options.trained:
        name, found, folder = one.partition("=")
        if not found or name in SHAPES:
            raise SystemExit(f"--trained {one}: give NAME=FOLDER, with a name of your own")
        named[name] = Path(folder).expanduser()
    missing = [str(folder) for folder in named.values() if not (folder / "config.json").is_file()]
    if missing:
        raise SystemExit(f"no checkpoint in {', '.join(missing)}")
    if named and options.prompts is None:
        last = list(named.values())[-1]
        options.prompts = last.resolve().parent / "data" / "held_out.jsonl"
    return named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES), help=", ".join(SHAPES))
    parser.add_argument("--student", type=Path, help="a checkpoint of a run, measured as well")
    parser.add_argument("--trained", nargs="+", default=[], metavar="NAME=FOLDER",
                        help="trained models, compared with further engines too")  # fmt: skip
    parser.add_argument("--prompts", type=Path, help="JSON Lines with prompt and target for them; "
                        "default: the held-out ones of the last one's run")  # fmt: skip
    parser.add_argument("--name", default="inference", help="of the files that are written")
    parser.add_argument("--callers", nargs="+", type=int, default=[1, 8, 16, 32], help="at most 32")
    parser.add_argument("--rounds", type=int, default=6, help="for one caller; half for more")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument(
        "--quick", action="store_true", help="3M and 30M, 1 and 16 callers, 1 round"
    )
    options = parser.parse_args()
    if options.quick:
        options.shapes, options.callers, options.rounds = ["3M", "30M"], [1, 16], 1

    if unknown := set(options.shapes) - set(SHAPES):
        parser.error(f"unknown shapes: {', '.join(sorted(unknown))}")
    options.trained = trained_models(options)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)

    import onnxruntime
    import torch
    import transformers

    torch.set_num_threads(options.threads)
    told: dict[str, Any] = {
        "command": " ".join(["python benchmarks/inference.py", *sys.argv[1:]]),
        "real": bool(options.trained),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "threads": options.threads,
        "load_average": os.getloadavg()[0],
        "versions": f"torch {torch.__version__}, transformers {transformers.__version__}, "
        f"onnxruntime {onnxruntime.__version__}",
        "shapes": {},
    }
    names = [*options.shapes, *options.trained]
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            told["shapes"][name] = measure(name, options, Path(scratch))
    sizes = [size for one in told["shapes"].values() for size in one["weight_bytes"].values()]
    limit = Worker("limit", Path(), options.threads)
    told["limits"] = limit.do("limits", weight_bytes=sorted(set(sizes)))
    limit.close()
    rows = summarise(told)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / f"{options.name}.json").write_text(
        json.dumps({**told, "rows": rows}, indent=1)
    )
    write_markdown(told, rows, options.output / f"{options.name}.md")
    draw(rows, options.output / f"{options.name}.png")
    print((options.output / f"{options.name}.md").read_text(encoding="utf-8"))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
