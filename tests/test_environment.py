"""pyproject.toml, constraints.txt and environment.yml say the same, and what the library imports is among it."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(line) for line in sum(EXTRAS.values(), PROJECT["dependencies"])]
CONSTRAINTS = {
    canonicalize_name(constraint.name): constraint.specifier
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if not line.startswith("#")
    for constraint in [Requirement(line)]
}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_every_requirement_has_a_constraint_that_fits(requirement):
    constraint = CONSTRAINTS[canonicalize_name(requirement.name)]
    if requirement.name == "torch":
        assert constraint == requirement.specifier
    else:
        (pin,) = constraint
        assert pin.operator == "==" and requirement.specifier.contains(pin.version)


def test_tests_need_what_every_other_extra_brings():
    assert set(EXTRAS["test"]) >= set(EXTRAS["postgres"])


def test_torch_is_the_only_range():
    assert [name for name, constraint in CONSTRAINTS.items() if not str(constraint).startswith("==")] == ["torch"]


def test_conda_installs_the_project_with_the_constraints_and_nothing_else():
    python, pip, from_pip = ENVIRONMENT
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(PROJECT["requires-python"])
    assert (pip, from_pip) == ("pip", {"pip": ["-c constraints.txt", "-e .[test]"]})


def test_make_looks_for_the_same_versions_of_python():
    makefile = (ROOT / "Makefile").read_text()
    minors = [int(minor) for minor in re.findall(r"python3\.(\d+)", makefile)]
    supported = [minor for minor in range(30) if f"3.{minor}" in SpecifierSet(PROJECT["requires-python"])]
    assert minors == sorted(supported, reverse=True)
    assert f"(3, {supported[0]}) <= sys.version_info < (3, {supported[-1] + 1})" in makefile


def test_what_the_library_imports_is_required():
    modules = {name for path in (ROOT / "lib").rglob("*.py") for name in imported(path)}
    modules -= sys.stdlib_module_names | {"nanobert", "unmasked"}
    distributions = packages_distributions()
    installed_by = {name: {canonicalize_name(each) for each in distributions.get(name, [])} for name in modules}
    required = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert {name: by for name, by in installed_by.items() if not by & required} == {}


def imported(path):
    """The top-level names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]
