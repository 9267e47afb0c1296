"""Fields: every setting of a spec in words, from the JSON schema of its model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One setting: what it takes, its default, what it means, and a value that it takes, as TOML writes them.

    Args:
        default: None where there is none, or what is taken is decided later.
        required: whether its section cannot be without it.
    """

    key: str
    takes: str
    default: str | None
    required: bool
    says: str
    example: str


def fields(schema: Schema) -> dict[str, Field]:
    """Every field by its dotted key, sections included.

    >>> seed = {"type": "integer", "minimum": 0, "default": 3, "description": "of all"}
    >>> fields({"properties": {"seed": seed}})["seed"]
    Field(key='seed', takes='a whole number from 0 on', default='3', required=False, says='of all', example='3')
    """
    return {field.key: field for field in _fields(schema, schema, "")}


def _fields(root: Schema, section: Schema, prefix: str) -> Iterator[Field]:
    for name, raw in section["properties"].items():
        shape = _resolved(root, raw)
        default = raw.get("default")
        is_section = "properties" in shape
        yield Field(
            key=prefix + name,
            takes=_takes(shape),
            default=None if default is None or is_section else _toml(default),
            required=name in section.get("required", ()),
            says=raw.get("description") or shape.get("description", ""),
            example=_example(shape)
            if default in (None, [], {}, "") or default is False or is_section
            else _toml(default),
        )
        if is_section:
            yield from _fields(root, shape, f"{prefix}{name}.")


def _resolved(root: Schema, raw: Schema) -> Schema:
    """What a field takes where it is given: a reference followed, and null left out."""
    if "$ref" in raw:
        found: Schema = root["$defs"][raw["$ref"].rpartition("/")[2]]
        return found
    choices = [choice for choice in raw.get("anyOf", ()) if choice.get("type") != "null"]
    return _resolved(root, choices[0]) if len(choices) == 1 else raw


def _takes(shape: Schema) -> str:
    if "anyOf" in shape:
        return " or ".join(_takes(choice) for choice in shape["anyOf"])
    if "enum" in shape or "const" in shape:
        choices = [_toml(value) for value in shape.get("enum", [shape.get("const")])]
        return " or ".join([", ".join(choices[:-1]), choices[-1]] if choices[1:] else choices)
    match shape.get("type"):
        case "integer":
            return f"a whole number{_range(shape)}"
        case "number":
            return f"a number{_range(shape)}"
        case "boolean":
            return "true or false"
        case "string":
            return "text"
        case "array" if "prefixItems" in shape:
            return f"a list of {len(shape['prefixItems'])} texts"
        case "array":
            return f"a list{_length(shape)}, each item {_takes(shape['items'])}"
    inner = shape.get("additionalProperties")
    if isinstance(inner, dict) and shape.get("type") == "object":
        return f"a table, each value {_takes(inner)}"
    return "a table" if "properties" in shape else "a value of any kind"


def _range(shape: Schema) -> str:
    low, above = shape.get("minimum"), shape.get("exclusiveMinimum")
    high, below = shape.get("maximum"), shape.get("exclusiveMaximum")
    parts = [f" from {_number(low)}"] if low is not None else []
    parts += [f" above {_number(above)}"] if above is not None else []
    parts += [f" {'to' if low is not None else 'and at most'} {_number(high)}"] if high is not None else []
    parts += [f" and below {_number(below)}"] if below is not None else []
    return "".join(parts) + (" on" if parts and low is not None and high is None and below is None else "")


def _length(shape: Schema) -> str:
    least, most = shape.get("minItems"), shape.get("maxItems")
    return "" if least is None and most is None else f" of {least or 0} to {most}" if most else f" of {least} or more"


def _example(shape: Schema) -> str:
    if "anyOf" in shape:
        return _example(shape["anyOf"][0])
    if "enum" in shape or "const" in shape:
        return _toml(shape.get("enum", [shape.get("const")])[0])
    match shape.get("type"):
        case "integer":
            return str(max(1, shape.get("minimum", 1)))
        case "number":
            return "0.5"
        case "boolean":
            return "true"
        case "string":
            return '"…"'
        case "array":
            items = shape.get("prefixItems") or [shape["items"]]
            return f"[{', '.join(map(_example, items))}]"
    return "{…}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return "{}" if isinstance(value, dict) else f'"{value}"' if isinstance(value, str) else str(value)
