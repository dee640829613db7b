"""Collect what students handed in: from a learning platform's download, or from nbgrader's exchange."""

import re
import shutil
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from nbgrader.apps import ZipCollectApp
from nbgrader.utils import capture_log, temp_attrs

from unmasked.classroom.course import require_success
from unmasked.errors import UnmaskedError


@dataclass(frozen=True)
class Collected:
    """What became of a download: students -> their files that were collected; other files -> what is to be said."""

    students: dict[str, Path]
    mended: dict[Path, str]
    aside: dict[Path, str]
    unchanged: dict[Path, str]


def collect(course, lesson, download, pattern=None, update=False):
    """Collect the notebooks of a lesson from a zip file or a folder, by `nbgrader zip_collect`.

    The download is kept in downloaded/LESSON/NUMBER/archive, and nothing in it is lost: what is not collected lies
    in `extracted` beside it. What was collected before is replaced with `update` only.
    `pattern` is a regular expression with groups `student_id` and `file_id`, for names that are no platform's.
    Errors: UnmaskedError if the lesson is not released, or there is nothing to collect from.
    """
    course.require_released(lesson)
    _require_pattern(pattern)
    place = _keep(course, lesson, Path(download))
    config = deepcopy(course.config)
    config.ZipCollectApp.update(
        archive_directory=f"{place.name}/archive", extracted_directory=f"{place.name}/extracted"
    )
    config.ZipCollectApp.force = update
    config.FileNameCollectorPlugin.named_regexp = pattern or ""
    with temp_attrs(course.directory, assignment_id=lesson.name):
        application = ZipCollectApp(config=config, coursedir=course.directory, log_level="CRITICAL")
        require_success(capture_log(application), f"collect {lesson.name}")
    extractor, collector = application.extractor_plugin_inst, application.collector_plugin_inst
    students = {each["student_id"]: path for path, each in collector.collected.items()}
    return Collected(students, collector.mended, collector.aside | extractor.aside, collector.unchanged)


def collect_from_exchange(course, lesson):
    """Collect, from nbgrader's exchange, what is there and newer than what was collected.  Errors: UnmaskedError."""
    course.require_released(lesson)
    require_success(course.api().collect(lesson.name), f"collect {lesson.name} from the exchange")


def _require_pattern(pattern):
    try:
        groups = re.compile(pattern or "(?P<student_id>)(?P<file_id>)").groupindex
    except re.error as error:
        raise UnmaskedError(f"The pattern is no regular expression: {error}.") from None
    if missing := {"student_id", "file_id"} - groups.keys():
        raise UnmaskedError(f"The pattern needs a group (?P<{sorted(missing)[0]}>...).")


def _keep(course, lesson, download):
    """Copy a download into a folder of its own, numbered, and return that folder."""
    lessons = course.root / "downloaded" / lesson.name
    numbers = [int(path.name) for path in lessons.glob("*") if path.name.isdecimal()]
    place = lessons / str(max(numbers, default=0) + 1)
    if download.is_dir():
        shutil.copytree(download, place / "archive", symlinks=True)
    elif download.suffix.lower() == ".zip" and download.is_file():
        (place / "archive").mkdir(parents=True)
        shutil.copy(download, place / "archive" / f"{download.stem}.zip")
    else:
        raise UnmaskedError(f"{download} is neither a zip file nor a folder.")
    return place
