"""The loss of a batch: its gradients, and what does not come through the model."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tether.audit.objective import gradients, objective, own_terms

INPUTS, TARGETS = torch.randn(8, 6, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 3


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def test_the_gradients_are_those_of_backward_and_leave_none() -> None:
    model = net()
    found = gradients(objective(model, (INPUTS, TARGETS), functional.cross_entropy), model.parameters())
    assert all(p.grad is None for p in model.parameters())
    functional.cross_entropy(model(INPUTS), TARGETS).backward()
    assert found.keys() == set(model.parameters())
    assert all(torch.equal(found[p], p.grad) for p in model.parameters())


def test_a_gradient_that_was_there_stays() -> None:
    model = net()
    before = torch.ones_like(model[0].weight)
    model[0].weight.grad = before
    gradients(lambda: model(INPUTS).sum(), model.parameters())
    assert model[0].weight.grad is before
    assert torch.equal(before, torch.ones_like(before))


def test_gradients_are_found_where_they_are_switched_off_outside() -> None:
    model = net()
    with torch.no_grad():
        assert gradients(lambda: model(INPUTS).sum(), model.parameters())


def penalty(model: nn.Sequential) -> Tensor:
    return 0.5 * model[0].weight.square().sum()


@pytest.mark.parametrize("runs_backward", [False, True])
def test_of_a_loss_only_what_passes_the_model_by_is_its_own(runs_backward: bool) -> None:
    model = net()

    def loss(weight: float) -> Tensor:
        value = functional.cross_entropy(model(INPUTS), TARGETS)
        value = value + weight * penalty(model) if weight else value
        if runs_backward:
            value.backward()
        return value

    own = own_terms(model, lambda: loss(3.0), list(model.parameters()))
    assert own.called
    assert {p for p, grad in own.gradients.items() if grad.any()} == {model[0].weight}
    torch.testing.assert_close(own.gradients[model[0].weight], 3 * model[0].weight.detach())
    assert not own_terms(model, lambda: loss(0.0), list(model.parameters())).gradients
    assert torch.is_grad_enabled()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_penalty_that_is_a_module_of_its_own_is_no_layer_of_the_model() -> None:
    class Penalty(nn.Module):
        def forward(self, model: nn.Sequential) -> Tensor:
            return penalty(model)

    model, module = net(), Penalty()
    own = own_terms(model, lambda: model(INPUTS).sum() + module(model), list(model.parameters()))
    assert own.gradients.keys() == {model[0].weight}


def test_what_calls_no_layer_is_not_known() -> None:
    model = net()
    weight = model[0].weight
    assert not own_terms(model, lambda: functional.linear(INPUTS, weight).sum(), list(model.parameters())).called


def test_an_error_of_the_users_is_not_swallowed() -> None:
    model = net()
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        own_terms(model, lambda: model(INPUTS[:, :3]).sum(), list(model.parameters()))
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_float16_autocast_is_noted(dtype: torch.dtype) -> None:
    model = net()

    def loss() -> Tensor:
        with torch.autocast("cpu", dtype):
            return model(INPUTS).float().sum()

    assert own_terms(model, loss, list(model.parameters())).half == (dtype == torch.float16)
