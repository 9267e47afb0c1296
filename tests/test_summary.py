import torch
from torch import nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.presets import l2_sp, none


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


def test_after_training_it_is_what_a_user_wants_to_keep():
    model = net()
    leash = Tether(model, Anchor.of(model, new="1.*"), l2_sp())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash.attach(optimizer)
    for p in model.parameters():
        p.detach().copy_(torch.ones_like(p))
    leash.anchor.references["0.weight"].fill_(0.5)
    leash.anchor.references["0.bias"].fill_(1.0)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert str(leash).splitlines() == [
        "tether: l2_sp · transferred → source: L2(0.1) · new → zero: L2(0.01) · by gradient",
        "held         tensors  values      to   penalty  moved ‖δ‖  of ‖reference‖",
        "transferred        2      15  source   L2(0.1)      1.732         70.71 %",  # √(12·¼), √(12·¼ + 3)
        "new                2       8    zero  L2(0.01)      2.828               –",
        "moved from the source, by part: 0 70.71 %",
        "references: 0 mapped from file, 2 copied (0.0 MB)",
        "the penalty acted on 1 of 1 steps; Ω = 0.19",  # .1/2 · 3 + .01/2 · 8
    ]


def test_a_gathered_pull_is_reported():
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    leash = Tether(model, Anchor.of(model), Plan(L2(1e-5).toward("zero"))).attach(optimizer)
    assert "gathered: a pull this small rounds to nothing in one step, so it acts every 48 steps" in str(leash)


def test_where_nothing_is_held_it_says_so():
    model = net()
    text = str(Tether(model, Anchor.of(model), none()))
    assert "nothing is held" in text
    assert "not held: 4 left free by the plan: `0.weight`, `0.bias`, `1.weight`, `1.bias`" in text
    assert "by prox, not attached" in text


def test_of_many_parts_it_stays_one_screen():
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(40)])
    text = str(Tether(model, Anchor.of(model), l2_sp()))
    assert "· and 28 more" in text
    assert len(text.splitlines()) < 12


def test_deep_models_are_told_by_as_many_levels_as_fit():
    model = nn.ModuleDict({name: nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)) for name in ("stem", "body")})
    text = str(Tether(model, Anchor.of(model), l2_sp()))
    assert "by part: stem.0 0.00 % · stem.1 0.00 % · body.0 0.00 % · body.1 0.00 %" in text


def test_the_source_rows_of_a_partly_new_head_are_told_apart():
    model = nn.Sequential(nn.Linear(2, 2, bias=False))
    model[0].weight.detach().fill_(2.0)
    anchor = Anchor({"0.weight": torch.tensor([[1.0, 1.0], [9.0, 9.0]])}, {"0.weight": torch.tensor([False, True])})
    text = str(Tether(model, anchor, l2_sp()))
    assert "by part: 0 100.00 %" in text
