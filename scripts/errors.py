"""Write the list of errors in docs/errors.md from the source; what stands above the list is written by hand.

python scripts/errors.py writes it; with --check it says what is not current, or has no why or no fix, and ends with 1.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise, product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE, PAGE = ROOT / "src" / "tether", ROOT / "docs" / "errors.md"
BEGIN = "<!-- What follows is written by scripts/errors.py. -->\n"
HOLE, PARTS = "…", ("what", "why", "fix")
ROOTS = {"ThreeLines", "TetherError"}
SPOKEN = {"did_you_mean": f"did you mean `{HOLE}`?", "few": f"`{HOLE}`"}
Names = Mapping[str, ast.expr]


@dataclass(frozen=True)
class Kind:
    """A class of the tree, in the order of errors.py."""

    name: str
    says: str
    exit_code: str
    own: ast.Call | None
    """The call by which its constructor gives why and fix itself, so that who raises it gives neither."""


@dataclass(frozen=True, order=True)
class Place:
    """Where an error is made; a hole stands for what is only known then."""

    kind: str
    what: str
    why: str
    fix: str
    path: str = field(compare=False)
    line: int = field(compare=False)
    lacks: tuple[str, ...] = field(compare=False)
    """Which of its lines are missing, or may be empty."""

    @property
    def row(self) -> str:
        """Its line in the table; none where all of it is only known then."""
        if not any(map(str.isalpha, self.what)):
            return ""
        cells = (text.replace("|", r"\|").replace("\n", " ") for text in (self.what, self.why, self.fix))
        return f"| {' | '.join(cells)} |"


def kinds() -> dict[str, Kind]:
    """The classes of the tree by name; an exit code is its own or its parent's."""
    found: dict[str, Kind] = {}
    for node in ast.parse((SOURCE / "errors.py").read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef) and (node.name in ROOTS or _parent(node, found)):
            parent = _parent(node, found)
            code = next((ast.unparse(value) for part in ast.walk(node) if (value := _set(part, "exit_code"))), None)
            says = (ast.get_docstring(node) or "").splitlines()[0]
            found[node.name] = Kind(node.name, says, code or (parent.exit_code if parent else "2"), _own(node))
    return found


def places() -> list[Place]:
    """Every place in the source where an error of the tree is made."""
    known = kinds()
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
    shared = {name: value for tree in trees.values() for name, value in _assigned(tree.body).items()}
    found = []
    for path, tree in trees.items():
        where = path.relative_to(SOURCE).as_posix()
        for call, names in _calls(tree.body, shared | _assigned(tree.body)):
            kind = known.get(getattr(call.func, "id", getattr(call.func, "attr", "")))
            if kind is not None:
                found.append(_place(kind.name, kind.own or call, names, where, call.lineno))
    return sorted(set(found))


def page(by_hand: str, found: list[Place]) -> str:
    """The whole page."""
    lines = [by_hand + BEGIN]
    for kind in kinds().values():
        rows = dict.fromkeys(place.row for place in found if place.kind == kind.name and place.row)
        if rows:
            title = f"### {kind.name}\n\nExit code {kind.exit_code}. {kind.says}"
            lines.append("\n".join([title, "", "| error | why | fix |", "|---|---|---|", *rows, ""]))
    return "\n".join(lines)


def by_hand() -> str:
    """What stands above the list."""
    return PAGE.read_text("utf-8").partition(BEGIN)[0]


def main() -> int:
    """Write the page, or check it."""
    found = places()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(by_hand(), found), "utf-8")
        return 0
    bad = [f"src/tether/{p.path}:{p.line}: {p.kind} without {' or '.join(p.lacks)}" for p in found if p.lacks]
    if PAGE.read_text("utf-8") != page(by_hand(), found):
        bad.append("docs/errors.md is not current: python scripts/errors.py")
    print(*bad, sep="\n", end="\n" if bad else "")
    return 1 if bad else 0


def _parent(node: ast.ClassDef, found: Mapping[str, Kind]) -> Kind | None:
    return next((found[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in found), None)


def _set(node: ast.AST, name: str) -> ast.expr | None:
    """What a statement sets a name, or an attribute of that name, to."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    if any(name in (getattr(target, "id", ""), getattr(target, "attr", "")) for target in targets):
        return node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    return None


def _own(node: ast.ClassDef) -> ast.Call | None:
    """The call of the parent's constructor, where it is given words and not arguments of the same name."""
    for call in (part for part in ast.walk(node) if isinstance(part, ast.Call)):
        words = {word.arg: word.value for word in call.keywords}
        if words.keys() >= {"why", "fix"} and not isinstance(words["fix"], ast.Name):
            return call
    return None


def _place(kind: str, call: ast.Call, names: Names, path: str, line: int) -> Place:
    ways = {str(word.arg): _ways(word.value, names) for word in call.keywords}
    ways["what"] = _ways(call.args[-1], names) if call.args else [HOLE]  # an interruption is given its signal before
    said = {part: " / ".join(dict.fromkeys(ways.get(part, [""]))) for part in PARTS}
    lacks = tuple(part for part in PARTS if not all(ways.get(part, [""])))
    return Place(kind, said["what"], said["why"], said["fix"], path, line, lacks)


def _calls(body: list[ast.stmt], names: Names) -> Iterator[tuple[ast.Call, Names]]:
    """Each call, with what the names in its function stand for; a function's own names come before the module's."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            own = _assigned(ast.walk(statement)) if isinstance(statement, ast.FunctionDef) else {}
            given = {a.arg for a in _arguments(statement)}
            yield from _calls(statement.body, {k: v for k, v in names.items() if k not in given} | own)
        else:
            inner = [part for part in ast.walk(statement) if isinstance(part, ast.FunctionDef)]
            within = {id(call) for function in inner for call in ast.walk(function)}
            for part in ast.walk(statement):
                if isinstance(part, ast.Call) and id(part) not in within:
                    yield part, names
            yield from _calls(list(inner), names)


def _arguments(node: ast.stmt) -> list[ast.arg]:
    if not isinstance(node, ast.FunctionDef):
        return []
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


def _assigned(nodes: Iterable[ast.AST]) -> dict[str, ast.expr]:
    """What each name is set to; either of several things, where it is set more than once."""
    found: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            many = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            for one, its in zip(target.elts, value.elts, strict=False) if many else [(target, value)]:  # type: ignore[attr-defined]
                if isinstance(one, ast.Name):
                    found.setdefault(one.id, []).append(its)
    return {name: _either(values) for name, values in found.items()}


def _either(values: list[ast.expr]) -> ast.expr:
    return values[0] if len(values) == 1 else ast.BoolOp(ast.Or(), values)


def _ways(node: ast.expr, names: Names) -> list[str]:
    """The texts that an expression may be, with holes."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return [_closed("".join(_ways(p, names)[0] if isinstance(p, ast.Constant) else HOLE for p in parts))]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [_closed(one + other) for one, other in product(_ways(left, names), _ways(right, names))]
        case ast.IfExp(body=one, orelse=other):
            return [*_ways(one, names), *_ways(other, names)]
        case ast.BoolOp(op=ast.Or(), values=values):
            found = dict.fromkeys(way for value in values for way in _ways(value, names))
            return [way for way in found if way] or [""]
        case ast.Name(id=name) if name in names:
            return _ways(names[name], {key: value for key, value in names.items() if key != name})
        case ast.Call(func=ast.Name(id=name)) if name in SPOKEN:
            return [SPOKEN[name]]
        case _:
            return [HOLE]


def _closed(text: str) -> str:
    """Holes that touch are one."""
    return "".join(text[:1]) + "".join(after for before, after in pairwise(text) if not before == after == HOLE)


if __name__ == "__main__":
    sys.exit(main())
