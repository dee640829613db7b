"""Grading that is killed, doubled or repeated: every submission is graded once, and what a person did stays."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unmasked.classroom import grading
from unmasked.classroom.run import grade_class, record_path, terms_of
from unmasked.errors import UnmaskedError
from unmasked.lessons import find_lesson

LESSON = find_lesson("02")
PROGRAMS = Path(sys.executable).parent
STUDENTS = [f"st-{n:03d}" for n in range(16)]
WRONG = "def similarity_scores(query, key):\n    return key @ query.mT"
SLOW = "import time\ntime.sleep(1)\n"  # so that there is a middle


@pytest.fixture
def course(released, tmp_path):
    """A class of 16, every second of whom has lost the first point."""
    course = released.new_class(tmp_path / "nlp")
    for number, student in enumerate(STUDENTS):
        answer = WRONG if number % 2 else released.solutions["similarity_scores"]
        released.hand_in(course, student, released.solved(similarity_scores=SLOW + answer))
    return course


def start(course, *options):
    command = [PROGRAMS / "unmasked", "class", "grade", "2", "--course", course.root, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def records(course):
    paths = record_path(course, LESSON, "x").parent.glob("*.json")
    return {path.stem: (path.stat().st_mtime_ns, json.loads(path.read_text(encoding="utf-8"))) for path in paths}


def wait_for(condition, seconds=200):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def assert_graded_once(course):
    """One record, one row and the right points for each."""
    assert sorted(records(course)) == STUDENTS
    with course.gradebook() as gradebook:
        submissions = gradebook.find_assignment(LESSON.name).submissions
        assert sorted(each.student_id for each in submissions) == STUDENTS
        for each in submissions:
            (notebook,) = each.notebooks
            points = {grade.cell.name: grade.auto_score for grade in notebook.grades if grade.cell.cell_type == "code"}
            lost = STUDENTS.index(each.student_id) % 2
            assert len(notebook.grades) == len({grade.cell_id for grade in notebook.grades})
            assert points.pop("check_similarity_scores") == 1 - lost
            assert sum(points.values()) == 9
    notebooks = [course.folder("autograded", student, LESSON.name) / f"{LESSON.name}.ipynb" for student in STUDENTS]
    assert all(json.loads(path.read_bytes())["cells"] for path in notebooks)
    assert not list(course.root.rglob("*.unfinished"))


def test_a_run_that_is_killed_goes_on_where_it_stopped(course):
    first = start(course)
    wait_for(lambda: 0 < len(records(course)) or first.poll() is not None)
    first.send_signal(signal.SIGKILL)
    first.wait()
    saved = records(course)
    assert 0 < len(saved) < len(STUDENTS)
    second = start(course)
    said, _ = second.communicate()
    left = len(STUDENTS) - len(saved)
    assert f"{left} submissions graded, {len(saved)} were graded before, 0 to look at." in said
    assert_graded_once(course)
    assert {student: records(course)[student] for student in saved} == saved
    assert len(list((course.root / "backups").glob("gradebook-*.db"))) == 2


def test_a_second_run_at_the_same_time_says_so(course):
    first = start(course, "--student", STUDENTS[0])
    wait_for((course.root / "backups").exists)
    with pytest.raises(UnmaskedError, match="Another run grades this class"):
        grade_class(course, LESSON, terms_of(course, LESSON))
    assert first.wait() == 0
    assert list(records(course)) == STUDENTS[:1]


def test_marks_and_comments_of_a_person_survive_another_run(course):
    few = STUDENTS[:2]
    grade_class(course, LESSON, terms_of(course, LESSON), few)
    with course.gradebook() as gradebook:
        explain = gradebook.find_grade("explain_why_scale", LESSON.name, LESSON.name, few[0])
        code = gradebook.find_grade("check_similarity_scores", LESSON.name, LESSON.name, few[1])
        explain.manual_score, code.manual_score, code.extra_credit = 0.5, 0.25, 2.0
        explain.needs_manual_grade = False
        gradebook.find_comment("explain_why_scale", LESSON.name, LESSON.name, few[0]).manual_comment = "Well said."
        gradebook.db.commit()
    before = records(course)
    assert grade_class(course, LESSON, terms_of(course, LESSON), few).unchanged == tuple(few)
    assert records(course) == before
    assert grade_class(course, LESSON, terms_of(course, LESSON), few, again=True).graded == tuple(few)
    assert all(records(course)[student][0] > before[student][0] for student in few)
    with course.gradebook() as gradebook:
        explain = gradebook.find_grade("explain_why_scale", LESSON.name, LESSON.name, few[0])
        code = gradebook.find_grade("check_similarity_scores", LESSON.name, LESSON.name, few[1])
        comment = gradebook.find_comment("explain_why_scale", LESSON.name, LESSON.name, few[0])
        assert (explain.manual_score, code.manual_score, code.extra_credit) == (0.5, 0.25, 2.0)
        assert comment.manual_comment == "Well said."
        assert code.needs_manual_grade, "the points are new: a person should look again"


def test_only_who_has_changed_anything_is_graded_again(course, released):
    few = STUDENTS[:3]
    grade_class(course, LESSON, terms_of(course, LESSON), few)
    before = records(course)
    released.hand_in(course, few[1], released.solved())
    outcome = grade_class(course, LESSON, terms_of(course, LESSON), few)
    assert outcome.graded == (few[1],) and outcome.unchanged == (few[0], few[2])
    after = records(course)
    assert {student for student in few if after[student] == before[student]} == {few[0], few[2]}
    assert after[few[1]][1]["exercises"]["similarity_scores"]["points"] == 1


def test_a_worker_that_is_lost_costs_nobody_a_grade(course):
    """Two workers of a Dask cluster, in processes of their own as on two computers; one is killed while it grades."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, dashboard_address=None, silence_logs=50) as cluster:
        command = [PROGRAMS / "dask", "worker", cluster.scheduler_address, "--nthreads", "1", "--no-nanny"]
        workers = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            for _ in range(2)
        ]
        try:
            run = start(course, "--scheduler", cluster.scheduler_address)
            wait_for(lambda: cages_of(workers[0].pid) or run.poll() is not None)
            os.kill(workers[0].pid, signal.SIGKILL)
            said, _ = run.communicate()
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
    assert "16 submissions graded, 0 were graded before, 0 to look at." in said
    assert_graded_once(course)


def cages_of(process):
    """The processes that a process has started."""
    return [child for task in Path(f"/proc/{process}/task").glob("*/children") for child in task.read_text().split()]


def test_a_submission_that_ends_every_worker_is_found_and_the_others_are_graded(monkeypatch):
    """Jobs go out in batches; whoever shares one with it is graded all the same."""
    import dask

    source = "import os\ndef grade_batch(jobs, terms):\n    'bad' in [job.student for job in jobs] and os._exit(1)\n"
    source += "    return [(job.student, {'similarity_scores': {'points': 1.0}}) for job in jobs]\n"
    here = {"__name__": "__main__"}  # by which it travels to the workers as a whole
    exec(source, here)
    monkeypatch.setattr(grading, "grade_batch", here["grade_batch"])
    jobs = [grading.Job(student, {}) for student in ("a", "bad", "b", "c")]
    terms = grading.Terms(LESSON.name, "", 1)
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), grading._dask(1, None) as client:
        results = dict(pair for pairs in grading._on_dask(client, [jobs[:3], jobs[3:]], terms) for pair in pairs)
    assert results.keys() == {"a", "bad", "b", "c"}
    assert {student for student, result in results.items() if result["similarity_scores"]["points"]} == {"a", "b", "c"}
    assert results["bad"]["similarity_scores"]["limit"] == "died"
