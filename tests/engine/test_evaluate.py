import torch
from torch import nn

from tether.answers import Answers
from tether.engine.evaluate import answers_of, logits_of, score
from tether.scores import Scores


def test_evaluation_does_not_depend_on_the_batches_and_puts_modes_back() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2))
    model[0].eval()
    pictures, labels = torch.randn(10, 3), torch.randint(2, (10,))
    whole, _ = logits_of(model, [(pictures, labels)])
    parts, truth = logits_of(model, [(pictures[:7], labels[:7]), (pictures[7:], labels[7:])])
    torch.testing.assert_close(whole, parts)
    assert torch.equal(truth, labels)
    assert [module.training for module in model] == [False, True, True]
    assert model[0].num_batches_tracked == 0
    said = Answers.of(whole.numpy(), labels.numpy())
    assert answers_of(model, [(pictures, labels)]).probability.tolist() == said.probability.tolist()
    assert score(model, [(pictures, labels)]) == Scores.of(said)
