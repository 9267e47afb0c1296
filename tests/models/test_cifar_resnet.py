import os
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from torch.nn import functional

from tether.models.cifar_resnet import BasicBlock, CifarResNet20

DATA = Path(os.environ.get("TETHER_DATA", Path(__file__).parents[3] / "shared" / "data"))
WEIGHTS = DATA / "cifar10_resnet20" / "resnet20.th"
PICTURES = DATA / "cifar10" / "test"


def published() -> CifarResNet20:
    if not WEIGHTS.exists():
        pytest.skip(f"TETHER_DATA has no {WEIGHTS.relative_to(DATA)}")
    state = torch.load(WEIGHTS, weights_only=True, map_location="cpu")["state_dict"]
    state = {name.removeprefix("module."): value for name, value in state.items()}
    model = CifarResNet20(num_classes=10)
    counters = {name for name in model.state_dict() if name.endswith("num_batches_tracked")}
    found = model.load_state_dict(state, strict=False)
    assert not found.unexpected_keys
    assert set(found.missing_keys) <= counters  # written before torch 0.4.1 kept them
    return model.eval()


def test_it_has_the_papers_layers_and_parameters() -> None:
    model = CifarResNet20(num_classes=10)
    # He et al. 2016, table 6: 0.27M parameters, 20 weighted layers
    assert sum(p.numel() for p in model.parameters()) == 269_722
    assert sum(p.dim() > 1 for p in model.parameters()) == 20


def test_the_shortcut_is_strided_and_fills_with_zeros() -> None:
    torch.manual_seed(0)
    block = BasicBlock(16, 32, stride=2).eval()
    x = torch.randn(2, 16, 8, 8)
    way = block.bn2(block.conv2(functional.relu(block.bn1(block.conv1(x)))))
    expected = way.clone()
    for channel in range(16):
        for row in range(4):
            for column in range(4):
                expected[:, 8 + channel, row, column] += x[:, channel, 2 * row, 2 * column]
    torch.testing.assert_close(block(x), expected.relu())


def test_a_block_of_the_same_width_keeps_its_input() -> None:
    block = BasicBlock(16, 16, stride=1).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 16, 8, 8).relu()
    torch.testing.assert_close(block(x), x)


def test_the_published_weights_load() -> None:
    model = published()
    assert torch.isfinite(model(torch.zeros(1, 3, 32, 32))).all()


@pytest.mark.story
def test_the_published_weights_do_what_they_did() -> None:
    model = published()
    if not PICTURES.exists():
        pytest.skip(f"TETHER_DATA has no {PICTURES.relative_to(DATA)}")
    paths = sorted(PICTURES.glob("*/*.jpg"))
    classes = sorted({path.parent.name for path in paths})
    labels = torch.tensor([classes.index(path.parent.name) for path in paths])
    bytes_ = numpy.stack([numpy.asarray(Image.open(path).convert("RGB")) for path in paths])
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pictures = ((torch.from_numpy(bytes_) / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        right = torch.cat([model(part).argmax(dim=1) for part in pictures.split(200)]) == labels
    assert len(paths) == 2000
    assert right.float().mean().item() == pytest.approx(0.81, abs=0.01)  # the figure beside the data, to its two digits
