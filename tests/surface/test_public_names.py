import inspect
from pathlib import Path

import pytest

import tether

NAMES = [
    "BSS",
    "L1",
    "L2",
    "Anchor",
    "Annealing",
    "Audit",
    "Classify",
    "Constant",
    "Cosine",
    "Delta",
    "FeatureDistill",
    "Fisher",
    "FrobeniusBall",
    "Frozen",
    "GroupLasso",
    "Heads",
    "LogitDistill",
    "MarsBall",
    "Match",
    "Objective",
    "Penalty",
    "Plan",
    "Pull",
    "RunRecord",
    "RunSpec",
    "Study",
    "Tether",
    "TetherError",
    "Transfer",
    "Weighted",
    "Weights",
    "convert",
    "differential_l2",
    "ewc",
    "fedprox",
    "fisher",
    "fit",
    "frozen",
    "group_lasso_sp",
    "l1_sp",
    "l2",
    "l2_sp",
    "l2_sp_fisher",
    "mars_sp",
    "match",
    "none",
    "predict",
    "resume",
    "transfer",
]


def test_the_public_names_are_these() -> None:
    assert tether.__all__ == NAMES
    assert dir(tether) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_resolves_to_a_documented_thing_of_ours(name: str) -> None:
    thing = getattr(tether, name)
    assert thing.__module__.startswith("tether.")
    assert thing.__name__ == name
    assert len((inspect.getdoc(thing) or "").splitlines()[0]) > 20


@pytest.mark.parametrize("name", NAMES)
def test_every_public_method_is_documented(name: str) -> None:
    thing = getattr(tether, name)
    if not inspect.isclass(thing):
        return
    public = {key: value for key, value in vars(thing).items() if not key.startswith("_") and callable(value)}
    bare = [key for key, value in public.items() if inspect.isfunction(value) and not inspect.getdoc(value)]
    assert not bare


def test_no_public_name_is_a_folders_or_a_modules() -> None:
    inside = {path.stem for path in Path(tether.__file__).parent.iterdir() if not path.name.startswith("_")}
    assert not inside & set(NAMES)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tether' has no attribute 'l2sp'"):
        _ = tether.l2sp
