import pytest
import torch
from torch import nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import AttachError
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.unwrap import unwrap


def sgd() -> torch.optim.SGD:
    return torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)


class Wrapper:
    def __init__(self, optimizer: object) -> None:
        self.optimizer = optimizer


def test_wrappers_are_taken_off_however_many():
    inner = sgd()
    assert unwrap(Wrapper(Wrapper(inner))) is inner
    assert unwrap(inner) is inner


@pytest.mark.parametrize("thing", [None, 3, nn.Linear(1, 1), Wrapper(None)], ids=lambda thing: type(thing).__name__)
def test_what_holds_no_optimiser_is_refused_by_name(thing: object):
    with pytest.raises(AttachError, match=f"`{type(thing).__name__}` is not a torch optimiser"):
        unwrap(thing)


@pytest.mark.parametrize("name", ["DeepSpeedZeroOptimizer", "DeepSpeedZeroOptimizer_Stage3", "BF16_Optimizer"])
def test_deepspeeds_partitioned_optimiser_is_refused_by_name(name: str):
    kind = type(name, (Wrapper,), {"__module__": "deepspeed.runtime.zero.stage_1_and_2"})
    with pytest.raises(AttachError, match=f"`{name}` is DeepSpeed's") as refused:
        unwrap(kind(sgd()))
    assert "fully_shard" in refused.value.fix


def test_accelerates_wrapper_of_deepspeed_is_refused_before_it_is_taken_off():
    from accelerate.utils.deepspeed import DeepSpeedOptimizerWrapper

    wrapper = DeepSpeedOptimizerWrapper.__new__(DeepSpeedOptimizerWrapper)
    wrapper.optimizer = sgd()
    with pytest.raises(AttachError, match="`DeepSpeedOptimizerWrapper` is DeepSpeed's"):
        unwrap(wrapper)


def test_parameters_that_zero_3_has_partitioned_are_refused():
    model = nn.Linear(2, 2)
    anchor = Anchor.of(model)
    model.weight.ds_id = 0
    with pytest.raises(AttachError, match=r"`weight` is partitioned by DeepSpeed's ZeRO-3"):
        Tether(model, anchor, Plan(L2(0.1)))
