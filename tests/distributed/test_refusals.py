"""What cannot be exact is refused, in every process and in the same words."""

from typing import Any

import pytest

Found = dict[str, Any]


def test_a_tether_from_before_fully_shard_is_refused_at_attach(first: Found):
    said = first["refusals/tether before fully_shard"]
    assert said.startswith("AttachError: 6 held parameters are in no group of this optimiser")
    assert "fix: make the tether after the model is final" in said


@pytest.mark.parametrize(
    ("case", "penalty"),
    [
        ("rows/FrobeniusBall", "FrobeniusBall(0.1)"),
        ("rows/L2 + FrobeniusBall", "FrobeniusBall(0.1)"),
        ("rows/layers", 'GroupLasso(0.1, "layers")'),
        ("rows/channels", 'GroupLasso(0.1, "channels")'),
        ("rows/Heads", "GroupLasso(0.1, Heads(1))"),
        ("columns/MarsBall", "MarsBall(0.1)"),
        ("columns/filters", 'GroupLasso(0.1, "filters")'),
        ("columns/neurons", 'GroupLasso(0.1, "neurons")'),
    ],
)
def test_what_holds_values_of_several_processes_together_is_refused(case: str, penalty: str, first: Found):
    said = first[f"refusals/{case}"]
    assert said.startswith(f"PlanError: `{penalty}` cannot hold `body.weight`, which is sharded")
    assert "why: it holds values together that lie on several processes" in said


def test_what_would_copy_into_shards_or_write_them_down_is_refused(first: Found):
    assert first["refusals/transfer after fully_shard"].startswith("MatchError: the model is sharded")
    for what in ("digest", "save"):
        assert first[f"refusals/{what}"].startswith("MatchError: the reference of `body.weight` is sharded")


def test_fsdp1_is_refused_by_name(first: Found):
    assert first["refusals/FSDP1"].startswith("AttachError: this model is in `FullyShardedDataParallel`")


def test_every_process_refuses_the_same(processes: tuple[Found, Found]):
    first, second = ({k: v for k, v in found.items() if k.startswith("refusals/")} for found in processes)
    assert first == second
    assert len(first) == 13
