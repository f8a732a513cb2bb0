"""A cache read from a server against a local one of the same model."""

import json
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import kd_models
import pytest
import torch
from stillroom.cli import main
from stillroom.distillation.batches.batching import collator_for, tokenize_examples
from stillroom.distillation.distiller import DistillationConfig, ModelDistiller
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.teacher.cache_job import CacheSettings, cache_teacher_logits
from stillroom.distillation.teacher.cache_reader import TeacherCache
from stillroom.distillation.teacher.cached import CachedTeacher
from stillroom.distillation.teacher.served_cache import cache_served_logits
from stillroom.distillation.training_data import training_examples
from stillroom.errors import ConfigError, RemoteError, VocabularyError
from stillroom.inference.checkpoints.load_student import save_checkpoint
from stillroom.inference.remote.server_address import Server

RECORDS = [
    {"question": f"What is the symbol of {name}?", "answer": symbol}
    for name, symbol in (("gold", "Au"), ("silver", "Ag"), ("iron", "Fe"), ("tin", "Sn"))
]
TOKENIZER = kd_models.tokenizer([r["question"] + r["answer"] for r in RECORDS])
K = 8


def model(seed):
    return kd_models.llama(seed, vocabulary=len(TOKENIZER)).float()


@contextmanager
def serving(form, *, fails_after=None, most=10**9, shift=0, parts_of_letters=()):
    """Serve a tiny model in a server's own form; `calls` counts the answers that were made."""
    teacher, calls = model(1).eval(), []

    def scores(ids):
        with torch.inference_mode():
            return torch.log_softmax(teacher(torch.tensor([ids])).logits[0].double(), -1)

    def entry(row, number):
        return {
            "id": number, "logprob": float(row[number]),
            "token": TOKENIZER.decode([(number + shift) % len(TOKENIZER)]),
        }  # fmt: skip

    def answer(path, body):
        if form == "vllm" and path == "/v1/completions":
            ids, k, places = body["prompt"], body["prompt_logprobs"], [None]
            if k > most:
                return 400, {"error": {"message": f"prompt_logprobs {k} is above {most}"}}
            for row, own in zip(scores(ids), ids[1:], strict=False):
                listed = [entry(row, i) for i in {*row.topk(k).indices.tolist(), own}]
                places.append({
                    str(e["id"]): {"logprob": e["logprob"], "rank": 1, "decoded_token": e["token"]}
                    for e in listed
                })  # fmt: skip
            return 200, {"choices": [{"text": "x", "prompt_logprobs": places}]}
        if form == "sglang" and path == "/generate":
            ids, k = body["input_ids"], body["top_logprobs_num"]
            rows = scores(ids)[:-1]
            triple = lambda row, i: [(e := entry(row, i))["logprob"], i, e["token"]]  # noqa: E731
            return 200, {"text": "x", "meta_info": {
                "input_token_logprobs": [[None, ids[0], None]]
                + [triple(row, own) for row, own in zip(rows, ids[1:], strict=True)],
                "input_top_logprobs": [None]
                + [[triple(row, i) for i in row.topk(k).indices.tolist()] for row in rows],
            }}  # fmt: skip
        if form == "llama-server" and path == "/completion":
            row = scores(body["prompt"])[-1]
            top = [entry(row, i) for i in row.topk(body["n_probs"]).indices.tolist()]
            biased = row.clone()
            for number, bias in body["logit_bias"]:
                biased[number] += bias
            generated = int(biased.argmax())
            # A token that ends within a letter is withheld, with its probabilities.
            told = [] if generated in parts_of_letters else [entry(row, generated)]
            places = [{**one, "top_logprobs": top} for one in told]
            return 200, {"content": "x"} | ({"completion_probabilities": places} if told else {})
        if form == "plain" and path == "/v1/completions":
            return 200, {"choices": [{"text": "x", "logprobs": None}]}
        return 404, {"error": {"message": "not found"}}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, told = answer(self.path, body)
            if status == 200:
                calls.append(body)
            if fails_after is not None and len(calls) > fails_after:
                status, told = 422, {"error": {"message": "the server was stopped"}}
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", calls
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def serve():
    with ExitStack() as stack:
        yield lambda *given, **more: stack.enter_context(serving(*given, **more))


def settings(folder, **given):
    values = {"top_k": K, "temperatures": (1.0,), "dtype": "float32", "device": "cpu"}
    return CacheSettings("tiny", str(folder), progress=False, **values | given)


def build(folder, url, **given):
    server = Server("tiny", url, "completions", None, 0, 10.0, 0.0)
    return cache_served_logits(settings(folder, **given), RECORDS, server, TOKENIZER, concurrency=3)


def gradient(folder):
    items = tokenize_examples(training_examples(RECORDS), TOKENIZER)
    batch, student = collator_for(TOKENIZER)(items), model(2)
    loss_fn = DistillationLoss(1.0, 1.0)
    rows = CachedTeacher(TeacherCache(folder), loss_fn).rows(batch)
    chosen = batch["labels"][:, 1:] != -100
    logits = student(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
    ).logits[:, :-1][chosen]  # fmt: skip
    q = logits.log_softmax(-1)
    kept = q.gather(1, rows.ids)
    tail = torch.log1p(-kept.exp().sum(1).clamp(max=1 - 1e-7))
    p = rows.log_kept.exp()
    loss = -((p * kept).sum(1) + rows.log_tail.exp() * tail).mean()
    return torch.autograd.grad(loss, list(student.parameters()))


@pytest.mark.parametrize("form", ["vllm", "sglang", "llama-server"])
def test_the_gradient_is_that_of_a_local_cache_of_the_same_k(form, serve, tmp_path):
    save_checkpoint(tmp_path / "tiny", model(1), TOKENIZER, {})
    local = settings(tmp_path / "local")
    local = CacheSettings(**{**vars(local), "teacher": str(tmp_path / "tiny")})
    cache_teacher_logits(local, RECORDS)
    url, _ = serve(form)
    assert build(tmp_path / "served", url).complete
    pairs = zip(gradient(tmp_path / "local"), gradient(tmp_path / "served"), strict=True)
    differences = [float((one - other).abs().max()) for one, other in pairs]
    assert max(differences) < 1e-5, differences


def test_a_given_token_that_llama_server_withholds_is_part_of_the_rest(serve, tmp_path):
    ids = [i for item in tokenize_examples(training_examples(RECORDS), TOKENIZER)
           for i in item.input_ids[item.prompt_length :]]  # fmt: skip
    for name, withheld in (("whole", ()), ("parts", (ids[1],))):
        url, calls = serve("llama-server", parts_of_letters=withheld)
        assert build(tmp_path / name, url).complete
        generated = [body["logit_bias"][0][0] for body in calls[1:]]
        assert len(generated) == len(ids) + ids.count(ids[1]) * len(withheld)
    rows = {n: CachedTeacher(TeacherCache(tmp_path / n), DistillationLoss(1.0, 1.0)).rows(
        collator_for(TOKENIZER)(tokenize_examples(training_examples(RECORDS), TOKENIZER))
    ) for n in ("whole", "parts")}  # fmt: skip
    for row in rows.values():  # probabilities of one distribution, either way
        assert torch.allclose(
            row.log_kept.exp().sum(1) + row.log_tail.exp(), torch.ones(len(row.ids)), atol=1e-3
        )
    same = (rows["whole"].ids == rows["parts"].ids).all(1)
    labels = torch.tensor(ids) != ids[1]
    assert bool(same[labels].all())


def test_a_stopped_build_goes_on_without_paying_for_finished_parts(serve, tmp_path, monkeypatch):
    from stillroom.distillation.teacher import served_cache

    monkeypatch.setattr(served_cache, "TOKENS_PER_PART", 3)  # a part per sequence
    url, calls = serve("vllm", fails_after=3)  # the probe and two sequences
    with pytest.raises(RemoteError, match="the server was stopped"):
        build(tmp_path / "cut", url)
    parts = {path.name: path.read_bytes() for path in (tmp_path / "cut").glob("part-*.arrow")}
    assert 1 <= len(parts) < len(RECORDS)
    url, calls = serve("vllm")
    done = build(tmp_path / "cut", url)
    assert done.complete
    assert len(calls) == 1 + len(RECORDS) - len(parts)  # the probe and the missing ones
    build(tmp_path / "whole", url)
    files = [{p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("cut", "whole")]
    assert files[0] == files[1]


def test_a_server_without_the_fields_is_refused_by_name_after_one_token(serve, tmp_path):
    url, calls = serve("plain")
    with pytest.raises(ConfigError) as fault:
        build(tmp_path / "cache", url)
    for field in ("choices[0].prompt_logprobs", "input_top_logprobs", "completion_probabilities"):
        assert field in str(fault.value)
    assert [body["max_tokens"] for body in calls] == [1]
    assert not (tmp_path / "cache").exists()


def test_services_that_score_answers_alone_are_refused_without_a_call(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.com/v1")
    (tmp_path / "train.jsonl").write_text(json.dumps(RECORDS[0]))
    command = ["cache-logits", "--teacher", "openai", "--model", "m", "--tokenizer", "t"]
    command += ["--data", str(tmp_path / "train.jsonl"), "--output", str(tmp_path / "cache")]
    assert main(command) != 0
    told = capsys.readouterr().err
    assert "api.openai.com gives no log-probabilities of given tokens (prompt_logprobs" in told
    assert "stillroom label" in told


def test_a_server_that_gives_fewer_says_what_to_do(serve, tmp_path):
    url, calls = serve("vllm", most=5)
    with pytest.raises(ConfigError, match=r"is above 5[\s\S]*--max-logprobs"):
        build(tmp_path / "cache", url)
    assert calls == []


def test_other_tokens_are_refused_after_the_probe(serve, tmp_path):
    url, calls = serve("vllm", shift=1)
    with pytest.raises(VocabularyError, match=r"--tokenizer"):
        build(tmp_path / "cache", url)
    assert len(calls) == 1


def test_other_temperatures_are_refused_before_any_call(serve, tmp_path):
    url, calls = serve("vllm")
    with pytest.raises(ConfigError, match="say nothing about others"):
        build(tmp_path / "cache", url, temperatures=(1.0, 2.0))
    assert calls == []


def test_the_command_builds_it(serve, tmp_path, capsys):
    save_checkpoint(tmp_path / "tiny", model(1), TOKENIZER, {})
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in RECORDS))
    url, _ = serve("vllm")
    command = ["cache-logits", "--teacher", url, "--model", "tiny", "--top-k", str(K)]
    command += ["--data", str(tmp_path / "train.jsonl"), "--output", str(tmp_path / "cache")]
    assert main(command) != 0
    assert "needs --tokenizer" in capsys.readouterr().err
    assert main([*command, "--tokenizer", str(tmp_path / "tiny")]) == 0
    assert TeacherCache(tmp_path / "cache").temperatures == (1.0,)
    told = capsys.readouterr().out
    assert 'teacher_model_name="tiny", teacher_cache=' in told
    # A student is trained from it, without the server.
    save_checkpoint(tmp_path / "student", model(2), TOKENIZER, {})
    config = DistillationConfig(
        "tiny", str(tmp_path / "student"), temperature=1.0, alpha=1.0, max_steps=8, batch_size=4,
        learning_rate=1e-2, teacher_cache=str(tmp_path / "cache"), progress=False,
    )  # fmt: skip
    losses = ModelDistiller(config).distill(RECORDS).losses
    assert losses[-1][1] < 0.7 * losses[0][1], losses
