import pytest

from unmasked.errors import UnmaskedError
from unmasked.publishing.read import read

REGION = "### BEGIN SOLUTION\n1\n### END SOLUTION\n"
WHOLE = f'# %% exercise="one"\n{REGION}\n# %% check="one"\nchecks.one(one)\n'


class Points:
    def __init__(self, points):
        self.points = points


@pytest.fixture
def read_text(tmp_path):
    def read_text(text, exercises=()):
        path = tmp_path / "01_tiny.py"
        path.write_text(text)
        return read(path, {name: Points(2) for name in exercises})

    return read_text


def test_points_come_from_the_check(read_text):
    solved, check = read_text(WHOLE, ["one"]).cells
    assert check.metadata.nbgrader.points == 2
    assert "points" not in solved.metadata.nbgrader


def test_the_name_is_the_address(read_text):
    question = f'# %% [markdown] explain="why"\n# Why?\n# {REGION.replace(chr(10), chr(10) + "# ")}'
    cells = read_text(WHOLE + question, ["one"]).cells
    assert [cell.metadata.nbgrader.grade_id for cell in cells] == ["one", "check_one", "explain_why"]
    assert [cell.id for cell in cells] == ["one", "check_one", "explain_why"]


def test_ids_stay_when_a_cell_is_put_before(read_text):
    before = read_text("# %%\n1\n\n# %%\n2\n\n# %%\n2\n").cells
    after = read_text("# %%\n0\n\n# %%\n1\n\n# %%\n2\n\n# %%\n2\n").cells
    assert [cell.id for cell in after[1:]] == [cell.id for cell in before]
    assert len({cell.id for cell in after}) == 4


def test_what_varies_is_not_compared_by_nbval(read_text):
    (cell,) = read_text('# %% tags=["varies"]\n1\n').cells
    assert cell.metadata.tags == ["varies", "nbval-ignore-output"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('# %% exercise="one"\n1\n', "an exercise needs a region"),
        ('# %% exercise="one"\n### BEGIN SOLUTION\n1\n', "needs one ### END SOLUTION after it"),
        ('# %% exercise="one"\n### END SOLUTION\n### BEGIN SOLUTION\n', "needs one ### END SOLUTION after it"),
        (f"# %%\n{REGION}", "only an exercise or explain cell may hold a solution"),
        (f'# %% check="one"\n{REGION}', "only an exercise or explain cell may hold a solution"),
        ('# %% [markdown] explain="why"\n# Why?\n', "a question needs one model answer"),
        (f'# %% [markdown] exercise="one"\n# {REGION}', "exercise belongs on a code cell"),
        (f'# %% explain="why"\n{REGION}', "explain belongs on a markdown cell"),
        (f'# %% exercise="one" check="one"\n{REGION}', "only one of exercise, check"),
        (f'# %% exercsie="one"\n{REGION}', "unknown option 'exercsie'"),
        (f'# %% exercise="two"\n{REGION}', "the lesson's checks have no exercise 'two'"),
        (f'# %% exercise="one"\n{REGION}\n{WHOLE}', 'exercise="one" is used twice'),
        ("# %%\n1\n\n# %%\n", "cell 2 (): the cell has no content"),
        (f'# %% exercise="one"\n{REGION}', 'has no cell check="one"'),
    ],
)
def test_a_source_that_can_not_be_published(read_text, text, complaint):
    with pytest.raises(UnmaskedError, match=r"^01_tiny\.py") as raised:
        read_text(text, ["one"])
    assert complaint in str(raised.value)


def test_a_missing_source(tmp_path):
    with pytest.raises(UnmaskedError, match="01_tiny.py is missing"):
        read(tmp_path / "01_tiny.py", {})


def test_a_source_that_is_no_text(tmp_path):
    path = tmp_path / "01_tiny.py"
    path.write_bytes(b"# %%\n\xff\xfe\n")
    with pytest.raises(UnmaskedError, match=r"^01_tiny\.py can't be read"):
        read(path, {})
