"""Methods, data sets and layouts of the package, and the arguments of any class, read from source.

Importing a class imports torch, Lightning and timm, which takes seconds. What `--help`, `list` and
the checks of `preflight.py` need stands in the source: names, first docstring lines, arguments and
plain type hints. Nothing is executed.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional, Union

_PACKAGE = Path(__file__).resolve().parents[1]
_PLAIN = {"int": int, "float": float, "str": str, "bool": bool, "None": None, "Path": Path}


@dataclass(frozen=True)
class DeclaredArgument:
    """An argument of a class.

    Attributes:
        hint: its type hint; None if it is not made of plain types.
        default: source text of its default; None if it must be given.
    """

    hint: Any
    default: str | None

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is None


@dataclass(frozen=True)
class DeclaredClass:
    """A class as its source declares it.

    Attributes:
        name: of the class.
        summary: first line of its docstring.
        arguments: of its constructor, with those that it hands to its bases.
        abstract: a base that is not to be used itself.
        constants: class attributes with a literal value.
    """

    name: str
    summary: str
    arguments: dict[str, DeclaredArgument]
    abstract: bool = False
    constants: dict[str, Any] = field(default_factory=dict)


def list_methods() -> dict[str, DeclaredClass]:
    """The package's methods by class name, as `METHODS` has them."""
    classes = _below("methods", "LandmarkModule")
    return {name: cls for name, cls in classes.items() if not cls.abstract}


def list_datasets() -> dict[str, DeclaredClass]:
    """The package's data sets by class name, as `DATASETS` has them."""
    classes = _below("data", "FaceDataset")
    return {name: cls for name, cls in classes.items() if not cls.abstract and name[0] != "_"}


def list_renderers() -> list[str]:
    """Data sets whose faces are rendered."""
    return [name for name, cls in list_datasets().items() if cls.constants.get("rendered")]


def list_layouts() -> dict[str, DeclaredClass]:
    """The layouts that can be written, by their names, as `LAYOUTS` has them."""
    layouts = _below("data/layouts", "Layout").values()
    return {cls.constants["name"]: cls for cls in layouts if "name" in cls.constants}


def find_class(module: str, name: str) -> DeclaredClass:
    """A class of an installed module, which is not imported.

    Raises:
        LookupError: no such module, or no such class in it.
    """
    source = read_module(module)
    if source is None or name not in source.classes:
        raise LookupError(f"{module} has no class {name}")
    return source.declare(name)


class Module:
    """The source of one module.

    Args:
        name: dotted name.
        tree: its syntax tree.

    Attributes:
        classes: its classes by name.
        imports: names that it imports -> (module, name there).
        values: names that it assigns -> the expression.
    """

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name = name
        self.classes: dict[str, ast.ClassDef] = {}
        self.imports: dict[str, tuple[str, str]] = {}
        self.values: dict[str, ast.expr] = {}
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                self.classes[node.name] = node
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = (node.module, alias.name)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.values[node.targets[0].id] = node.value

    def bases(self, name: str) -> Iterator[tuple[Module, str]]:
        """The bases of a class, with the modules that define them; unknown ones are left out."""
        for base in self.classes[name].bases:
            node = base.value if isinstance(base, ast.Subscript) else base
            if isinstance(node, ast.Name) and (owner := self.locate(node.id)):
                yield owner

    def locate(self, name: str) -> tuple[Module, str] | None:
        """Module and name under which a class is defined that is called `name` here."""
        if name in self.classes:
            return self, name
        origin = self.imports.get(name)
        source = read_module(origin[0]) if origin else None
        return source.locate(origin[1]) if source and origin else None

    def ancestry(self, name: str) -> Iterator[tuple[Module, str]]:
        """The class and its bases, nearest first."""
        yield self, name
        for module, base in self.bases(name):
            yield from module.ancestry(base)

    def declare(self, name: str) -> DeclaredClass:
        """The class with the arguments that it takes."""
        node = self.classes[name]
        arguments: dict[str, DeclaredArgument] = {}
        constants: dict[str, Any] = {}
        passes_on = True
        for module, cls in self.ancestry(name):
            for key, value in _read_constants(module.classes[cls]).items():
                constants.setdefault(key, value)
            if passes_on and (declared := module.own_arguments(cls)) is not None:
                for key, argument in declared[0].items():
                    arguments.setdefault(key, argument)
                passes_on = declared[1]
        abstract = any(k.arg == "abstract" for k in node.keywords) or self._is_abstract(name)
        summary = (ast.get_docstring(node) or "").partition("\n")[0]
        return DeclaredClass(name, summary, arguments, abstract, constants)

    def own_arguments(self, name: str) -> tuple[dict[str, DeclaredArgument], bool] | None:
        """Arguments that the class itself states, and whether it hands more to its bases.

        None if it states none and has its base's constructor.
        """
        node = self.classes[name]
        decorators = {
            d.func.id
            if isinstance(d, ast.Call) and isinstance(d.func, ast.Name)
            else ast.unparse(d)
            for d in node.decorator_list
        }
        if "dataclass" in decorators:
            fields = [n for n in node.body if isinstance(n, ast.AnnAssign)]
            return {
                n.target.id: self._argument(n.annotation, n.value)
                for n in fields
                if isinstance(n.target, ast.Name) and "ClassVar" not in ast.unparse(n.annotation)
            }, False
        function = _functions(node).get("__init__")
        if function is None:
            return None
        given = function.args
        positional = [*given.posonlyargs, *given.args]
        defaults = [None] * (len(positional) - len(given.defaults)) + given.defaults
        pairs = [*zip(positional, defaults, strict=True)][1:]
        pairs += zip(given.kwonlyargs, given.kw_defaults, strict=True)
        named = {a.arg: self._argument(a.annotation, default) for a, default in pairs}
        return named, given.kwarg is not None

    def _argument(self, hint: ast.expr | None, default: ast.expr | None) -> DeclaredArgument:
        try:
            value = Any if hint is None else self._evaluate(hint)
        except LookupError:
            value = Any
        text = None if default is None else ast.unparse(default)
        return DeclaredArgument(None if value is Any else value, text)

    def _evaluate(self, node: ast.expr) -> Any:
        """A type hint made of plain types.

        Raises:
            LookupError: another type is in it.
        """
        if isinstance(node, ast.Constant):
            return node.value if node.value is None else self._evaluate_text(node.value)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return Union[self._evaluate(node.left), self._evaluate(node.right)]  # noqa: UP007
        if isinstance(node, ast.Subscript):
            return self._evaluate_subscript(node)
        if isinstance(node, ast.Name) and node.id in _PLAIN:
            return _PLAIN[node.id]
        if isinstance(node, ast.Name) and node.id in self.values:
            return self._evaluate(self.values[node.id])
        if isinstance(node, ast.Name) and node.id in self.imports:
            module, name = self.imports[node.id]
            if source := read_module(module):
                return source._evaluate(ast.Name(name))
        raise LookupError(ast.unparse(node))

    def _evaluate_text(self, text: Any) -> Any:
        if not isinstance(text, str):
            raise LookupError(repr(text))
        return self._evaluate(ast.parse(text, mode="eval").body)

    def _evaluate_subscript(self, node: ast.Subscript) -> Any:
        members = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        kind = ast.unparse(node.value)
        if kind == "Literal":
            return Literal[tuple(ast.literal_eval(member) for member in members)]
        hints = tuple(self._evaluate(member) for member in members)
        generic: dict[str, Any] = {"Optional": Optional, "Union": Union, "list": list}
        if kind not in generic:
            raise LookupError(kind)
        return generic[kind][hints if kind == "Union" else hints[0]]

    def _is_abstract(self, name: str) -> bool:
        """Whether an abstract function of an ancestor is implemented by no nearer class."""
        implemented: set[str] = set()
        for module, cls in self.ancestry(name):
            for key, function in _functions(module.classes[cls]).items():
                decorators = {ast.unparse(d) for d in function.decorator_list}
                if "abstractmethod" in decorators and key not in implemented:
                    return True
                implemented.add(key)
        return False


@functools.cache
def read_module(name: str) -> Module | None:
    """The source of an installed module, which is not imported; None if there is none."""
    root, *parts = name.split(".")
    if root == _PACKAGE.name:
        folders = [_PACKAGE]
    else:
        try:
            spec = importlib.util.find_spec(root)
        except (ImportError, ValueError):
            return None
        folders = [Path(p) for p in (spec and spec.submodule_search_locations) or ()]
    for folder in folders:
        place = folder.joinpath(*parts)
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                return Module(name, ast.parse(file.read_bytes()))
    return None


def _below(folder: str, base: str) -> dict[str, DeclaredClass]:
    """Classes with an ancestor called `base` in the modules of a folder of the package."""
    return _collect(folder, lambda module, name: base in [n for _, n in module.ancestry(name)][1:])


def _collect(folder: str, accept: Callable[[Module, str], bool]) -> dict[str, DeclaredClass]:
    collected: dict[str, DeclaredClass] = {}
    for file in sorted((_PACKAGE / folder).rglob("*.py")):
        parts = file.relative_to(_PACKAGE.parent).with_suffix("").parts
        dotted = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        module = read_module(dotted)
        for name in module.classes if module else ():
            if module and accept(module, name):
                collected[name] = module.declare(name)
    return dict(sorted(collected.items()))


def _functions(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}


def _read_constants(node: ast.ClassDef) -> dict[str, Any]:
    constants: dict[str, Any] = {}
    for item in node.body:
        target: ast.expr | None = item.target if isinstance(item, ast.AnnAssign) else None
        if isinstance(item, ast.Assign):
            target = item.targets[0]
        value = getattr(item, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
            constants[target.id] = value.value
    return constants
