import pytest
import torch
from torch import nn

from tether.engine.divergence import first_bad_layer, refuse_overflow
from tether.errors import Diverged


class Log(nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values.log()


def test_the_first_layer_that_gives_what_is_not_finite_is_named() -> None:
    model = nn.Sequential(nn.ReLU(), Log(), nn.Linear(2, 2))
    assert first_bad_layer(model, -torch.ones(1, 2)) == "1"
    assert first_bad_layer(model, torch.ones(1, 2)) is None


def test_looking_for_it_draws_nothing_and_leaves_no_hook() -> None:
    model = nn.Sequential(nn.Dropout(0.5), Log())
    before = torch.get_rng_state()
    first_bad_layer(model, torch.ones(1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_figure_that_is_not_finite_is_named_with_its_epoch() -> None:
    refuse_overflow({"epoch": 3, "loss": 1.0})
    with pytest.raises(Diverged, match="`loss` is not finite after epoch 3"):
        refuse_overflow({"epoch": 3, "loss": float("inf")})
