"""What learning platforms let a teacher download, read: two plugins of `nbgrader zip_collect`.

Moodle names a file `Jane Doe_1234_assignsubmission_file_/NOTEBOOK` (or without the slash), Canvas
`doejane_LATE_77_88_NOTEBOOK`, where 77 is Canvas's number of the student; LATE is there if it was. Neither holds the id
that the roster knows, so the name must do. Sources: Moodle's mod/assign/classes/downloader.php, Canvas's
lib/content_zipper.rb.
"""

import re
import shutil
import unicodedata
import zlib
from collections import defaultdict
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from nbgrader.api import Gradebook
from nbgrader.plugins import ExtractorPlugin, FileNameCollectorPlugin

# Each is tried on a path below the folder of extracted files. The last is for a folder that a teacher has made.
PATTERNS = (
    r"(?:.*/)?(?P<student_id>[^/_]+)_\d+_assignsubmission_file(?:_(?!/)|_?/(?:.*/)?)(?P<file_id>[^/]+)",
    r"(?:.*/)?(?P<student_id>[^/]+?)(?:_LATE)?_(?P<lms_user_id>\d+)_\d+_(?:.*/)?(?P<file_id>[^/]+)",
    r"(?:.*/)?(?P<student_id>[^/]+)/(?P<file_id>[^/]+)",
)
LARGEST_DOWNLOAD = 8 * 10**9  # bytes, unpacked
LARGEST_ARCHIVE = 200 * 10**6  # bytes, unpacked, of an archive that a student handed in
MOST_FILES = 20_000  # in one archive
UNPACKING_FAILED = (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


class BoundedExtractor(ExtractorPlugin):
    """Unpacks zip files, and zip files in them, none above a limit.

    nbgrader's own unpacks archives in archives without end or limit, and stops at the first broken one. Here `aside`
    says, after a run, which stay as they are, and why: path -> reason.
    """

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.aside = {}

    def extract(self, archive_path, extracted_path):
        """Copy the folder of what was downloaded, unpacked."""
        shutil.copytree(archive_path, extracted_path, symlinks=True, dirs_exist_ok=True)
        for limit in (LARGEST_DOWNLOAD, LARGEST_ARCHIVE):
            for path in sorted(Path(extracted_path).rglob("*.zip")):
                if path.is_file() and path not in self.aside:
                    self._unpack(path, limit)

    def _unpack(self, path, limit):
        """Replace a zip file by a folder, named like it."""
        folder = path.with_suffix("")
        try:
            if folder.exists():
                raise ValueError("a file or folder of that name is there already")
            with ZipFile(path) as archive:
                if len(archive.infolist()) > MOST_FILES:
                    raise ValueError(f"it holds more than {MOST_FILES:,} files")
                if sum(each.file_size for each in archive.infolist()) > limit:  # extracting never exceeds file_size
                    raise ValueError(f"it would take more than {limit // 10**6:,} MB")
                archive.extractall(folder)  # leaves out drives, leading slashes and `..`
        except UNPACKING_FAILED as error:
            self.aside[path] = f"can't be unpacked: {error}"
            self.log.warning("%s %s", path, self.aside[path])
        else:
            path.unlink()


class RosterCollector(FileNameCollectorPlugin):
    """Finds out whose each file is, and mends the name of a notebook that a browser or a platform has changed.

    With `named_regexp`, that replaces PATTERNS. What became of the files, after a run: `collected` (path -> what
    nbgrader is told), `mended` and `aside` (path -> reason), and `unchanged`, those that were collected before.
    """

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.collected, self.mended, self.aside, self.unchanged = {}, {}, {}, {}
        self._students = None

    def collect(self, submitted_file):
        """Whose the file is, and its name in the course, as nbgrader wants to know; None if it is not collected."""
        if self._students is None:
            self._look_at_all_files()
        return self.collected.get(Path(submitted_file))

    def _look_at_all_files(self):
        zip_collect, coursedir = self.parent, self.parent.coursedir
        self._root = Path(zip_collect._format_collect_path(zip_collect.extracted_directory))
        self._lesson, self._students = coursedir.assignment_id, set()
        with Gradebook(coursedir.db_url, coursedir.course_id) as gradebook:
            self._roster = Roster(gradebook.students)
        # Rightly named files first: of two notebooks by one student, that is the one.
        for path in sorted(_files(self._root), key=lambda path: (not path.match(f"*{self._lesson}.ipynb"), path)):
            try:
                self._look_at(path)
            except ValueError as reason:
                self.aside[path] = str(reason)
                self.log.warning("%s %s", path, reason)

    def _look_at(self, path):
        """Find out whose a file is. Raises ValueError, with the reason, if it can't be collected."""
        if path.suffix != ".ipynb":
            raise ValueError("is no notebook")
        named = self._match_name(path)
        student = self._roster.find(named["student_id"], named.get("lms_user_id"))
        stem = Path(named["file_id"]).stem
        if self._lesson not in re.sub(r"[\W_]+", "_", stem).casefold():
            raise ValueError(f"is by {student}, but not called {self._lesson}.ipynb")
        if student in self._students:
            raise ValueError(f"is a second notebook by {student}")
        self._students.add(student)
        if self._is_collected(path, student):
            self.unchanged[path] = f"was collected from {student} before"
            return
        if stem != self._lesson:
            self.mended[path] = f"is {student}'s {self._lesson}.ipynb"
        self.collected[path] = {"student_id": student, "file_id": f"{self._lesson}.ipynb"}

    def _match_name(self, path):
        relative = path.relative_to(self._root).as_posix()
        matches = (re.fullmatch(pattern, relative) for pattern in PATTERNS)
        match = re.match(self.named_regexp, str(path)) if self.named_regexp else next(filter(None, matches), None)
        if not match:
            raise ValueError("has a name that doesn't tell whose it is")
        return match.groupdict()

    def _is_collected(self, path, student):
        """Whether this very file was collected before. Raises ValueError if it was another, which is to stay."""
        coursedir = self.parent.coursedir
        folder = Path(coursedir.format_path(coursedir.submitted_directory, student, self._lesson))
        collected = folder / f"{self._lesson}.ipynb"
        if collected.is_file() and collected.read_bytes() == path.read_bytes():
            return True
        if folder.is_dir() and any(folder.iterdir()) and not self.parent.force:
            raise ValueError(f"is by {student}, of whom another one was collected before; --update replaces that")
        return False


class Roster:
    """Students by id, by number and by name, in whatever order and spelling a file's name has it."""

    def __init__(self, students):
        self._ids = {student.id for student in students}
        self._by_number = {student.lms_user_id: student.id for student in students if student.lms_user_id}
        self._by_name = defaultdict(set)
        for student in students:
            first, last = student.first_name or "", student.last_name or ""
            for name in (student.id, first + last, last + first):
                self._by_name[_letters(name)].add(student.id)

    def find(self, name, number=None):
        """The id of the student. Raises ValueError if there is none, or more than one."""
        if number in self._by_number:
            return self._by_number[number]
        if name in self._ids:
            return name
        found = self._by_name.get(_letters(name), ())
        if len(found) != 1:
            raise ValueError(f"is by {name}, {'of whom there are several' if found else 'who is not'} in the roster")
        return next(iter(found))


def _letters(name):
    """A name as far as it survives in a file's name: without case, spaces and signs."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", name).casefold()))


def _files(root):
    """The files below a folder, without links and what computers leave behind unasked."""
    for path in root.rglob("*"):
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(root).parts)
        if path.is_file() and not path.is_symlink() and not hidden:
            yield path
