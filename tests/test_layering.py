"""Imports point one way: every import of ours, at the top of a file or inside a function, against the table of
``docs/architecture.md``."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lamina

ROOT = Path(lamina.__file__).parent

# What each room may import beside itself: the table, as data.
GROUND = {"core"}
NOUNS = GROUND | {"units", "models"}
VERBS = NOUNS | {"inference", "training"}
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "data": GROUND,
    "units": GROUND,
    "metrics": GROUND,
    "frontends": GROUND | {"data"},  # its records
    "models": GROUND | {"units"},
    "storage": GROUND | {"models"},  # model folders: a room of one file, for estimators, studies and the command line
    "inference": NOUNS,
    "decoders": set(),
    "training": NOUNS | {"inference"},
    "estimators": VERBS | {"frontends", "decoders", "metrics", "storage"},
    "report": GROUND | {"metrics"},
    "studies": VERBS | {"data", "frontends", "decoders", "metrics", "storage", "estimators"},
    "recipes": VERBS | {"data", "frontends", "decoders", "metrics", "storage", "estimators", "studies"},
    "cli": VERBS
    | {"data", "frontends", "decoders", "metrics", "storage", "estimators", "studies", "report", "recipes"},
}

# Packages that a room must do without, whatever is imported on the way.
MUST_NOT_IMPORT = {
    "core": {"sklearn", "pandas", "matplotlib"},
    "units": {"sklearn", "pandas", "matplotlib"},
    "models": {"sklearn", "pandas", "matplotlib", "tqdm"},
    "inference": {"sklearn", "pandas", "matplotlib"},
    "training": {"sklearn", "pandas", "matplotlib"},
    "report": {"torch"},
    "metrics": {"torch", "matplotlib"},
    "decoders": {"torch", "matplotlib"},
    "estimators": {"matplotlib"},
    "studies": {"matplotlib"},
    "recipes": {"matplotlib"},
}


def room_of(file: Path) -> str:
    """The first part of the path below ``src/lamina``: a folder, or the stem of a file that stands alone."""
    first = file.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imported(file: Path) -> set[str]:
    """Dotted names of all that ``file`` imports, at any depth; ``from a import b`` counts as ``a.b``."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = sorted(file for file in ROOT.rglob("*.py") if file != ROOT / "__init__.py")
ROOMS = set(MAY_IMPORT)


def rooms_imported(file: Path) -> set[str]:
    """Rooms of ours that ``file`` imports; a public name stands for the room where it lives."""
    found = set()
    for name in imported(file):
        parts = name.split(".")
        if parts[0] != "lamina" or len(parts) == 1:  # bare `import lamina` is looked at below
            continue
        home = lamina._HOME.get(parts[1], f"lamina.{parts[1]}")
        room = home.split(".")[1]
        if room != "__version__":
            found.add(room)
    return found


def test_there_is_something_to_look_at():
    assert len(FILES) > 30
    assert {room_of(file) for file in FILES} >= {"core", "units", "models", "inference", "training", "storage"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file):
    room = room_of(file)
    assert room in ROOMS, f"{room} is no room of the table: add it here and in docs/architecture.md"
    beyond = rooms_imported(file) - {room} - MAY_IMPORT[room]
    assert not beyond, f"{file.relative_to(ROOT)} imports {', '.join(sorted(beyond))}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_rooms_do_without_what_they_must_not_know(file):
    outside = {name.split(".")[0] for name in imported(file)}
    assert not outside & MUST_NOT_IMPORT.get(room_of(file), set())


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_package_itself_is_asked_only_for_its_version(file):
    """``import lamina; lamina.fit`` would go round the table."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    asked = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not {name for name in asked if name.startswith("lamina.")} - {"lamina.__version__"}


def test_nothing_pickles():
    """Model files hold no code: no unpickler is even imported."""
    for file in FILES:
        names = imported(file)
        assert not {name.split(".")[0] for name in names} & {"pickle", "joblib", "dill", "shelve", "marshal"}, file
        tree = ast.parse(file.read_text(encoding="utf-8"))
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not calls & {"torch.load", "torch.save", "eval", "exec"}, file


def test_the_table_has_no_circle():
    done: set[str] = set()
    while len(done) < len(ROOMS):
        ready = {room for room in ROOMS - done if MAY_IMPORT[room] <= done}
        assert ready, f"a circle among {sorted(ROOMS - done)}"
        done |= ready


def test_only_the_command_line_prints():
    for file in FILES:
        if room_of(file) == "cli":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not calls & {"print", "input", "sys.exit", "exit", "os._exit"}, file
