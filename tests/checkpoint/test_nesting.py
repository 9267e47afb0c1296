import pytest
import torch
from torch import nn, ones
from torch.optim.swa_utils import AveragedModel

from tether.checkpoint.nesting import bare_names, model_tensors, shared_prefix, unwrap
from tether.errors import CheckpointError

WEIGHTS = {"conv.weight": ones(2), "fc.bias": ones(3)}


@pytest.mark.parametrize(
    "entry", ["state_dict", "model_state_dict", "model", "net", "ema", "state_dict_ema", "model_ema"]
)
def test_a_known_entry_is_taken_and_named(entry):
    found = unwrap({"epoch": 3, entry: WEIGHTS, "optimizer": {"state": {0: {"step": ones(1)}}}}, "it")
    assert found.tensors.keys() == WEIGHTS.keys()
    assert (found.entry, found.prefix, found.others) == (entry, None, ())


def test_plain_tensors_have_no_entry():
    found = unwrap(WEIGHTS, "it")
    assert (list(found.tensors), found.entry) == (list(WEIGHTS), None)


def test_plain_weights_come_before_averaged_ones_and_the_rest_is_reported():
    averaged = {name: value + 1 for name, value in WEIGHTS.items()}
    found = unwrap({"ema": averaged, "model_ema": averaged, "model": WEIGHTS}, "it")
    assert found.entry == "model"
    assert torch.equal(found.tensors["fc.bias"], WEIGHTS["fc.bias"])
    assert found.others == ("model_ema", "ema")


def test_entries_within_entries():
    found = unwrap({"model": {"state_dict": WEIGHTS, "ema": WEIGHTS, "config": {}}}, "it")
    assert (found.entry, found.others) == ("model.state_dict", ("model.ema",))


def test_what_is_no_tensor_is_left():
    found = unwrap({"w": ones(1), "fc._extra_state": {"a": 1}, "version": "2"}, "it")
    assert list(found.tensors) == ["w"]


def test_parameters_come_without_gradient():
    assert not unwrap({"w": nn.Parameter(ones(1))}, "it").tensors["w"].requires_grad


@pytest.mark.parametrize(
    ("prefix", "taken"),
    [
        ("module.", "module."),
        ("_orig_mod.", "_orig_mod."),
        ("module._orig_mod.", "module._orig_mod."),
        ("backbone.", "backbone."),
        ("model.", "model."),
        ("net.", "net."),
        ("module.model.backbone.", "module.model.backbone."),
        ("encoder.", None),
    ],
)
def test_prefixes_that_every_name_has(prefix, taken):
    names, found = bare_names({prefix + name: value for name, value in WEIGHTS.items()}, "it")
    assert found == taken
    assert list(names) == [(prefix if taken is None else "") + name for name in WEIGHTS]


def test_a_holder_that_some_names_lack_stays():
    tensors = {"backbone.conv.weight": ones(1), "fc.weight": ones(1)}
    assert bare_names(tensors, "it") == (tensors, None)


def test_a_compiled_part_has_its_own_name_again():
    names, prefix = bare_names({"body._orig_mod.conv.weight": ones(1), "fc.bias": ones(1)}, "it")
    assert (list(names), prefix) == (["body.conv.weight", "fc.bias"], "_orig_mod.")


def test_torch_s_averaged_model_reads_as_its_model():
    averaged = AveragedModel(nn.Linear(2, 1)).state_dict()
    assert set(unwrap(averaged, "it").tensors) == {"n_averaged", "weight", "bias"}


def test_two_names_that_become_one_are_refused():
    with pytest.raises(CheckpointError, match=r"it has two tensors called `w`"):
        bare_names({"module.w": ones(1), "w": ones(1)}, "it")


def test_the_names_of_a_model_keep_what_is_its_own():
    model = nn.DataParallel(nn.ModuleDict({"model": nn.Linear(2, 1), "norm": nn.BatchNorm1d(2)}))
    names = list(model_tensors(nn.ModuleDict({"model": model}), "it"))
    assert names[:2] == ["model.model.weight", "model.model.bias"]
    assert names[-1] == "model.norm.num_batches_tracked"


@pytest.mark.parametrize(
    ("saved", "what"),
    [
        ([ones(1)], "it holds a list, not named tensors"),
        (ones(1), "it holds a Tensor, not named tensors"),
        ({}, "it holds no named tensor"),
        ({"epoch": 3, "model": {}}, "it holds no named tensor"),
        ({"student": WEIGHTS, "teacher": WEIGHTS}, "under `student`, `teacher`"),
        ({"w": torch.eye(2).to_sparse()}, "`w` is sparse"),
        ({"w": ones(1, device="meta")}, "`w` is on the meta device"),
        ({"w": nn.UninitializedParameter()}, "`w` is not initialised"),
    ],
)
def test_what_holds_no_usable_parameters_is_refused(saved, what):
    with pytest.raises(CheckpointError, match=what) as refusal:
        unwrap(saved, "it")
    assert refusal.value.fix


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor.*:UserWarning", "ignore:TypedStorage:UserWarning")
def test_a_quantised_tensor_is_refused():
    with pytest.raises(CheckpointError, match="`w` is quantised"):
        unwrap({"w": torch.quantize_per_tensor(ones(3), 0.1, 0, torch.qint8)}, "it")


@pytest.mark.parametrize(
    ("names", "shared"),
    [
        (["encoder.0.w", "encoder.1.w"], "encoder."),
        (["a.b.w", "a.b.v"], "a.b."),
        (["layer1.w", "layer2.w"], None),
        (["w", "w.b"], None),
        ([], None),
    ],
)
def test_shared_prefix_ends_at_a_module(names, shared):
    assert shared_prefix(dict.fromkeys(names)) == shared


def test_entries_that_hold_one_another_end():
    saved = {"epoch": 3}
    for name in ("state_dict", "model_state_dict", "model", "net", "model_ema", "ema"):
        saved[name] = saved
    with pytest.raises(CheckpointError, match="holds no named tensor"):
        unwrap(saved, "it")
    saved["w"] = torch.ones(1)
    assert list(unwrap(saved, "it").tensors) == ["w"]


def test_entries_nested_a_thousand_deep_end():
    saved = {"w": torch.ones(1)}
    for _ in range(10_000):
        saved = {"state_dict": saved}
    with pytest.raises(CheckpointError, match="holds no named tensor"):
        unwrap(saved, "it")


def test_a_name_that_is_no_text_does_not_hide_another():
    with pytest.raises(CheckpointError, match="two tensors called `1`"):
        unwrap({"1": torch.ones(1), 1: torch.zeros(1)}, "it")


def test_a_name_that_would_take_long_to_shorten_is_refused():
    with pytest.raises(CheckpointError, match="a tensor whose name has 6,000 characters"):
        unwrap({"model." * 1000: torch.ones(1)}, "it")
