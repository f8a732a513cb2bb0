"""Layers in eight bits are near the layers that they were made of."""

import torch
from stillroom.inference.score_students.int8_linear import Int8Linear, int8_model
from torch import nn


def test_products_are_near_and_other_layers_stay():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(128, 256), nn.GELU(), nn.Linear(256, 64), nn.Linear(64, 3))
    made = int8_model(model.eval())
    kinds = [type(one) for one in made]
    assert kinds == [Int8Linear, nn.GELU, Int8Linear, nn.Linear]
    assert type(model[0]) is nn.Linear, "the model itself is not changed"
    values = torch.randn(5, 7, 128)
    with torch.inference_mode():
        true, near = model(values), made(values)
    assert near.shape == true.shape
    assert 0 < (near - true).abs().mean() < 0.05 * true.abs().mean()
