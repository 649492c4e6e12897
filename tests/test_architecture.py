"""House rules that no linter knows. Each failure names the place and says what to do instead."""

import ast
import gc
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src" / "customary"
MODULES = sorted(PACKAGE.rglob("*.py"))

LONGEST_FUNCTION = 60
LONGEST_FILE = 400
VAGUE_NAMES = {"common", "helper", "helpers", "manager", "managers", "util", "utils"}

# Where a program, not an import, leads into the package.
ENTRY_POINTS = {
    "customary.cli": "the console script in pyproject.toml",
    "customary.app": "the server's worker processes load it by its name",
    "customary.storage.migrations": "Alembic finds env.py and the versions by their files",
}

# Imports that stand inside a function because they must: "module of ours imports other": "reason".
IMPORTS_INSIDE_FUNCTIONS: dict[str, str] = {
    "customary.storage.migrate imports customary.storage.migrations.upgrade.upgrade": (
        "Alembic and SQLAlchemy are half of what a command would import, and only a migration needs them"
    ),
}

# What gives another answer each time it is asked, by module.
UNREPEATABLE = {
    "datetime": {"now", "today", "utcnow"},
    "os": {"getrandom", "urandom"},
    "random": {"*"},
    "secrets": {"*"},
    "time": {"*"},
    "uuid": {"getnode", "uuid1", "uuid4", "uuid6", "uuid7"},
    "customary.uuid7": {"*"},
}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree_of(path: Path) -> ast.Module:
    # What a garbage collection calls in between, CPython 3.11 may take for a fault of the parser: SystemError.
    gc.disable()
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    finally:
        gc.enable()


NAMES = {name_of(path) for path in MODULES}


def functions_in(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def imported_by(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the full dotted name of everything that is imported, relative imports resolved."""
    package = name_of(path) if path.name == "__init__.py" else name_of(path).rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def module_in(dotted: str) -> str | None:
    """Name the module of ours that `dotted` leads to: itself, or the one that holds the imported name."""
    if dotted in NAMES:
        return dotted
    parent = dotted.rpartition(".")[0]
    return parent if parent in NAMES else None


def listed(offences: list[str], advice: str) -> str:
    return "\n".join([advice, *(f"  {offence}" for offence in offences)])


def test_functions_fit_on_a_screen() -> None:
    offences = [
        f"{path.relative_to(PACKAGE)}:{function.lineno} {function.name} has {lines} lines"
        for path in MODULES
        for function in functions_in(tree_of(path))
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > LONGEST_FUNCTION
    ]
    assert not offences, listed(offences, f"Over {LONGEST_FUNCTION} lines: name the steps and make each a function.")


def test_files_can_be_read_in_one_go() -> None:
    offences = [
        f"{path.relative_to(PACKAGE)} has {lines} lines"
        for path in MODULES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_FILE
    ]
    assert not offences, listed(offences, f"Over {LONGEST_FILE} lines: give the second of its subjects its own file.")


def test_names_of_modules_say_what_they_own() -> None:
    offences = [name for name in sorted(NAMES) if VAGUE_NAMES & set(name.split("."))]
    assert not offences, listed(offences, "Name the module after what it owns; if that is several things, divide it.")


def test_every_module_says_what_it_owns() -> None:
    offences = [str(path.relative_to(PACKAGE)) for path in MODULES if not ast.get_docstring(tree_of(path))]
    assert not offences, listed(offences, "Begin the module with a sentence or two that say what it owns.")


def test_imports_stand_at_the_top() -> None:
    offences = {
        f"{name_of(path)} imports {imported}"
        for path in MODULES
        for function in functions_in(tree_of(path))
        for _, imported in imported_by(path, function)
    }
    new = sorted(offences - IMPORTS_INSIDE_FUNCTIONS.keys())
    assert not new, listed(
        new, "Import at the top; a circle of imports means that something belongs a layer below. Else list it here."
    )
    gone = sorted(IMPORTS_INSIDE_FUNCTIONS.keys() - offences)
    assert not gone, listed(gone, "No longer there: take it off IMPORTS_INSIDE_FUNCTIONS.")


def test_no_module_is_dead() -> None:
    paths = {name_of(path): path for path in MODULES}
    waiting = [name for name in NAMES if any(name == entry or name.startswith(f"{entry}.") for entry in ENTRY_POINTS)]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        waiting += [
            found for _, dotted in imported_by(paths[name], tree_of(paths[name])) if (found := module_in(dotted))
        ]
        # Importing a module runs the packages around it.
        waiting += [parent] if (parent := name.rpartition(".")[0]) else []
    dead = sorted(NAMES - reached)
    assert not dead, listed(dead, "No entry point reaches it: use it, delete it, or list what leads to it.")


def test_domain_gives_the_same_answer_every_time() -> None:
    offences = [
        f"{path.relative_to(PACKAGE)}:{line} {what}"
        for path in MODULES
        if "domain" in path.relative_to(PACKAGE).parts[:-1]
        for line, what in unrepeatable_in(path)
    ]
    assert not offences, listed(
        offences, "The domain is told the time, ids and random values: take them as arguments from the operation."
    )


def unrepeatable_in(path: Path) -> Iterator[tuple[int, str]]:
    tree = tree_of(path)
    for line, dotted in imported_by(path, tree):
        module, _, name = dotted.rpartition(".")
        if "*" in UNREPEATABLE.get(dotted, ()) or UNREPEATABLE.get(module, set()) & {"*", name}:
            yield line, f"imports {dotted}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            # `datetime` and `date` are both a module's and a class's name, and either can be asked for now.
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if node.attr in UNREPEATABLE.get("datetime" if owner == "date" else owner, set()):
                yield node.lineno, f"asks {owner}.{node.attr}"


def test_versions_are_named_in_one_place() -> None:
    versions = "customary.api.versions"
    offences = [
        f"{path.relative_to(PACKAGE)}:{line} imports {dotted}"
        for path in MODULES
        for line, dotted in imported_by(path, tree_of(path))
        if dotted.startswith(f"{versions}.v2")
        and name_of(path) != versions
        # Inside a version's own folder its files may import each other.
        and name_of(path).split(".")[:4] != dotted.split(".")[:4]
    ]
    assert not offences, listed(offences, f"Ask {versions} for the version: one place knows which are live.")
