"""The roster: what a CSV file may look like, and that a wrong one adds nobody."""

import pytest

from unmasked.classroom.new import new
from unmasked.classroom.roster import import_roster, read_roster
from unmasked.errors import UnmaskedError

HEADER = "id,first_name,last_name,email\n"


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return new(tmp_path_factory.mktemp("classes") / "nlp")


def students(course):
    with course.gradebook() as gradebook:
        return {each.id: (each.first_name, each.last_name, each.email) for each in gradebook.students}


def write(folder, text, encoding="utf-8"):
    path = folder / "roster.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_students_are_added_and_later_updated_and_nobody_is_removed(course, tmp_path):
    import_roster(course, write(tmp_path, HEADER + "ann,Ann,Doe,ann@x.org\nbob,Bob,Roe,\n"))
    assert import_roster(course, write(tmp_path, HEADER + "bob,Robert,Roe,bob@x.org\n")) == ["bob"]
    assert students(course) == {"ann": ("Ann", "Doe", "ann@x.org"), "bob": ("Robert", "Roe", "bob@x.org")}


@pytest.mark.parametrize(
    "text, encoding",
    [
        (HEADER + "zoé,Zoé,Ångström,\n", "utf-8-sig"),
        ("Email;Last Name;First name;ID\n;Ångström;Zoé;zoé\n", "utf-8"),
        ('id\tfirst_name\tlast_name\temail\r\n\r\nzoé\tZoé\t"Ångström"\t\r\n', "utf-8"),
        ("group,id,first_name,last_name,email\nB, zoé ,Zoé,Ångström,\n,,,,\n", "utf-8"),
    ],
    ids=["byte order mark", "semicolons, other order and spelling", "tabs, blank lines", "further columns, spaces"],
)
def test_a_file_as_spreadsheets_write_it(tmp_path, text, encoding):
    expected = {"id": "zoé", "first_name": "Zoé", "last_name": "Ångström", "email": None}
    assert read_roster(write(tmp_path, text, encoding)) == [expected]


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "has no column id"),
        ("ann,Ann,Doe,ann@x.org\n", "has no column id: its first line must name id, first_name, last_name, email"),
        ("id,first_name,last_name\nann,Ann,Doe\n", "has no column email"),
        (HEADER, "names no students"),
        (HEADER + "ann,Ann,Doe,\nbob,Bob,Roe,\nann,Anna,Poe,\n", "line 4: the id ann stands on line 2 too"),
        (HEADER + "ann,Ann,Doe\n", "line 2: it has 3 values, the first line 4"),
        (HEADER + "ann,Ann,Doe,,\n", "line 2: it has 5 values, the first line 4"),
        (HEADER + ",Ann,Doe,\n", "line 2: it has no id"),
        (HEADER + "../ann,Ann,Doe,\n", "line 2: the id ../ann may only hold"),
        (HEADER + "a*,Ann,Doe,\n", "line 2: the id a\\* may only hold"),
        (HEADER + f"ann,{'A' * 129},Doe,\n", "line 2: first_name is longer than 128 characters"),
        (HEADER + 'ann,"Ann,Doe,\n', "line 2: unexpected end of data"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_nobody_is_added(course, tmp_path, text, said):
    before = students(course)
    with pytest.raises(UnmaskedError, match=said):
        import_roster(course, write(tmp_path, text))
    assert students(course) == before


def test_a_file_in_another_encoding(tmp_path):
    with pytest.raises(UnmaskedError, match="is not in UTF-8: save it as `CSV UTF-8`"):
        read_roster(write(tmp_path, HEADER + "zoe,Zoé,Ångström,\n", "latin-1"))
