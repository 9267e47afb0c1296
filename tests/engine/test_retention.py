import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tether import RunSpec, fit
from tether.data.images import Images, normalise
from tether.data.loading import load
from tether.engine.build import build
from tether.engine.retention import Retention
from tether.errors import MatchError
from tether.models.build import build as build_model
from tether.shelf import shelf
from tether.spec import ModelSpec, PreprocessingSpec

Settings = Callable[..., dict[str, Any]]


def by_hand(state: dict[str, torch.Tensor], model: str, folder: Path, prepared: PreprocessingSpec) -> float:
    """Accuracy of a network with these tensors on all pictures of a folder whose classes are its own."""
    network = build_model(ModelSpec(name=model), 3, 1)
    network.load_state_dict(state)
    pictures = load(str(folder))
    every = torch.arange(len(pictures)).numpy()
    batch = normalise(Images(pictures, every, prepared).batch(every), prepared.mean, prepared.std)
    with torch.no_grad():
        guess = network.eval()(batch).argmax(1)
    return int((guess.numpy() == pictures.labels).sum()) / len(pictures)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_all_is_kept_where_nothing_moved(settings: Settings, stripes: Any, source_run: Path, tmp_path: Path) -> None:
    changes = {"source.path": str(source_run), "source.exclude": ["head.*"], "source.data": str(stripes())}
    record = fit(RunSpec.from_flags(settings(changes | {"plan.preset": "frozen"})), tmp_path / "run")
    found = record.outcome["retention"]
    assert found["kept"] == found["kept_with_source_statistics"] == found["source"]
    assert found["source"] == by_hand(tensors(source_run), "digits-cnn", stripes(), record.spec.preprocessing)
    assert found["source"] > 0.9
    assert found["count"] == 30


def test_on_a_shelf_the_source_is_measured_once(
    settings: Settings, stripes: Any, source_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"source.path": str(source_run), "source.data": str(stripes()), "train.epochs": 1}
    alone = fit(RunSpec.from_flags(settings(changes)), tmp_path / "alone").outcome["retention"]
    measured: list[int] = []
    accuracy = Retention._accuracy
    monkeypatch.setattr(
        Retention,
        "_accuracy",
        lambda self, changed, watch: (measured.append(len(changed)), accuracy(self, changed, watch))[1],
    )
    with shelf(tmp_path / "shelf"):
        found = [fit(RunSpec.from_flags(settings(changes)), tmp_path / name).outcome["retention"] for name in "ab"]
        other = {"source.data": str(stripes(count=7))}
        fit(RunSpec.from_flags(settings(changes | other)), tmp_path / "other")
    assert found == [alone, alone]
    assert measured.count(0) == 2, "once for either of two sets of pictures"


@pytest.mark.parametrize("policy", ["source", "update"])
def test_what_is_kept_is_the_sources_head_on_the_tuned_body(
    settings: Settings, stripes: Any, resnet_run: Path, tmp_path: Path, policy: str
) -> None:
    changes = {"model.name": "cifar-resnet20", "source.path": str(resnet_run), "source.data": str(stripes())}
    changes |= {"data.path": str(stripes("efg")), "batchnorm": policy, "optimizer.lr": 0.001, "train.epochs": 4}
    record = fit(RunSpec.from_flags(settings(changes)), tmp_path / "run")
    source, tuned, prepared = tensors(resnet_run), tensors(tmp_path / "run"), record.spec.preprocessing
    whole = {name: source[name] if name.startswith("linear.") else tuned[name] for name in source}
    restored = {name: source[name] if "running_" in name else whole[name] for name in source}
    found = record.outcome["retention"]
    assert found["source"] == by_hand(source, "cifar-resnet20", stripes(), prepared)
    assert found["kept"] == by_hand(whole, "cifar-resnet20", stripes(), prepared)
    assert found["kept_with_source_statistics"] == by_hand(restored, "cifar-resnet20", stripes(), prepared)
    assert (found["kept"] == found["kept_with_source_statistics"]) == (policy == "source")


def test_a_head_whose_rows_are_matched_by_name_in_another_order_is_measured_as_the_sources(
    settings: Settings, stripes: Any, source_run: Path, tmp_path: Path
) -> None:
    # The source counts its classes c, a, b; a folder's are sorted, so the transferred rows change places.
    order = [2, 0, 1]
    state = tensors(source_run)
    for name in ("head.weight", "head.bias"):
        state[name] = state[name][order].contiguous()
    save_file(state, tmp_path / "turned.safetensors")
    (tmp_path / "classes.txt").write_text("c\na\nb\n")
    prepared = RunSpec.from_toml(source_run / "spec.toml").preprocessing
    changes = {
        "source.path": str(tmp_path / "turned.safetensors"),
        "source.classes": str(tmp_path / "classes.txt"),
        "source.data": str(stripes()),
        "preprocessing.mean": prepared.mean,
        "preprocessing.std": prepared.std,
        "plan.preset": "none",
    }
    job = build(RunSpec.from_flags(settings(changes)))
    assert torch.equal(job.model.get_parameter("head.weight"), tensors(source_run)["head.weight"])
    found = Retention(job).measure(job.model)
    assert found["kept"] == found["source"] > 0.9


def test_the_head_is_the_sources_own_where_the_target_has_the_same_classes(
    settings: Settings, stripes: Any, source_run: Path
) -> None:
    job = build(RunSpec.from_flags(settings({"source.path": str(source_run), "source.data": str(stripes())})))
    assert not job.moved.anchor.new
    with torch.no_grad():
        job.model.get_parameter("head.weight").mul_(-1)
    found = Retention(job).measure(job.model)
    assert found["kept"] == found["source"] > 0.9


def test_of_source_pictures_in_parts_the_test_part_is_measured(
    settings: Settings, stripes: Any, source_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(stripes("abc", 20), tmp_path / "parts/train")
    shutil.copytree(stripes(), tmp_path / "parts/test")
    whole, parts = (
        Retention(build(RunSpec.from_flags(settings({"source.path": str(source_run), "source.data": str(data)}))))
        for data in (stripes(), tmp_path / "parts")
    )
    assert parts.measure(parts.job.model) == whole.measure(whole.job.model)


def test_measuring_twice_gives_the_same(settings: Settings, stripes: Any, source_run: Path) -> None:
    changes = {"source.path": str(source_run), "source.exclude": ["head.*"], "source.data": str(stripes())}
    job = build(RunSpec.from_flags(settings(changes)))
    retention = Retention(job)
    with torch.no_grad():
        for p in job.model.parameters():
            p.mul_(-1)
    first = retention.measure(job.model)
    assert first["kept"] < first["source"]
    assert retention.measure(job.model) == first


def test_making_it_draws_no_random_numbers(settings: Settings, stripes: Any, source_run: Path) -> None:
    job = build(RunSpec.from_flags(settings({"source.path": str(source_run), "source.data": str(stripes())})))
    before = torch.get_rng_state()
    Retention(job)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_source_without_a_head_cannot_be_measured(
    settings: Settings, stripes: Any, source_run: Path, tmp_path: Path
) -> None:
    body = {name: value for name, value in tensors(source_run).items() if not name.startswith("head.")}
    save_file(body, tmp_path / "body.safetensors")
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    changes = {
        "source.path": str(tmp_path / "body.safetensors"),
        "source.classes": str(tmp_path / "classes.txt"),
        "source.data": str(stripes()),
        "preprocessing.mean": (0.5,),
        "preprocessing.std": (0.5,),
    }
    with pytest.raises(MatchError, match=r"lacks head.weight, head.bias, so its own task cannot be measured"):
        fit(RunSpec.from_flags(settings(changes)), tmp_path / "run")
    assert not (tmp_path / "run").exists()
