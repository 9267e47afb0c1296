"""BatchNorm in several processes is announced: in a warning of the first, and in every summary."""

from typing import Any

import pytest
from torch import nn

from tether.sharding import parted_batches

Found = dict[str, Any]
SAID = "BatchNorm: each of 2 processes normalises its own part of a batch"


@pytest.mark.parametrize("case", ["training", "without running statistics"])
def test_batch_statistics_are_announced(case: str, processes: tuple[Found, Found]):
    first, second = (found[f"normed/{case}"] for found in processes)
    assert len(first["warned"]) == 1
    assert first["warned"][0].startswith(SAID)
    assert "`norm`" in first["warned"][0]
    assert second["warned"] == []
    assert first["warned"][0] in first["summary"]
    assert first["summary"] == second["summary"]


@pytest.mark.parametrize("case", ["in eval", "held", "synchronised"])
def test_what_takes_no_statistics_of_a_part_is_not(case: str, processes: tuple[Found, Found]):
    for found in processes:
        assert found[f"normed/{case}"]["warned"] == []
        assert "BatchNorm" not in found[f"normed/{case}"]["summary"]


def test_one_process_is_told_nothing():
    assert parted_batches(nn.BatchNorm1d(2)) == ""


def test_the_warning_is_true(first: Found):
    assert first["normed/off training"] > 0.1
    assert first["normed/off in eval"] < 1e-10
