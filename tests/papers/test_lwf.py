"""Li and Hoiem (2016), Learning without forgetting, section 3; Hinton, Vinyals and Dean (2015), section 2."""

import torch
from torch import Tensor, nn

from tether.terms.classify import Classify
from tether.terms.distill import LogitDistill, divergence
from tether.terms.teacher import frozen

T = 2.0  # of the paper


def old_loss(student: Tensor, source: Tensor) -> Tensor:
    """−Σ y′ log ŷ′ with y′ = y^(1/T)/Σ y^(1/T) of the recorded, and ŷ′ likewise of the present probabilities."""
    recorded, present = source.softmax(1) ** (1 / T), student.softmax(1) ** (1 / T)
    recorded, present = recorded / recorded.sum(1, keepdim=True), present / present.sum(1, keepdim=True)
    return -(recorded * present.log()).sum(1).mean()


def test_lwfs_loss_is_the_divergence_over_the_squared_temperature_and_the_recorded_entropy():
    student, source = (2 * torch.randn(7, 5).double() for _ in range(2))
    student.requires_grad_()
    ours, theirs = divergence(student, source, T) / T**2, old_loss(student, source)
    torch.testing.assert_close(ours, theirs - old_loss(source, source))
    torch.testing.assert_close(*(torch.autograd.grad(loss, student)[0] for loss in (ours, theirs)))


def test_lwfs_objective_has_the_same_gradient_with_lambda_over_the_squared_temperature():
    """L_new + λₒ L_old, the old head on the shared features, λₒ = 1 as in the paper."""
    torch.manual_seed(0)
    source = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5)).double()
    student = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, labels = torch.randn(9, 6).double(), torch.arange(9) % 3
    objective = Classify() + 1 / T**2 * LogitDistill(frozen(source), temperature=T)
    ours = objective(student, (x, labels)).total
    features = student[:2](x)
    theirs = nn.functional.cross_entropy(student[2](features), labels) + old_loss(
        source[2](features), source(x).detach()
    )
    for found, expected in zip(
        *(torch.autograd.grad(loss, list(student.parameters())) for loss in (ours, theirs)), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_at_a_high_temperature_it_matches_logits():
    """Hinton et al., section 2.1: with T² the gradient tends to (z − v)/N for logits of mean zero over N classes."""
    student, source = torch.randn(4, 6).double(), torch.randn(4, 6).double()
    student, source = ((z - z.mean(1, keepdim=True)) for z in (student, source))
    student.requires_grad_()
    (found,) = torch.autograd.grad(divergence(student, source, 1e4), student)
    torch.testing.assert_close(found * len(student), (student.detach() - source) / 6, rtol=1e-3, atol=1e-4)
