"""The traps of the layout, each turned into a test."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "privaudit": ROOT / "privaudit",
    "privaudit_attacks": ROOT / "attacks" / "privaudit_attacks",
    "privaudit_defenses": ROOT / "defenses" / "privaudit_defenses",
    "privaudit_reports": ROOT / "reports" / "privaudit_reports",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def imports(file: Path) -> set[str]:
    """Top-level names of every import in a file."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_the_core_never_imports_a_plugin_package() -> None:
    for file in PACKAGES["privaudit"].rglob("*.py"):
        assert not imports(file) & {"privaudit_attacks", "privaudit_defenses", "privaudit_reports"}, file


def test_nobody_imports_the_folders() -> None:
    for folder in (*PACKAGES.values(), ROOT / "tests"):
        for file in folder.rglob("*.py"):
            assert not imports(file) & {"attacks", "defenses", "reports"}, file


def test_the_wheel_holds_all_four_packages_and_every_file_of_theirs(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
    ]
    subprocess.run([*command, str(ROOT)], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for package, folder in PACKAGES.items():
        for file in folder.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"{package}/{file.relative_to(folder).as_posix()}" in names
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == set(PACKAGES)


@pytest.mark.parametrize("kind", ["attacks", "defenses", "datasets", "reports", "claims"])
def test_installed_entry_points_are_those_of_pyproject_and_load(kind: str) -> None:
    declared = PROJECT["entry-points"][f"privaudit.{kind}"]
    installed = {
        point.name: point.value
        for point in entry_points(group=f"privaudit.{kind}")
        if point.dist is not None and point.dist.name == "privaudit"
    }
    assert installed == declared, "reinstall: pip install -e ."
    for point in entry_points(group=f"privaudit.{kind}"):
        if point.name in declared:
            assert point.load().name == point.name


def test_every_plugin_module_is_declared() -> None:
    for kind, package in (("attacks", "privaudit_attacks"), ("defenses", "privaudit_defenses")):
        modules = {f.stem for f in PACKAGES[package].glob("*.py")} - {"__init__"}
        declared = {
            value.split(":")[0].split(".")[1] for value in PROJECT["entry-points"][f"privaudit.{kind}"].values()
        }
        assert modules == declared


@pytest.mark.parametrize("code", ["import privaudit", "import privaudit.cli", "import privaudit.results.pytest_plugin"])
def test_importing_does_not_import_torch(code: str) -> None:
    heavy = "{'torch', 'monai', 'nilearn', 'matplotlib', 'scipy', 'numpy'}"
    check = f"{code}; import sys; bad = {heavy} & set(sys.modules); assert not bad, bad"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_help_does_not_import_torch() -> None:
    out = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "privaudit", "--help"], capture_output=True, text=True, check=True
    )
    assert "Attack and audit" in out.stdout
    assert "| torch" not in out.stderr
    assert "| numpy" not in out.stderr


def test_run_output_is_ignored_and_the_reports_package_is_not() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "/privaudit-runs/" in ignored
    assert not any(line.strip("/") == "reports" for line in ignored)


def test_every_module_can_be_read_in_one_sitting() -> None:
    for folder in PACKAGES.values():
        for file in folder.rglob("*.py"):
            assert len(file.read_text().splitlines()) <= 250, file


ROOMS = sorted(path.parent.name for path in PACKAGES["privaudit"].glob("*/__init__.py"))


def test_every_room_says_what_lives_there() -> None:
    for room in ROOMS:
        docstring = ast.get_docstring(ast.parse((PACKAGES["privaudit"] / room / "__init__.py").read_text()))
        assert docstring, room
        assert len(docstring.splitlines()) >= 3, f"{room}: what lives there, and what must not"


def test_the_tests_mirror_the_rooms() -> None:
    for room in (*ROOMS, "attacks", "reports"):
        assert list((ROOT / "tests" / room).glob("test_*.py")), room


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on a checkout."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--config", "pyproject.toml"]
    paths = [folder, *(folder / name for name in ("attacks", "defenses", "reports"))]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "COLUMNS": "200"},
    )  # fmt: skip


PLANTED = {
    "privaudit/scoring/stats.py": ("privaudit.auditing.store", "imports run downwards BROKEN"),
    "privaudit/contracts/claims.py": ("privaudit.segmentation.networks", "imports run downwards BROKEN"),
    "privaudit/scoring/verdicts.py": ("privaudit.learning.loop", "scoring trains nothing and reads no cohort BROKEN"),
    "privaudit/auditing/planning.py": ("privaudit_attacks.reid", "the core knows no plugin BROKEN"),
    "attacks/privaudit_attacks/reid.py": ("privaudit.auditing.scene", "neither the engine nor the scoring BROKEN"),
    "attacks/privaudit_attacks/atlas.py": ("privaudit_attacks.as_is", "attacks are independent of each other BROKEN"),
    "privaudit/serving/app.py": (
        "privaudit.contracts.keys",
        "a server holds no key, no reference and no unmixing network BROKEN",
    ),
    "reports/privaudit_reports/card.py": ("privaudit.cards.pictures", "a report reads records and runs nothing BROKEN"),
}


@pytest.mark.parametrize("file", PLANTED)
def test_import_linter_goes_red_on_a_planted_import(file: str, tmp_path: Path) -> None:
    module, message = PLANTED[file]
    for name in ("privaudit", "attacks", "defenses", "reports"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a") as stream:
        stream.write(f"\nimport {module}\n")
    out = linted(tmp_path)
    assert out.returncode == 1, out.stdout + out.stderr
    assert message in out.stdout


def test_a_loose_module_has_no_place(tmp_path: Path) -> None:
    for name in ("privaudit", "attacks", "defenses", "reports"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert linted(tmp_path).returncode == 0
    (tmp_path / "privaudit" / "odds_and_ends.py").write_text("")
    out = linted(tmp_path)
    assert out.returncode == 1
    assert "odds_and_ends" in out.stdout


def test_the_documentation_lists_the_public_names() -> None:
    import privaudit

    told = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "api.md").read_text(), flags=re.M)
    assert sorted(told) == sorted(privaudit.__all__)
    for name in privaudit.__all__:
        assert getattr(privaudit, name).__doc__, name
