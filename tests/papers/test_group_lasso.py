"""Yuan and Lin (2006), Model selection and estimation in regression with grouped variables, section 2."""

import math

import torch
from torch import nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.group import GroupLasso
from tether.penalties.plan import Plan

GROUPS, SIZE, STRENGTH = 6, 4, 0.5


def test_with_orthonormal_groups_it_is_block_soft_thresholding():
    """½ ‖y − Σ X_g β_g‖² + λ Σ √p ‖β_g‖ with XᵀX = I has β_g = (1 − λ√p/‖S_g‖)₊ S_g, S_g = X_gᵀy."""
    x = torch.linalg.qr(torch.randn(40, GROUPS * SIZE, dtype=torch.float64)).Q
    y = x @ torch.repeat_interleave(torch.linspace(0.1, 1.5, GROUPS, dtype=torch.float64), SIZE)
    s = (x.T @ y).reshape(GROUPS, SIZE)
    norms = s.norm(dim=1, keepdim=True)
    expected = (1 - STRENGTH * math.sqrt(SIZE) / norms).clamp_min(0) * s

    model = nn.ParameterDict({"beta": nn.Parameter(torch.randn(GROUPS, SIZE, dtype=torch.float64))})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    Tether(model, Anchor.of(model), Plan(GroupLasso(STRENGTH).toward("zero"))).attach(optimizer)
    for _ in range(200):
        optimizer.zero_grad()
        ((x @ model["beta"].flatten() - y).square().sum() / 2).backward()
        optimizer.step()
    found = model["beta"].detach()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    gone = (found == 0).all(1)
    assert torch.equal(gone, norms.flatten() <= STRENGTH * math.sqrt(SIZE))
    assert 0 < gone.sum() < GROUPS
