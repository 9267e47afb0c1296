"""The model card: what a trained model is, where it comes from and what held it."""

from collections.abc import Mapping
from typing import Any

from tether.escaping import markdown
from tether.spec import RunSpec

TEMPLATE = """\
# {{ spec.model.name | name }} on {{ spec.data.path | name }}

{{ made }} by Tether {{ version }}\
{% if spec.source %} from {{ spec.source.path | name }}{% endif %}, seed {{ spec.seed }}.

| | |
|---|---|
| classes | {{ classes | map("name") | join(", ") }} |
| input | {{ prepared.size }} × {{ prepared.size }} pixels, {{ prepared.channels }} channels, \
mean {{ prepared.mean | join(", ") }}, std {{ prepared.std | join(", ") }} |
{%- if outcome.epochs %}
| training | {{ spec.optimizer.name }}, peak rate {{ spec.optimizer.lr }}, {{ outcome.epochs }} epochs of batches of \
{{ spec.train.batch_size }}, augmentation {{ spec.data.augment }} |
{%- else %}
| training | none |
{%- endif %}
{%- if spec.source and spec.source.head == "probe" %}
| head | starts at a ridge on the source's features, strength {{ "%.3g" | format(outcome.probe.strength) }}, chosen by \
{{ outcome.probe.chosen_by }} |
{%- endif %}
| BatchNorm statistics of transferred layers | {{ spec.batchnorm }} |
| epoch taken | {{ outcome.epoch_taken }}, chosen on {{ outcome.chosen_on }} |
{%- if outcome.test %}
| test accuracy | {{ "%.4f" | format(outcome.test.accuracy) }} on {{ outcome.test.count }} pictures, \
95 % interval over pictures {{ "%.4f" | format(outcome.test.low) }} to {{ "%.4f" | format(outcome.test.high) }} |
| how right its probabilities are | Brier score {{ "%.4f" | format(outcome.test.brier) }}, expected calibration error \
{{ "%.4f" | format(outcome.test.ece) }} over 15 bins |
{%- endif %}
{%- if outcome.probe and outcome.probe.accuracy %}
| linear probe on the source's features | {{ "%.4f" | format(outcome.probe.accuracy) }} |
{%- endif %}
{%- if outcome.retention %}
| accuracy on the source task | {{ "%.4f" | format(outcome.retention.kept) }}; the source itself \
{{ "%.4f" | format(outcome.retention.source) }} |
{%- endif %}
{%- if outcome.agreement and outcome.agreement.target %}
| same class as the source model, on this data | {{ "%.4f" | format(outcome.agreement.target.agreement) }} of \
{{ outcome.agreement.target.count }} {{ outcome.agreement.target.part }} pictures, by the source's head |
{%- endif %}

What held it:

```text
{{ summary }}
```

One run of one seed says little about a method; `spec.toml` runs it again.
"""


def card(spec: RunSpec, classes: tuple[str, ...], outcome: Mapping[str, Any], summary: str) -> str:
    """Markdown for the README of a run folder; names in it are code, which nothing reads further."""
    from jinja2 import Environment

    from tether import __version__

    # it is Markdown, where the escapes of HTML would be read as letters of a block of code
    pages = Environment(autoescape=False, keep_trailing_newline=True)
    pages.filters["name"] = markdown
    known = {"spec": spec, "prepared": spec.preprocessing, "classes": classes, "outcome": outcome, "summary": summary}
    return pages.from_string(TEMPLATE).render(known, made=_made(spec, outcome), version=__version__)


def _made(spec: RunSpec, outcome: Mapping[str, Any]) -> str:
    if not outcome["epochs"]:
        probed = spec.source is not None and spec.source.head == "probe"
        return "A linear probe, made" if probed else "Made without training"
    return "Fine-tuned" if spec.source else "Trained from scratch"
