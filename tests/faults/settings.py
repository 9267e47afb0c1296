"""Settings: every field with what it does not take, keys that are none, and settings that contradict one another."""

from collections.abc import Iterator

from faults import toml, words
from faults.case import Case
from faults.specs import KNOWN, LEAST, SECTIONS, from_file, from_words, spelled
from tether.fields import Field

OTHERS = {
    "text": '"three"',
    "an empty text": '""',
    "true": "true",
    "a whole number": "7",
    "zero": "0",
    "a negative number": "-1",
    "a negative fraction": "-0.5",
    "a fraction": "2.5",
    "NaN": "nan",
    "infinity": "inf",
    "minus infinity": "-inf",
    "1e400": "1e400",
    "a huge number": "9000000000000000000",
    "a list": "[1, 2]",
    "a list of nothing": "[[]]",
    "a table": "{ a = 1 }",
    "a date": "1979-05-27",
    "a time": "07:32:00",
}


def refused(field: Field, value: str) -> bool:
    """Whether a field, by its words, does not take a value; written by hand, apart from the model."""
    takes, kind = field.takes, kind_of(value)
    if takes.startswith("a table"):
        return value != "{ a = 1 }" or ("text" in takes and "number" not in takes)
    if takes.startswith("a list"):
        return True
    if takes.startswith("true"):
        return kind != "bool"
    if takes.startswith('"') or takes in ("1", "1 or 3"):
        return True
    if takes == "text":
        return kind != "text" or value == '""'
    if takes.startswith("a whole number"):
        return kind != "whole" or not within(takes, float(value))
    return kind not in ("whole", "number") or value[-3:] in ("nan", "inf", "400") or not within(takes, float(value))


def kind_of(value: str) -> str:
    if value.startswith('"'):
        return "text"
    if value == "true":
        return "bool"
    if value[0] in "[{" or value.count("-") > 1 or ":" in value:
        return "other"
    return "whole" if value.lstrip("-").isdigit() else "number"


def within(takes: str, value: float) -> bool:
    words = takes.replace(",", "").split()
    low = float(words[words.index("from") + 1]) if "from" in words else 0.0
    high = float(words[words.index("to") + 1]) if "to" in words else float("inf")
    below = float(words[words.index("below") + 1]) if "below" in words else float("inf")
    return low <= value <= high and value < below and not ("above" in words and value <= 0)


def wrong_values() -> Iterator[tuple[Field, str, str]]:
    """Every field with every value that it does not take, and the value's name."""
    for key, field in KNOWN.items():
        for name, value in OTHERS.items():
            if key not in SECTIONS | {"version"} and refused(field, value):
                yield field, name, value


def of_fields() -> Iterator[Case]:
    """A fifth of them, which goes round the values; tests/test_refusal.py tries all, without a command line."""
    for field, name, value in list(wrong_values())[::5]:
        says = (f"`{field.key}", f"\nwhy: it takes {field.takes}", "\nfix: ")
        yield from_file(f"{field.key} is {name}", spelled({field.key: value}), *says)


def wrong_sections() -> Iterator[Case]:
    for section in sorted(SECTIONS):
        for name, value in (
            ("text", '"x"'),
            ("a number", "1"),
            ("true", "true"),
            ("a list", "[1]"),
            ("a date", "1979-05-27"),
        ):
            content = f"{section} = {value}\n" + "".join(
                f"[{other}]\n" + "".join(f"{leaf} = {held}\n" for leaf, held in values.items())
                for other, values in LEAST.items()
                if other not in ("", section)
            )
            yield from_file(
                f"[{section}] is {name}", content, f"`{section}` is ", f"it takes a table of settings, [{section}]"
            )
        yield from_file(
            f"a key that [{section}] has not",
            spelled({f"{section}.zzqq": "1"}),
            f"no setting `{section}.zzqq`",
            "known: ",
        )
        leaf = next(key for key in KNOWN if key.startswith(f"{section}.")).rpartition(".")[2]
        typo = spelled({f"{section}.{leaf}x": "1"})
        yield from_file(
            f"a key of [{section}] with a letter too many",
            typo,
            f"no setting `{section}.{leaf}x`",
            f"did you mean `{leaf}`?",
        )


KEYS = [
    from_file("a section that is none", spelled({"trane.epochs": "3"}), "no setting `trane`", "did you mean `train`?"),
    from_file(
        "a key of another section", spelled({"epochs": "3"}), "no setting `epochs`", "did you mean `train.epochs`?"
    ),
    from_file("an empty key", '"" = 1\n' + spelled({}), 'no setting `""`'),
    from_file("a key with a control sign", '"a\\u001b[2J" = 1\n' + spelled({}), "no setting `"),
    from_file("a key with a newline", '"a\\nerror: b" = 1\n' + spelled({}), "no setting `"),
    from_file("a key of 10,000 letters", "a" * 10_000 + " = 1\n" + spelled({}), "no setting `aaa"),
    from_file("no section at all", "seed = 1\n", "`model` must be given (and 1 more)", "--model"),
    from_file("no file's content at all", "", "`model` must be given (and 1 more)"),
    from_file("nothing but a comment", "# to be written\n", "`model` must be given"),
    from_file(
        "a section without what it needs",
        '[model]\nname = "digits-cnn"\n[data]\n',
        "`data.path` must be given",
        "--data",
    ),
    from_file("two wrong values", spelled({"seed": "-1", "train.epochs": "-1"}), "(and 1 more)"),
    from_file(
        "an item of a list that is none of it",
        spelled({"preprocessing.mean": '[0.5, "x"]'}),
        "`preprocessing.mean`, item 2, is 'x'",
    ),
    from_file(
        "a mean in 0 to 255", spelled({"preprocessing.mean": "[123.675]"}), "item 1, is 123.675", "where white is 1"
    ),
    from_file("a deviation of zero", spelled({"preprocessing.std": "[0.0]"}), "`preprocessing.std`, item 1, is 0.0"),
    from_file("a list of no number", spelled({"preprocessing.mean": "[]"}), "`preprocessing.mean` is []"),
    from_file("two channels", spelled({"preprocessing.channels": "2"}), "`preprocessing.channels` is 2", "1 or 3"),
    from_file("true for one channel", spelled({"preprocessing.channels": "true"}), "`preprocessing.channels` is true"),
    from_file("1.0 for one channel", spelled({"preprocessing.channels": "1.0"}), "`preprocessing.channels` is 1.0"),
    from_file("a rename of three", spelled({"source.rename": '[["a", "b", "c"]]'}), "`source.rename`, item 1, is "),
    from_file("a rename that is text", spelled({"source.rename": '["ab"]'}), "`source.rename`, item 1, is 'ab'"),
    from_file("a rename of nothing", spelled({"source.rename": '[["", "b"]]'}), "`source.rename`, item 1,", "is empty"),
    from_file(
        "an argument of the network that is a date",
        spelled({"model.args": "{ a = 1979-05-27 }"}),
        "`model.args.a` is the date",
    ),
    from_file(
        "an argument of the network that is NaN",
        spelled({"model.args": "{ a = { b = [nan] } }"}),
        "`model.args.a` is a table",
    ),
    from_file(
        "a preset's argument that is a list",
        spelled({"plan.preset": '"l2"', "plan.args": "{ strength = [1] }"}),
        "`plan.args.strength` is [1]",
    ),
    from_file(
        "a preset's argument that is negative",
        spelled({"plan.preset": '"l2"', "plan.args": "{ strength = -1 }"}),
        "`plan.args.strength` is -1",
    ),
    from_file(
        "an override that is a number",
        spelled({"plan.overrides": '{ "*.bias" = 1 }'}),
        '`plan.overrides."*.bias"` is 1',
    ),
]

VERSIONS = [
    *(
        from_file(f"a spec of version {n}", spelled({"version": n}), f"`version` is {n}, and this Tether reads up to 1")
        for n in ("2", "99", "9223372036854775807")
    ),
    from_file(
        "a newer spec with keys of its own",
        spelled({"version": "2", "zzqq": "1"}),
        "reads up to 1",
        "pip install --upgrade",
    ),
    *(
        from_file(f"the version is {n}", spelled({"version": n}), "`version` is ", "there is only 1")
        for n in ('"1"', "1.0", "true", "-1", "0", "[1]", "1979-05-27", "nan")
    ),
]

CONTRADICTIONS = [
    from_file(f"contradiction: {name}", spelled(changes), *says)
    for name, changes, *says in (
        ("a preset and an expression", {"plan.preset": '"l2"', "plan.transferred": '"L2(0.1)"'}, "exclude each other"),
        ("a preset and an expression for new", {"plan.preset": '"l2"', "plan.new": '"L2(0.1)"'}, "exclude each other"),
        ("arguments without a preset", {"plan.args": "{ alpha = 1.0 }"}, "none is named"),
        (
            "a Fisher in words",
            {"plan.preset": '"ewc"', "plan.args": '{ strength = 1.0, fisher = "a" }'},
            "`plan.args.fisher` cannot be",
        ),
        ("a metric by gradient", {"plan.metric": '"optimizer"', "plan.via": '"gradient"'}, "exclude each other"),
        ("nothing to train on", {"data.test": "1"}, "leaves nothing to train on"),
        ("nothing to train on but validation", {"data.validation": "1.0"}, "leaves nothing to train on"),
        (
            "a share for test and a count",
            {"data.per_class": "4", "data.test": "0.3"},
            "`data.test = 0.3` has no effect",
        ),
        (
            "patience and no validation",
            {"train.patience": "3", "data.validation": "0"},
            "`train.patience` needs validation",
        ),
        ("a momentum of AdamW", {"optimizer.momentum": "0.5"}, "`optimizer.momentum = 0.5` has no effect"),
        ("draws of an exact Fisher", {"fisher.draws": "3"}, "`fisher.draws = 3` has no effect"),
        ("the source's pictures, which are not given", {"fisher.data": '"source"'}, "needs the source's pictures"),
        (
            "three means of one channel",
            {"preprocessing.channels": "1", "preprocessing.mean": "[0.1, 0.2, 0.3]"},
            "has 3 values for 1 channels",
        ),
        (
            "two deviations of three channels",
            {"preprocessing.channels": "3", "preprocessing.std": "[0.1, 0.2]"},
            "has 2 values for 3 channels",
        ),
    )
] + [from_words("a probe without a source", ["--probe"], "`probe` needs a source", "--source")]


def with_flags() -> Iterator[Case]:
    for flag, value, key in (
        ("--batch-size", "0", "it takes a whole number from 1"),
        ("--epochs", "-3", "it takes a whole number from 0"),
        ("--lr", "0", "it takes a number above 0"),
        ("--lr", "nan", "it takes a number above 0"),
        ("--lr", "inf", "it takes a number above 0"),
        ("--lr", "1e400", "it takes a number above 0"),
        ("--coverage", "2", "it takes a number from 0 to 1"),
        ("--validation", "-0.1", "it takes a number from 0 to 1"),
        ("--seed", "-1", "it takes a whole number from 0 to 4,294,967,295"),
        ("--seed", "4294967296", "it takes a whole number from 0 to 4,294,967,295"),
        ("--threads", "1000000000", "it takes a whole number from 1 to 4,096"),
        ("--size", "100000", "it takes a whole number from 4 to 4,096"),
        ("--batchnorm", "eval", 'it takes "source" or "update"'),
        ("--optimizer", "adam", 'it takes "adamw" or "sgd"'),
        ("--device", "tpu", 'it takes "cpu" or "cuda"'),
        ("--augment", "yes", 'it takes "none", "shift" or "photo"'),
        ("--padding", "valid", 'it takes "same" or "symmetric"'),
        ("--by", "shape", 'it takes "name" or "order"'),
        ("--source-classes", "", "it takes text"),
        ("--source-data", "", "it takes text"),
        ("--exclude", "", "it takes a list, each item text"),
    ):
        is_of_source = flag in ("--coverage", "--by", "--exclude") or flag.startswith("--source-")
        source = ["--source", "mnist"] if is_of_source else []
        yield from_words(
            f"{flag} {value!r}", [*source, flag, value], f"error: `{flag}`", f"why: {key}", f"fix: {flag} "
        )


CASES = [
    *of_fields(),
    *wrong_sections(),
    *KEYS,
    *VERSIONS,
    *CONTRADICTIONS,
    *with_flags(),
    *toml.CASES,
    *words.CASES,
]
