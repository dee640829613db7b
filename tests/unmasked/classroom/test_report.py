"""What the teacher reads of a class, in the page and in the tables, also when students or files do their worst."""

import csv
import json
import re
from contextlib import nullcontext
from html.parser import HTMLParser
from unittest import mock

import pytest
from typer.testing import CliRunner

from unmasked.classroom import page
from unmasked.classroom.commands import app
from unmasked.classroom.report import report
from unmasked.classroom.similarity import compare
from unmasked.errors import UnmaskedError

HOSTILE = "</pre></td><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp; {{ 7*7 }} \ud800 \0"
NO_SCALE, NO_SOFTMAX = "Your scores are not divided by `sqrt(d_k)`.", "There is no softmax."


def outcome(points, diagnosis=None, known=False, limit=None, attempted=True, most=2):
    return {
        "points": points,
        "max_points": most,
        "passed": points == most,
        "attempted": attempted,
        "diagnosis": diagnosis,
        "known_mistake": known,
        "limit": limit,
        "notes": [],
        "html": "<script>alert(2)</script>",
    }


def record(student, weights, average, remarks=(), answers=None):
    return {
        "student": student,
        "lesson": "02_self_attention",
        "digest": "d",
        "seed": 0,
        "graded_at": "2026-11-22T13:00:00",
        "exercises": {"attention_weights": weights, "weighted_average": average},
        "remarks": [dict(zip(("kind", "cell", "text"), remark)) for remark in remarks],
        "answers": answers or {"attention_weights": f"weights of {student}", "weighted_average": "0"},
    }


RIGHT, NOTHING = outcome(1, most=1), outcome(0, attempted=False, most=1)
CLASS = [
    record("ada", outcome(2), RIGHT),
    record("bob", outcome(0.5, NO_SCALE, known=True), RIGHT),
    record("cyd", outcome(0, NO_SCALE, known=True), outcome(0, NO_SOFTMAX, known=True, most=1)),
    record("dan", outcome(0, "The weights do not sum to 1."), NOTHING, [("tampering", "check_x", "It was changed.")]),
    record("eve", outcome(0, "It ran for 5 seconds.", limit="time"), NOTHING, [("missing", None, "It is missing.")]),
]


def make(folder, records=CLASS, pictures=False, **kwargs):
    """The report of some records: its page, and its tables as lists of rows. Drawing pictures takes a second."""
    grading = folder / "grading" / "02_self_attention"
    grading.mkdir(parents=True)
    for number, each in enumerate(records):
        content = each if isinstance(each, bytes) else json.dumps(each).encode()
        (grading / f"{number}.json").write_bytes(content)
    with nullcontext() if pictures else mock.patch.object(page, "_svg", return_value="data:image/svg+xml;base64,"):
        path = report(grading, folder / "out", **kwargs)
    tables = {table.stem: _rows(table) for table in path.parent.glob("*.csv")}
    return path.read_text(encoding="utf-8"), tables


def _rows(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


class Page(HTMLParser):
    """What a browser makes of a page: its tags, its attributes, its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = set(), [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += [(tag, *each) for each in attributes]

    def handle_data(self, text):
        self.text += text

    def all(self, name):
        return [value for _, key, value in self.attributes if key == name]


def test_points_stand_by_student_and_exercise(tmp_path):
    _, tables = make(tmp_path, names={"ada": "Ada Lovelace", "bob": "Bob"})
    assert tables["points"] == [
        ["student", "name", "attention_weights", "weighted_average", "total"],
        ["ada", "Ada Lovelace", "2", "1", "3"],
        ["bob", "Bob", "0.5", "1", "1.5"],
        ["cyd", "", "0", "0", "0"],
        ["dan", "", "0", "0", "0"],
        ["eve", "", "0", "0", "0"],
    ]


def test_the_overview_has_the_numbers(tmp_path):
    page, _ = make(tmp_path, names={name: name for name in ("ada", "bob", "cyd", "dan", "eve", "fay")})
    cards = re.findall(r"<li><b>(.*?)</b><span>(.*?)</span>", page)
    assert cards == [
        ("6", "students in the class"),
        ("5", "graded"),
        ("5", "attempted an exercise"),
        ("0.9", "mean, of 3 points"),
        ("0", "median"),
    ]
    assert "Not handed in, or not graded yet: fay." in page


def test_mistakes_are_counted_by_exercise_the_most_frequent_first(tmp_path):
    page, tables = make(tmp_path)
    assert tables["mistakes"] == [
        ["exercise", "mistake", "count", "students"],
        ["attention_weights", NO_SCALE, "2", "bob cyd"],
        ["weighted_average", NO_SOFTMAX, "1", "cyd"],
    ]
    assert "Your scores are not divided by <code>sqrt(d_k)</code>." in page


def test_a_mistake_that_cost_nothing_is_not_counted(tmp_path):
    _, tables = make(tmp_path, [record("ada", outcome(2, NO_SCALE, known=True), RIGHT)])
    assert len(tables["mistakes"]) == 1


def test_failures_without_a_name_are_shown_with_their_code(tmp_path):
    page, tables = make(tmp_path)
    assert tables["unexplained"][1:] == [
        ["dan", "attention_weights", "0", "The weights do not sum to 1.", "weights of dan"]
    ]
    assert "<pre>weights of dan</pre>" in page and "weights of eve" not in page


def test_remarks_and_limits_are_listed(tmp_path):
    page, tables = make(tmp_path)
    assert tables["remarks"][1:] == [
        ["dan", "tampering", "check_x", "It was changed."],
        ["eve", "missing", "", "It is missing."],
    ]
    assert tables["limits"][1:] == [["eve", "attention_weights", "It ran out of time."]]
    assert "Locked cells or metadata changed" in page


def test_the_picture_of_an_exercise_can_be_read_aloud(tmp_path):
    page, _ = make(tmp_path, pictures=True)
    said = Page(page).all("alt")
    assert "attention_weights: 1 all points, 1 some points, 3 no points; weighted_average: 2 all points" in said[1]
    assert said[0] == "Histogram of the points of 5 students, from 0 to 3 of 3."


def test_the_page_needs_nothing_but_itself(tmp_path):
    page = Page(make(tmp_path, pictures=True)[0])
    assert "script" not in page.tags and "link" not in page.tags
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.all("src") + page.all("srcset"))
    assert len(page.all("src")) == len(page.all("srcset")) == 2
    sections = [address.removeprefix("#") for address in page.all("href")]
    assert sections and set(sections) <= set(page.all("id"))


def test_two_reports_are_the_same(tmp_path):
    assert make(tmp_path / "a", pictures=True) == make(tmp_path / "b", pictures=True)


def test_whatever_a_student_wrote_is_text(tmp_path):
    rogue = record(
        HOSTILE,
        outcome(0, HOSTILE),
        outcome(0, HOSTILE, known=True, most=1),
        remarks=[(HOSTILE, HOSTILE, HOSTILE), ("tampering", HOSTILE, HOSTILE)],
        answers={"attention_weights": HOSTILE, HOSTILE: HOSTILE},
    )
    rogue["exercises"][HOSTILE] = outcome(0, HOSTILE, limit=HOSTILE)
    page = Page(make(tmp_path, [*CLASS, rogue], names={HOSTILE: HOSTILE + "!"})[0])
    plain = Page(make(tmp_path / "plain")[0])
    assert page.tags <= plain.tags | {"code"}
    assert {(tag, key) for tag, key, _ in page.attributes} == {(tag, key) for tag, key, _ in plain.attributes}
    assert page.text.count(re.sub("[\ud800\0]", "\ufffd", HOSTILE)) > 10


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r=", " =", "\n@"])
def test_a_spreadsheet_runs_nothing_that_a_student_wrote(start, tmp_path):
    formula = start + "cmd|' /C calc'!A0"
    rogue = record("ada", outcome(0, formula), RIGHT, [("file", None, formula)], {"attention_weights": formula})
    _, tables = make(tmp_path, [rogue], names={"ada": formula})
    cells = [cell for rows in tables.values() for row in rows for cell in row if "calc" in cell]
    assert len(cells) == 4
    assert all(cell.startswith("'") for cell in cells)


BROKEN = {
    "empty": b"",
    "cut off": json.dumps(CLASS[0]).encode()[:100],
    "no UTF-8": b"\xff\xfe\xff",
    "a list": b"[]",
    "nothing in it": b"{}",
    "points that are text": json.dumps(record("eve", outcome("many"), RIGHT)).encode(),
    "points that are no number": json.dumps(record("eve", outcome(float("nan")), RIGHT)).encode(),
    "exercises that are a list": json.dumps(CLASS[0] | {"exercises": []}).encode(),
    "remarks that are text": json.dumps(CLASS[0] | {"remarks": "none"}).encode(),
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_record_is_a_sentence_and_the_others_are_reported(content, tmp_path):
    page, tables = make(tmp_path, [*CLASS[:2], content])
    assert "2.json is broken: grade this submission again." in page
    assert [row[0] for row in tables["points"]] == ["student", "ada", "bob"]


def test_a_folder_in_the_place_of_a_record_is_a_sentence(tmp_path):
    (tmp_path / "grading" / "02_self_attention" / "eve.json").mkdir(parents=True)
    with pytest.raises(UnmaskedError, match="eve.json can't be opened"):
        report(tmp_path / "grading" / "02_self_attention", tmp_path / "out")


def test_nothing_graded_is_an_error_and_writes_nothing(tmp_path):
    with pytest.raises(UnmaskedError, match="Nothing of 02_self_attention is graded yet"):
        report(tmp_path / "02_self_attention", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_exercise_that_only_some_records_have_is_reported(tmp_path):
    older = record("zoe", outcome(1), RIGHT)
    del older["exercises"]["weighted_average"]
    _, tables = make(tmp_path, [*CLASS, older])
    assert tables["points"][-1] == ["zoe", "", "1", "", "1"]


def test_the_command_takes_names_from_the_roster_and_stubs_from_the_lesson(course, monkeypatch):
    folder = course.root / "grading" / "02_self_attention"
    folder.mkdir(parents=True)
    (folder / "ann.json").write_text(json.dumps(record("ann", outcome(2), RIGHT)))
    monkeypatch.chdir(course.root)
    result = CliRunner().invoke(app, ["report", "2"])
    assert result.exit_code == 0
    path = course.root / "report" / "02_self_attention" / "report.html"
    assert str(path) in result.output.replace("\n", "")
    text = path.read_text(encoding="utf-8")
    assert "Ann Doe (ann)" in text and "not graded yet: bob, cem, dup1, dup2." in text


# Alike.

STUBS = {"a": "def a(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"}
BODY = "\n".join(f"    step_{i} = first + {i} * second[{i}]" for i in range(12))


def wrote(body):
    return {"a": STUBS["a"].partition("    #")[0] + body}


def test_a_copy_is_found_whatever_its_layout():
    copy = "# mine\n" + BODY.replace(" + ", "+").replace("    ", "\t")
    other = "\n".join(f"    y[{i}] = torch.stack([x, x.T]).sum({i})" for i in range(12))
    found = compare({"ada": wrote(BODY), "bob": wrote(other), "cyd": wrote(copy)}, STUBS)
    (pair,) = found.pairs
    assert (pair.first, pair.second) == ("ada", "cyd") and pair.share > 0.98
    assert found.usual < 0.5 and found.compared == 3


def test_what_the_lesson_gives_makes_nobody_alike():
    given = {"a": STUBS["a"] + BODY}
    half = {"a": given["a"] + "\n".join(f"    p{i} = {i} @ q{i} % r{i}" for i in range(12))}
    other = {"a": given["a"] + "\n".join(f"    x.append((m, {i}, k))" for i in range(12))}
    assert compare({"ada": given, "bob": given}, given).compared == 0
    assert compare({"ada": half, "bob": other}, given).pairs == ()
    assert compare({"ada": half, "bob": other}, STUBS).usual > compare({"ada": half, "bob": other}, given).usual + 0.3


def test_short_answers_are_not_compared():
    assert compare({"ada": wrote("    return x @ x.T"), "bob": wrote("    return x @ x.T")}, STUBS).compared == 0


def test_nobody_and_one_student_alone_are_no_pair():
    assert compare({}, STUBS).pairs == compare({"ada": wrote(BODY)}, STUBS).pairs == ()


def test_a_pair_is_shown_with_its_share(tmp_path):
    pair = [record(name, outcome(2), RIGHT, answers=wrote(BODY)) for name in ("ada", "bob")]
    page, tables = make(tmp_path, pair, stubs=STUBS)
    assert tables["alike"][1:] == [["ada", "bob", "1"]]
    assert "100%" in page and "proves nothing" in page
