"""Write docs/settings.md from the models of the spec and the table of flags: `python scripts/make_settings_page.py`."""

from collections.abc import Iterator
from pathlib import Path

from tether.cli.flags import FLAGS
from tether.fields import Field, fields
from tether.spec import RunSpec

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
HEAD = """\
# Settings

A run is described by one file, its spec, and everything that can be set is in it. `tether fit … --print-spec` writes a
whole one, and a run folder keeps its own as `spec.toml`. This page is written by `python scripts/make_settings_page.py`
from the code, and a test fails where it is not current.

```toml
# flowers.toml
seed = 1

[model]
name = "timm:tf_efficientnet_lite0"

[source]
path = "efficientnet-lite0"

[data]
path = "photos"

[preprocessing]
size = 96

[plan]
preset = "l2_sp"
args = { alpha = 1.0 }
overrides = { "bn*" = "none" }
```

## How a setting is refused

A setting is refused where it stands, before anything is read or written: an unknown key or section (with the nearest
known one), a value of another type or out of its range, one setting given twice, and settings that contradict each
other. Nothing is converted: `"3"` and `3.0` are no whole numbers, `1` is not `true`. A whole number will do for a
number. Whole numbers have 64 bits, text is UTF-8 without NUL, and a spec has 256 KiB and 32 tables within one another
at most. A spec of a newer version is refused whole.

These contradict each other:

- `plan.preset` with `plan.transferred` or `plan.new`; `plan.args` without a preset; `plan.metric = "optimizer"` with
  `plan.via = "gradient"`.
- `data.test` beside `data.per_class`; a share of 1 for test or validation; `train.patience` with `data.validation = 0`.
- `optimizer.momentum` beside `adamw`; `fisher.draws` beside another kind than `sampled`; `fisher.data = "source"`
  without `source.data`; `probe` without a source.
- `preprocessing.mean` or `preprocessing.std` of another count than 1 and `preprocessing.channels`.

A default never contradicts, since a run writes all of them into its spec. Nor does [fisher] beside a plan that needs
none: a spec is tried with one plan after another.

## On a command line

Every flag is a field, and lies over the file. `--set KEY=VALUE` sets any field, and may be given many times. A flag
that is given twice, and two words that set the same field, are refused.

```console
$ tether fit flowers.toml --epochs 3 --set optimizer.warmup=0.2
$ tether fit flowers.toml --set 'data.path=my photos'                                 # spaces
$ tether fit flowers.toml --set 'plan.overrides."*.bias"=none'                        # a name with other signs
$ tether fit flowers.toml --set 'plan.overrides={"*.bias"="none", "layer4.*"="L2(1)"}'
$ tether fit flowers.toml --set 'plan.transferred=L2(0.1) + L1(1e-4)'                 # where the file names no preset
$ tether fit flowers.toml --set 'preprocessing.mean=[0.485, 0.456, 0.406]'            # or --mean 0.485,0.456,0.406
$ tether fit flowers.toml --set 'source.exclude=["fc.*", "head.*"]'  # or --exclude 'fc.*' --exclude 'head.*'
$ tether fit flowers.toml --plan "l2_sp(alpha=1, beta=0.01)"
$ tether fit flowers.toml --rename '^encoder\\.=backbone.'
```

Put the whole of `KEY=VALUE` into single quotes wherever it holds spaces, quotes, brackets, `*`, `#` or `$`: a shell
takes quotes away that are not in quotes themselves, and `--set plan.overrides.*.bias="none"` reaches Tether as
`plan.overrides.*.bias=none`, which is no key. A name with other signs than letters, digits, `-` and `_` stands in
double quotes, as in TOML. A value is read as TOML, and as text where it is none; text that TOML would read as something
else needs its own quotes: `--set 'data.path="2024-01-01"'`.

## Expressions

`plan.transferred`, `plan.new`, `plan.overrides` and `train.loss` hold expressions such as `L2(0.1) + 0.5 * L1(1e-4)`,
`L2(0.1).toward("zero", Cosine(1000))` or `Classify() + 0.05 * Delta(layers=["layer3"])`. They are read, not evaluated:
names of penalties, terms, schedules and views, numbers, text and lists, `+`, `*` and `.toward(…)`, and nothing else. An
expression has 10,000 letters and a depth of 100 at most.
"""


def page() -> str:
    known = fields(RunSpec.model_json_schema())
    sections = [key for key in known if any(other.startswith(f"{key}.") for other in known)]
    parts = [HEAD, "## Every setting\n", *_table("", known)]
    for section in sections:
        parts += [f"\n### [{section}]\n", _sentence(known[section].says), "", *_table(f"{section}.", known)]
    return "\n".join([*parts, "\n## Flags and their settings\n", *_flags()]) + "\n"


def _table(prefix: str, known: dict[str, Field]) -> Iterator[str]:
    yield "| setting | takes | default | meaning |"
    yield "|---|---|---|---|"
    for key, field in known.items():
        leaf = key.removeprefix(prefix)
        is_section = any(other.startswith(f"{key}.") for other in known)
        if key.startswith(prefix) and "." not in leaf and not is_section:
            default = "**required**" if field.required else f"`{field.default}`" if field.default else "–"
            yield f"| `{leaf}` | {_cell(field.takes)} | {_cell(default)} | {_cell(field.says)} |"


def _flags() -> Iterator[str]:
    yield "| flag | setting |"
    yield "|---|---|"
    for flag in FLAGS:
        yield f"| `{flag.name}` | {'`plan.preset`, `plan.args`' if flag.name == '--plan' else f'`{flag.key}`'} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*.", "\\*.") if "`" not in text else text.replace("|", "\\|")


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
