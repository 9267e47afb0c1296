"""Layers are found by name, heard once, and refused where what they show cannot be used."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tether.errors import NoParameterSelected, PlanError
from tether.terms.taps import Tap, forward, layers


class Odd(nn.Module):
    """Layers of which one runs twice, one never, one returns a pair and one is given a keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.never, self.pair = nn.Linear(3, 3), nn.Linear(3, 3), nn.LSTM(3, 3, batch_first=True)
        self.named, self.head = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.twice(x))
        x = self.pair(x[:, None])[0][:, 0]
        return self.head(self.named(input=x))


def sequential() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_an_output_and_an_input_are_what_the_layer_returns_and_is_given():
    model, x = sequential(), torch.randn(5, 3)
    found = forward(model, x, [Tap("0"), Tap("1", "input"), Tap("2", "input")])
    assert torch.equal(found.one(Tap("0")), model[0](x))
    assert found.one(Tap("1", "input")) is found.one(Tap("0"))
    assert torch.equal(found.one(Tap("2", "input")), model[0](x).relu())
    assert torch.equal(found.output, model(x))


def test_a_gradient_flows_through_what_is_tapped():
    model = sequential()
    forward(model, torch.ones(5, 3), [Tap("1")]).one(Tap("1")).sum().backward()
    assert model[0].weight.grad is not None
    assert model[2].weight.grad is None


def test_a_glob_finds_several_layers_and_a_name_one():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 2))
    assert list(layers(model, "0.*")) == ["0.0", "0.1"]
    assert list(layers(model, "0")) == ["0"]
    found = forward(model, torch.zeros(1, 2), [Tap("0.*")]).tapped[Tap("0.*")]
    assert list(found) == ["0.0", "0.1"]


def test_without_a_name_it_is_the_head(cnn: Any):
    assert layers(cnn.source, None) == {"head": cnn.source.head}
    assert layers(nn.DataParallel(cnn.source), None) == {"head": cnn.source.head}


def test_one_of_several_is_refused():
    with pytest.raises(PlanError, match="`\\*` matches 0, 1, 2, and one layer is needed"):
        forward(sequential(), torch.zeros(1, 3), [Tap("*")]).one(Tap("*"))


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: torch.compile(m, backend="eager")], ids=["dp", "compile"])
def test_names_are_those_inside_a_wrapper(wrap: Any):
    inner = nn.ModuleDict({"module": nn.Linear(2, 2)})
    assert layers(wrap(inner), "module") == {"module": inner["module"]}


# torch's own warning, from within its compiler, of a `.grad` that it looks at itself
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_compiled_model_shows_its_layers_or_is_refused():
    """Hooks that were there when it was compiled are seen; one that was compiled without them runs without them."""
    model, x = sequential(), torch.randn(5, 3)
    compiled = torch.compile(model, backend="eager")
    for _ in range(3):
        assert torch.equal(forward(compiled, x, [Tap("0")]).one(Tap("0")), model[0](x))
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager")
    compiled(x)
    with pytest.raises(PlanError, match="did not run"):
        forward(compiled, x, [Tap("0")])
    torch._dynamo.reset()


def test_a_name_near_is_told(resnet: Any):
    with pytest.raises(NoParameterSelected, match="`layr3` matches no layer of `CifarResNet20`") as refused:
        layers(resnet.source, "layr3")
    assert "`layer3`" in refused.value.fix


def test_the_model_itself_is_no_layer():
    with pytest.raises(NoParameterSelected):
        layers(nn.Linear(2, 2), "*")


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        ("twice", "the layer `twice` ran more than once"),
        ("never", "the layer `never` did not run"),
        ("pair", "the layer `pair` has a tuple as its output"),
    ],
)
def test_what_cannot_be_tapped_is_refused_and_leaves_no_hook(layer: str, what: str):
    model = Odd()
    with pytest.raises(PlanError, match=what):
        forward(model, torch.randn(4, 3), [Tap(layer), Tap("head")])
    assert hooks(model) == 0


def test_a_layer_within_is_named_as_the_way_out():
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Two()

        def forward(self, x: Tensor) -> Tensor:
            return self.block(x)[0]

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.inner(x), x

    with pytest.raises(PlanError) as refused:
        forward(Pair(), torch.zeros(1, 3), [Tap("block")])
    assert "`block.inner`" in refused.value.fix


def test_an_input_may_come_by_keyword():
    model, x = Odd(), torch.randn(4, 3)
    found = forward(model, x, [Tap("named", "input"), Tap("head", "input")])
    assert torch.equal(model.named(found.one(Tap("named", "input"))), found.one(Tap("head", "input")))


@pytest.mark.parametrize("tap", [Tap("0"), Tap("1", "input")], ids=["output", "input"])
@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad], ids=["training", "asked"])
def test_a_value_that_a_later_layer_overwrites_is_refused(tap: Tap, context: Any):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))
    with context(), pytest.raises(PlanError, match="changed in place"):
        forward(model, torch.randn(5, 3), [tap])
    x = torch.randn(5, 3)
    assert torch.equal(forward(model, x, [Tap("1")]).one(Tap("1")), model[0](x).relu())


def test_in_inference_mode_an_overwritten_value_is_kept_as_it_was():
    model, x = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)), torch.randn(5, 3)
    with torch.inference_mode():
        found = forward(model, x, [Tap("0")]).one(Tap("0"))
        assert torch.equal(found, model[0](x))


def test_a_layer_that_takes_no_gradient_is_refused_where_gradients_are_taken():
    model = sequential()
    model[0].requires_grad_(False)
    with pytest.raises(PlanError, match="the layer `0` takes no gradient"):
        forward(model, torch.randn(5, 3), [Tap("0")])
    with torch.no_grad():
        forward(model, torch.randn(5, 3), [Tap("0")])


def test_within_a_re_entrant_checkpoint_a_layer_is_refused_and_within_another_not():
    class Checkpointed(nn.Module):
        def __init__(self, *, reentrant: bool) -> None:
            super().__init__()
            self.first, self.body, self.reentrant = nn.Linear(3, 3), sequential(), reentrant

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.body, self.first(x), use_reentrant=self.reentrant)

    with pytest.raises(PlanError, match=r"`body.1` takes no gradient"):
        forward(Checkpointed(reentrant=True), torch.randn(5, 3), [Tap("body.1")])
    for reentrant, layer in ((False, "body.1"), (True, "body")):
        model = Checkpointed(reentrant=reentrant)
        forward(model, torch.randn(5, 3), [Tap(layer)]).one(Tap(layer)).square().sum().backward()
        assert model.first.weight.grad.any()


def test_hooks_go_when_the_model_raises():
    model = sequential()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        forward(model, torch.randn(5, 7), [Tap("0"), Tap("0", "input"), Tap("2")])
    assert hooks(model) == 0


def test_hooks_of_others_stay():
    model = sequential()
    heard: list[int] = []
    model[0].register_forward_hook(lambda *_: heard.append(1))
    forward(model, torch.randn(5, 3), [Tap("0")])
    model(torch.randn(5, 3))
    assert heard == [1, 1]
