"""What the figures of the worth benchmark rest on: likelihoods of classes, and calibration."""

import importlib.util

import kd_models
import numpy as np
import pytest
import torch
from project_paths import ROOT

CLASSES = ("card arrival", "card", "card arrived late", "top up", "transfer")


def benchmark_module(name):
    path = ROOT / "benchmarks" / "worth" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"worth_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_class_is_as_likely_as_the_tokens_that_tell_it_from_the_others():
    tree_of = benchmark_module("label_tree")
    tokenizer = kd_models.tokenizer(["Question: where is my card? Answer: top up transfer"])
    model = kd_models.llama(vocabulary=len(tokenizer)).eval()
    tree = tree_of.LabelTree(CLASSES, tokenizer, "Question: where?")
    prompts = [tokenizer(text)["input_ids"][:20] for text in ("Where is it?", "My card!", "No")]
    found = tree_of.class_log_likelihoods(model, prompts, tree, batch_size=2)
    for prompt, row in zip(prompts, found, strict=True):
        for ids, value in zip(tree.answers, row, strict=True):
            with torch.no_grad():
                log_p = model(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
            places = range(len(prompt) - 1, len(prompt) + len(ids) - 1)
            brute = sum(log_p[place, token] for place, token in zip(places, ids, strict=True))
            assert value == pytest.approx(float(brute), abs=1e-4)


def test_calibration_error_of_confidences_that_are_known_to_be_off():
    calibration = benchmark_module("calibration")
    draw = np.random.default_rng(0)
    p = draw.uniform(0.2, 0.8, 40_000)
    right = (draw.uniform(size=len(p)) < p).astype(float)
    assert calibration.expected_calibration_error(p, right) < 0.01
    off = calibration.expected_calibration_error(p + 0.15, right)
    assert off == pytest.approx(0.15, abs=0.01)
