"""Three lists of dependencies, pip's, conda's and the exact versions, that have to agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
# Where conda-forge calls a package something else than PyPI does.
PYPI_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib", "ray-data": "ray"}

Dependencies = dict[str, SpecifierSet]


def project() -> dict:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pip_dependencies() -> Dependencies:
    requirements = [
        Requirement(text) for text in project()["dependencies"] + project()["optional-dependencies"]["test"]
    ]
    assert len({canonicalize_name(item.name) for item in requirements}) == len(requirements)
    return {canonicalize_name(item.name): item.specifier for item in requirements}


def conda_environment() -> dict:
    return yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))


def conda_dependencies() -> Dependencies:
    """Read environment.yml under PyPI's names, without Python, pip and the package itself."""
    *plain, pip_section = conda_environment()["dependencies"]
    lines = plain + [line for line in pip_section["pip"] if line != "-e ."]
    found: Dependencies = {}
    for line in lines:
        name, *specifier = line.split()
        name = canonicalize_name(PYPI_NAMES.get(name, name))
        assert name not in found, f"{name} twice"
        found[name] = SpecifierSet(*specifier)
    return {name: specifier for name, specifier in found.items() if name not in ("python", "pip")}


def constraints(python: str) -> dict[str, str]:
    """Read the exact versions that apply to a Python on Linux."""
    environment = default_environment() | {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
    }
    versions: dict[str, str] = {}
    for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (pin,) = requirement.specifier
            assert pin.operator == "==", line
            if requirement.marker is None or requirement.marker.evaluate(environment):
                assert requirement.name not in versions, f"{requirement.name} twice on {python}"
                versions[requirement.name] = pin.version
    return versions


def test_conda_lists_what_pip_lists():
    assert conda_dependencies() == pip_dependencies()
    assert conda_environment()["channels"] == ["conda-forge", "nodefaults"]
    assert conda_environment()["dependencies"][-1]["pip"][-1] == "-e ."


def test_pythons_agree():
    required = project()["requires-python"]
    assert f"python {required}" in conda_environment()["dependencies"]
    allowed = SpecifierSet(required)
    assert [minor for minor in range(20) if f"3.{minor}.5" in allowed] == [10, 11, 12, 13]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_has_an_exact_version_that_fits(python):
    versions = constraints(python)
    for name, specifier in pip_dependencies().items():
        assert name in versions, f"{name} is missing on Python {python}"
        assert versions[name] in specifier, f"{name} on Python {python}"


def test_constraints_name_no_place():
    text = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|@|^-", text, flags=re.MULTILINE)


def test_drawings_and_torch_are_exact():
    exact = {
        name for name, specifier in pip_dependencies().items() if [pin.operator for pin in specifier] == ["=="]
    }
    assert exact == {"torch", "torchvision", "qtawesome", "iconipy", "manimgx-fonts"}


def test_citation_names_this_work_and_the_paper():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["license"] == project()["license"] == "MIT"
    (paper,) = citation["references"]
    assert paper["title"].startswith("Language-Driven Cross-Modal Classifier")
    assert (len(paper["authors"]), paper["volume"], paper["year"]) == (7, 235, 2024)
    import comc_utils

    assert citation["version"] == comc_utils.__version__
