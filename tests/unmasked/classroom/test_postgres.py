"""A gradebook in a real PostgreSQL server, which the test starts: Debian's `postgresql` package, or any on the path."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from unmasked.classroom.course import Course
from unmasked.classroom.export import export
from unmasked.classroom.new import new
from unmasked.classroom.release import release
from unmasked.classroom.roster import import_roster
from unmasked.classroom.run import grade_class, terms_of
from unmasked.errors import UnmaskedError
from unmasked.lessons import find_lesson

LESSON = find_lesson("02")
SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))  # where Debian puts them
FOUND = SERVERS[-1] if SERVERS else shutil.which("postgres")

pytestmark = pytest.mark.skipif(FOUND is None, reason="no PostgreSQL server here: apt-get install postgresql")


@pytest.fixture(scope="module")
def server():
    """The URL of an empty database on a server of its own, reached through a socket in a temporary folder."""
    owner = "nobody" if os.geteuid() == 0 else None  # the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="postgres"))
    shutil.chown(folder, owner or os.geteuid())
    run = {"cwd": folder, "user": owner, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = [Path(FOUND).with_name("initdb"), "--no-sync", "--username=teacher", "--auth=trust", folder / "data"]
    subprocess.run(start, check=True, **run)
    options = ["-c", f"unix_socket_directories={folder}", "-c", "listen_addresses=", "-c", "fsync=off"]
    process = subprocess.Popen([FOUND, "-D", folder / "data", *options], **run)
    try:
        url = f"postgresql://teacher@/postgres?host={folder}"
        wait_for(url)
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # "fast shutdown": it waits for nobody
        process.wait(timeout=30)
        shutil.rmtree(folder)


def wait_for(url, seconds=60):
    """Until the server answers."""
    last = time.monotonic() + seconds
    while True:
        try:
            return psycopg.connect(url).close()
        except psycopg.OperationalError:
            if time.monotonic() > last:
                raise
            time.sleep(0.1)


def test_a_class_is_graded_into_postgresql(server, tmp_path):
    course = new(tmp_path / "nlp", db_url=server)
    roster = tmp_path / "roster.csv"
    roster.write_text("id,first_name,last_name,email\nann,Ann,Doe,ann@x.org\n")
    import_roster(course, roster)
    release(course, LESSON)
    found = Course.find(tmp_path / "nlp")
    assert found.db_url == server and not list(tmp_path.rglob("*.db"))
    with found.gradebook() as gradebook:
        assert gradebook.engine.dialect.name == "postgresql"
        assert [student.id for student in gradebook.students] == ["ann"]
    path = found.submitted_notebook("ann", LESSON.name)
    path.parent.mkdir(parents=True)
    path.write_bytes(found.source_notebook(LESSON.name).read_bytes())
    assert grade_class(found, LESSON, terms_of(found, LESSON)).graded == ("ann",)
    with found.gradebook() as gradebook:
        assert gradebook.find_submission(LESSON.name, "ann").score == 10.0
    (backup,) = (found.root / "backups").glob("*.sql")
    assert "COPY public.student" in backup.read_text()
    export(found, "moodle", tmp_path / "marks.csv")
    assert "ann,ann@x.org,Ann,Doe,10.0" in (tmp_path / "marks.csv").read_text()


def test_a_database_that_is_not_there(server, tmp_path):
    with pytest.raises(UnmaskedError, match='The database can\'t be used: .*database "none" does not exist'):
        new(tmp_path / "nlp", db_url=server.replace("/postgres?", "/none?"))
    assert not (tmp_path / "nlp").exists()
