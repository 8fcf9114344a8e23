"""What the package is to those who import it: light, typed, with its public names in one place."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest

import bottega

HEAVY = {"torch", "litellm", "chromadb", "openai", "mcp", "langgraph", "pydantic", "numpy", "onnxruntime", "duckdb"}
HEAVY |= {"rich", "prompt_toolkit"}
PACKAGES = {"yaml": "pyyaml", "pydantic_core": "pydantic", "opentelemetry": "opentelemetry_sdk"}
"""What is imported -> the package it comes in, where that has another name."""
ROOMS = ["core", "models", "tools", "retrieval", "agents", "graphs", "servers"]


def loaded_by(code: str, folder: Path) -> set[str]:
    """Top-level names of the modules that `code` imports in a fresh interpreter."""
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    lines = [line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.split(".")[0] for line in lines}


def test_importing_bottega_loads_nothing_heavy(tmp_path: Path) -> None:
    assert not loaded_by("import bottega", tmp_path).intersection([*HEAVY, "click", "asyncio"])


def test_the_help_screen_loads_nothing_but_click(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['bottega', '--help']; from bottega.cli import main; main()"
    assert not loaded_by(code, tmp_path).intersection([*HEAVY, "asyncio"])


def test_the_version_is_said_without_click(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['bottega', '--version']; from bottega.cli import main; main()"
    assert "click" not in loaded_by(code, tmp_path)


@pytest.mark.parametrize("name", bottega.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(bottega, name) is not None
    assert name in dir(bottega)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = bottega.nothing_of_the_kind


def test_the_package_says_that_it_is_typed() -> None:
    assert resources.files("bottega").joinpath("py.typed").is_file()


def test_the_version_of_the_code_is_the_installed_one() -> None:
    assert metadata.version("bottega") == bottega.__version__


def test_what_the_house_ships_is_package_data() -> None:
    from bottega import models

    folder = Path(models.__path__[0])
    assert (folder / "backbone.onnx").is_file()


def test_every_data_file_of_a_room_is_installed_with_it() -> None:
    root = Path(__file__).parents[1]
    table = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    covered = {
        file
        for package, patterns in table.items()
        for pattern in patterns
        for file in (root / (package.removeprefix("bottega.").replace(".", "/"))).glob(pattern)
    }
    listed = subprocess.run(["git", "ls-files", *ROOMS], cwd=root, capture_output=True, text=True, check=False).stdout
    data = {root / name for name in listed.splitlines() if not name.endswith(".py")}
    missing = sorted(str(file.relative_to(root)) for file in data - covered if file.name != "README.md")
    assert not missing, f"not in [tool.setuptools.package-data]: {missing}"


def test_everything_that_is_imported_is_declared() -> None:
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    declared = {re.split(r"[^\w.-]", line)[0].lower().replace("-", "_") for line in lines}
    missing = {
        f"{file.relative_to(root)} imports {name}"
        for room in [*ROOMS, "bottega"]
        for file in (root / room).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        for name in imported(node)
        if PACKAGES.get(name, name) not in declared
    }
    assert not missing, "\n".join(sorted(missing))


def imported(node: ast.AST) -> set[str]:
    """Top-level names of other people's packages that a statement imports."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level:
        names = [node.module or ""]
    return {name.split(".")[0] for name in names} - {"bottega", *sys.stdlib_module_names}


@pytest.mark.slow
def test_a_wheel_holds_every_module_and_works_where_it_is_installed(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    source = tmp_path / "source"
    source.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():  # not yet committed deletions are gone
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(source)], check=True)
    installed = tmp_path / "installed"
    [wheel] = tmp_path.glob("bottega-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(installed), str(wheel)], check=True)
    for room in [*ROOMS, "bottega"]:
        for file in (source / room).rglob("*"):
            inside = file.relative_to(source if room != "bottega" else source / "bottega")
            assert file.is_dir() or file.name == "README.md" or (installed / "bottega" / inside).exists(), inside
    command = [
        sys.executable,
        "-S",
        "-c",
        "import bottega; from bottega.cli import main; print(bottega.__file__); main()",
    ]
    done = subprocess.run(
        [*command, "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(installed)},
    )
    assert str(installed) in done.stdout
    assert bottega.__version__ in done.stdout
