"""Functions are found beside the job file first; folders do not mix, edits take effect."""

from __future__ import annotations

import sys

import pytest

from actors.generators.functions import FunctionTable
from messages.job import Problem


@pytest.fixture(autouse=True)
def _imports_are_left_as_they_were():
    before = (
        list(sys.path),
        list(sys.meta_path),
        {n for n in sys.modules if not n.startswith("_leasehold_job_")},
    )
    yield
    after = (
        list(sys.path),
        list(sys.meta_path),
        {n for n in sys.modules if not n.startswith("_leasehold_job_")},
    )
    assert after[:2] == before[:2]
    assert not {name for name in after[2] - before[2] if name.startswith("jm_")}


def write(folder, **modules):
    """Write each module into the folder; `pack.inner` is a module of the package `pack`."""
    for name, source in modules.items():
        path = folder.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return str(folder)


def found_in(base_dir, reference):
    found = FunctionTable(base_dir).find(reference, "columns.x.function")
    assert not isinstance(found, Problem), found
    return found


def problem_in(base_dir, reference):
    found = FunctionTable(base_dir).find(reference, "columns.x.function")
    assert isinstance(found, Problem)
    assert found.path == "columns.x.function"
    return str(found)


def test_a_module_beside_the_job_file_is_found(tmp_path):
    base = write(tmp_path, jm_own="def f():\n    return __name__.endswith('.jm_own')\n")
    assert found_in(base, "jm_own:f")() is True


def test_an_importable_function_is_found(tmp_path):
    assert found_in(str(tmp_path), "math:sqrt")(9) == 3
    assert found_in("", "os.path:join")("a", "b") == "a/b"


def test_equal_names_in_two_folders_are_two_modules(tmp_path):
    bases = [write(tmp_path / name, jm_own=f"def f():\n    return {name!r}\n") for name in ("one", "two")]
    first, second = (found_in(base, "jm_own:f") for base in bases)
    assert (first(), second()) == ("one", "two")


def test_an_edit_takes_effect_at_the_next_preparation(tmp_path):
    for value in (1, 2, 3):
        base = write(
            tmp_path, jm_own="from jm_help import g\nf = lambda: g()\n", jm_help=f"g = lambda: {value}\n"
        )
        assert found_in(base, "jm_own:f")() == value


def test_columns_of_one_preparation_share_a_module(tmp_path):
    table = FunctionTable(write(tmp_path, jm_own="seen = []\ndef f(): return seen\ndef g(): return seen\n"))
    assert table.find("jm_own:f", "")() is table.find("jm_own:g", "")()


def test_a_module_may_import_its_siblings_even_in_a_circle(tmp_path):
    modules = {
        "jm_own": (
            "import jm_help\nimport jm_pack.inner as inner\nX = 4\ndef f(): return jm_help.g() + inner.Y\n"
        ),
        "jm_help": "import jm_own\ndef g(): return jm_own.X\n",
        "jm_pack.__init__": "",
        "jm_pack.inner": "from . import other\nY = other.Z\n",
        "jm_pack.other": "Z = 10\n",
        "jm_plain_folder.inner": "def f(): return 3\n",
    }
    base = write(tmp_path, **modules)
    assert found_in(base, "jm_own:f")() == 14
    assert found_in(base, "jm_pack.inner:other.Z.__add__")(1) == 11
    assert found_in(base, "jm_plain_folder.inner:f")() == 3


def test_a_sibling_is_not_mixed_up_with_a_loaded_module_from_elsewhere(tmp_path, monkeypatch):
    elsewhere = type(sys)("jm_help")
    monkeypatch.setitem(sys.modules, "jm_help", elsewhere)
    base = write(
        tmp_path, jm_own="import jm_help\ndef f(): return jm_help.g()\n", jm_help="def g(): return 5\n"
    )
    assert found_in(base, "jm_own:f")() == 5
    assert sys.modules["jm_help"] is elsewhere


def test_dataclasses_and_annotations_find_their_module(tmp_path):
    base = write(
        tmp_path,
        jm_own=(
            "from __future__ import annotations\nimport dataclasses, typing\n"
            "@dataclasses.dataclass\nclass P:\n    x: Inner\n"
            "class Inner: pass\n"
            "def f(): return typing.get_type_hints(P)['x'] is Inner\n"
        ),
    )
    assert found_in(base, "jm_own:f")() is True


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(:\n", "SyntaxError"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("import jm_nothing_of_the_kind\n", "No module named 'jm_nothing_of_the_kind'"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("class Odd(BaseException): pass\nraise Odd('odd')\n", "Odd: odd"),
    ],
)
def test_a_module_that_cannot_be_imported_is_a_problem_naming_type_and_message(tmp_path, source, said):
    base = write(tmp_path, jm_own=source)
    for _ in range(2):
        problem = problem_in(base, "jm_own:f")
        assert "importing 'jm_own' raised " in problem
        assert said in problem


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("jm_won:shout", "possible: jm_own"),
        ("jm_own:shot", "did you mean 'shout'? possible: shout"),
        ("jm_own:VALUE", "is a int"),
        ("jm_own", "expected 'module:function'"),
        ("jm_own:", "expected 'module:function'"),
        ("../jm_own:shout", "expected 'module:function'"),
        ("local:987654:f", "another process"),
        (5, "is a int"),
    ],
)
def test_a_reference_to_nothing_callable_is_a_problem(tmp_path, reference, said):
    base = write(tmp_path, jm_own="from math import sqrt\nVALUE = 3\ndef shout(): pass\n")
    assert said in problem_in(base, reference)
