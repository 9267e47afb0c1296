import pytest
import torch

from tether.models.digits_cnn import DigitsCNN


def test_it_has_the_stated_number_of_parameters() -> None:
    # convolutions 9·(1·16 + 16·32 + 32·48) and 16 + 32 + 48, embedding 432·64 + 64, head 64·10 + 10
    assert sum(p.numel() for p in DigitsCNN(num_classes=10).parameters()) == 18_576 + 96 + 27_712 + 650 == 47_034


def test_what_it_learns_does_not_depend_on_the_batch_around_a_picture() -> None:
    torch.manual_seed(0)
    model = DigitsCNN(num_classes=10)
    pictures = torch.randn(8, 1, 28, 28)
    torch.testing.assert_close(model(pictures)[:1], model(pictures[:1]))


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (28, 28), (33, 20)])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_takes_pictures_of_any_size(size: tuple[int, int], channels: int) -> None:
    model = DigitsCNN(num_classes=7, in_channels=channels)
    logits = model(torch.randn(2, channels, *size))
    assert logits.shape == (2, 7)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_it_learns_to_tell_two_textures() -> None:
    torch.manual_seed(0)
    model = DigitsCNN(num_classes=2)
    labels = torch.arange(64) % 2
    pictures = torch.randn(64, 1, 8, 8)
    pictures[labels == 1] = pictures[labels == 1].cumsum(dim=-1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(pictures), labels).backward()
        optimizer.step()
    assert (model(pictures).argmax(dim=1) == labels).float().mean() > 0.95
