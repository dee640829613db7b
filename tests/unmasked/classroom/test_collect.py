"""Collecting: whose a file is, under the names that platforms give it, and that nothing gets lost on the way."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from unmasked.classroom import downloads
from unmasked.classroom.collect import collect, collect_from_exchange
from unmasked.classroom.release import release_to_exchange
from unmasked.errors import UnmaskedError
from unmasked.lessons import find_lesson

LESSON = find_lesson("02")
NOTEBOOK = f"{LESSON.name}.ipynb"


def download(folder, files):
    """A zip file with these texts under these names."""
    path = folder / "download.zip"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def submitted(course):
    """Whose notebooks lie where nbgrader looks for them: student -> text."""
    students = course.students_with(LESSON.name)
    return {student: (course.folder("submitted", student, LESSON.name) / NOTEBOOK).read_text() for student in students}


def reasons(collected):
    return {path.name: reason for path, reason in collected.aside.items()}


# Names as Moodle's downloader.php (with and without folders, with and without the older trailing underscore) and
# Canvas's content_zipper.rb make them.
NAMES = {
    f"Ann Doe_1234_assignsubmission_file_/{NOTEBOOK}": "ann",
    f"Ann Doe_1234_assignsubmission_file/{NOTEBOOK}": "ann",
    f"Ann Doe_1234_assignsubmission_file_{NOTEBOOK}": "ann",
    f"Ann Doe_1234_assignsubmission_file_/my work/{NOTEBOOK}": "ann",
    f"Doe Ann_1234_assignsubmission_file_/{NOTEBOOK}": "ann",
    f"ONeill, Jr. Bob_1234_assignsubmission_file_/{NOTEBOOK}": "bob",
    f"doeann_55_66_{NOTEBOOK}": "ann",
    f"doeann_LATE_55_66_{NOTEBOOK}": "ann",
    f"oneilljrbob_55_66_{NOTEBOOK}": "bob",
    f"özcemali_55_66_{NOTEBOOK}": "cem",
    f"somebodyelse_77_66_{NOTEBOOK}": "cem",  # 77 is Canvas's number of cem, as the roster says
    f"cem/{NOTEBOOK}": "cem",
    f"a folder/dup2/{NOTEBOOK}": "dup2",
    f"dup1_55_66_{NOTEBOOK}": "dup1",
}


@pytest.mark.parametrize("name, student", NAMES.items(), ids=NAMES)
def test_a_file_is_attributed_by_its_name(course, tmp_path, name, student):
    collected = collect(course, LESSON, download(tmp_path, {name: "{}"}))
    assert submitted(course) == {student: "{}"}
    assert collected.students.keys() == {student} and not collected.aside and not collected.mended


@pytest.mark.parametrize(
    "name", ["02_self_attention (1).ipynb", "02_self_attention-3.ipynb", "02-Self-Attention.ipynb",
             "02_self_attention-Copy1.ipynb", "02_self_attention_final.ipynb", "Copy of 02_self_attention.ipynb"]
)  # fmt: skip
@pytest.mark.parametrize(
    "prefix", ["Ann Doe_1_assignsubmission_file_/", "Ann Doe_1_assignsubmission_file_", "doeann_5_6_"]
)
def test_a_near_miss_gets_the_lessons_name_and_that_is_told(course, tmp_path, prefix, name):
    collected = collect(course, LESSON, download(tmp_path, {prefix + name: "{}"}))
    assert submitted(course) == {"ann": "{}"}
    assert list(collected.mended.values()) == ["is ann's 02_self_attention.ipynb"]


def test_what_cant_be_attributed_is_listed_and_kept(course, tmp_path):
    files = {
        f"Jane Roe_1_assignsubmission_file_/{NOTEBOOK}": "of whom there are several in the roster",
        f"Ann Doe_2_assignsubmission_file_/{NOTEBOOK}": None,
        "Ann Doe_2_assignsubmission_file_/02_self_attention-2.ipynb": "is a second notebook by ann",
        "Ann Doe_2_assignsubmission_file_/essay.pdf": "is no notebook",
        "doeann_5_6_homework.ipynb": "is by ann, but not called 02_self_attention.ipynb",
        "anon_x7Yz1_9_stranger.ipynb": "who is not in the roster",
        "__MACOSX/._x.ipynb": None,
        "cem/.ipynb_checkpoints/02_self_attention-checkpoint.ipynb": None,
    }
    collected = collect(course, LESSON, download(tmp_path, dict.fromkeys(files, "{}")))
    assert submitted(course) == {"ann": "{}"}
    said = {path.name: reason for path, reason in collected.aside.items()}
    assert len(said) == len(collected.aside) == 5
    for name, reason in files.items():
        if reason:
            assert reason in said[Path(name).name]
    assert all(path.is_file() for path in collected.aside)


def test_the_rightly_named_one_of_two_notebooks_is_collected(course, tmp_path):
    files = {"ann/02_self_attention (1).ipynb": "draft", f"ann/{NOTEBOOK}": "final"}
    collect(course, LESSON, download(tmp_path, files))
    assert submitted(course) == {"ann": "final"}


def test_zip_files_of_students_are_unpacked(course, tmp_path):
    inner = download(tmp_path, {f"work/{NOTEBOOK}": "{}"}).read_bytes()
    files = {"Ann Doe_1_assignsubmission_file_/work.zip": inner, "oneilljrbob_5_6_work.zip": inner, "cem.zip": inner}
    collected = collect(course, LESSON, download(tmp_path, files))
    assert submitted(course).keys() == {"ann", "bob"}
    assert reasons(collected) == {NOTEBOOK: "is by work, who is not in the roster"}  # cem's folder is the inner one


@pytest.mark.parametrize("name", ["../../../evil.ipynb", "/evil.ipynb", f"../submitted/ann/{LESSON.name}/{NOTEBOOK}"])
def test_no_archive_writes_outside_of_its_folder(course, tmp_path, name):
    before = {path for path in tmp_path.rglob("*")}
    collect(course, LESSON, download(tmp_path, {name: "{}"}))
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before - {tmp_path / "download.zip"}
    assert all(path.is_relative_to(course.root / "downloaded") for path in new) and not Path("/evil.ipynb").exists()


def test_a_link_is_not_followed(course, tmp_path):
    folder = tmp_path / "download" / "ann"
    folder.mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (folder / NOTEBOOK).symlink_to(tmp_path / "secret")
    collect(course, LESSON, tmp_path / "download")
    assert submitted(course) == {}


def test_archives_that_are_broken_or_too_large_are_set_aside_and_stop_nobody_else(course, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "LARGEST_ARCHIVE", 10**6)
    monkeypatch.setattr(downloads, "MOST_FILES", 50)
    bomb = download(tmp_path, {NOTEBOOK: "0" * 10**7}).read_bytes()
    flood = download(tmp_path, {str(number): "" for number in range(60)}).read_bytes()
    nested = download(tmp_path, {"deeper.zip": bomb}).read_bytes()
    files = {
        "ann/bomb.zip": bomb,
        "ann/flood.zip": flood,
        "ann/broken.zip": b"PK\3\4 nonsense",
        "ann/nested.zip": nested,
        f"bob/{NOTEBOOK}": "{}",
    }
    collected = collect(course, LESSON, download(tmp_path, files))
    assert submitted(course) == {"bob": "{}"}
    assert reasons(collected) == {
        "bomb.zip": "can't be unpacked: it would take more than 1 MB",
        "flood.zip": "can't be unpacked: it holds more than 50 files",
        "broken.zip": "can't be unpacked: File is not a zip file",
        "deeper.zip": "is no notebook",
    }


def test_what_was_collected_before_stays_unless_an_update_is_asked_for(course, tmp_path):
    collect(course, LESSON, download(tmp_path, {f"ann/{NOTEBOOK}": "first", f"bob/{NOTEBOOK}": "same"}))
    second = download(tmp_path, {f"ann/{NOTEBOOK}": "second", f"bob/{NOTEBOOK}": "same", f"cem/{NOTEBOOK}": "new"})
    collected = collect(course, LESSON, second)
    assert submitted(course) == {"ann": "first", "bob": "same", "cem": "new"}
    assert list(reasons(collected).values()) == [
        "is by ann, of whom another one was collected before; --update replaces that"
    ]
    assert collected.students.keys() == {"cem"} and len(collected.unchanged) == 1
    collected = collect(course, LESSON, second, update=True)
    assert submitted(course) == {"ann": "second", "bob": "same", "cem": "new"}
    assert collected.students.keys() == {"ann"} and len(collected.unchanged) == 2


def test_every_download_is_kept(course, tmp_path):
    for text in ("first", "second"):
        collect(course, LESSON, download(tmp_path, {f"ann/{NOTEBOOK}": text}), update=True)
    kept = [ZipFile(path).read(f"ann/{NOTEBOOK}") for path in sorted(course.root.glob("downloaded/*/*/archive/*.zip"))]
    assert kept == [b"first", b"second"]


def test_a_folder_is_as_good_as_a_zip_file(course, tmp_path):
    folder = tmp_path / "unpacked" / "Ann Doe_12_assignsubmission_file_"
    folder.mkdir(parents=True)
    (folder / NOTEBOOK).write_text("{}")
    collect(course, LESSON, tmp_path / "unpacked")
    assert submitted(course) == {"ann": "{}"} and (folder / NOTEBOOK).exists()


def test_a_pattern_for_other_names(course, tmp_path):
    files = {f"hw2-by-ann--{NOTEBOOK}": "{}"}
    collect(course, LESSON, download(tmp_path, files), pattern=r".*hw2-by-(?P<student_id>\w+)--(?P<file_id>.*)")
    assert submitted(course) == {"ann": "{}"}


@pytest.mark.parametrize(
    "pattern, said", [("(", "is no regular expression"), ("(?P<student_id>.*)", r"needs a group \(\?P<file_id>")]
)
def test_a_pattern_that_wont_do(course, tmp_path, pattern, said):
    with pytest.raises(UnmaskedError, match=said):
        collect(course, LESSON, download(tmp_path, {}), pattern=pattern)
    assert not (course.root / "downloaded").exists()


def test_what_is_no_download(course, tmp_path):
    for path in (tmp_path / "missing.zip", course.root / "roster.csv"):
        with pytest.raises(UnmaskedError, match="is neither a zip file nor a folder"):
            collect(course, LESSON, path)


def test_a_lesson_that_is_not_released(course, tmp_path):
    with pytest.raises(UnmaskedError, match="run `unmasked class release 3` first"):
        collect(course, find_lesson("03"), tmp_path)


def test_plain_nbgrader_collects_the_same_way(course, tmp_path):
    archive = course.root / "downloaded" / LESSON.name / "archive"
    archive.mkdir(parents=True)
    shutil.copy(download(tmp_path, {f"doeann_5_6_{NOTEBOOK}": "{}"}), archive)
    command = [Path(sys.executable).parent / "nbgrader", "zip_collect", LESSON.name]
    subprocess.run(command, cwd=course.root, check=True, capture_output=True)
    assert submitted(course) == {"ann": "{}"}


def test_the_newest_is_collected_from_the_exchange(course, tmp_path):
    course.config.Exchange.root = str(tmp_path / "exchange")
    release_to_exchange(course, LESSON)
    for time, text in [("10:00", "first"), ("11:00", "second")]:
        folder = tmp_path / "exchange" / "nlp" / "inbound" / f"ann+{LESSON.name}+2026-11-22 {time}:00 UTC"
        folder.mkdir(parents=True)
        (folder / NOTEBOOK).write_text(text)
        (folder / "timestamp.txt").write_text(f"2026-11-22 {time}:00 UTC")
        collect_from_exchange(course, LESSON)
        assert submitted(course) == {"ann": text}
