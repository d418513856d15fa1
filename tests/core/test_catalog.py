"""The registry: names, import paths, installed packages, and what is said when one is not there."""

import sys
from importlib.metadata import EntryPoint

import pytest

from limbeck.core.catalog import Catalog, load_path, require
from limbeck.core.errors import ConfigError, NotInstalled

shapes = Catalog("shape", {"sqrt": "math:sqrt", "floor": "math:floor"}, {"sqrt": "the square root"})


def test_names_load_on_demand():
    assert shapes.load("sqrt")(9) == 3
    assert shapes.names() == ["floor", "sqrt"] == list(shapes)
    assert "sqrt" in shapes
    assert "cube" not in shapes
    assert shapes.entries()["sqrt"].summary == "the square root"


def test_loading_one_name_imports_only_its_module():
    sys.modules.pop("colorsys", None)
    catalog = Catalog("shape", {"a": "math:sqrt", "b": "colorsys:rgb_to_hsv"})
    assert catalog.names() == ["a", "b"]
    catalog.load("a")
    assert "colorsys" not in sys.modules
    catalog.load("b")
    assert "colorsys" in sys.modules


def test_import_paths_need_no_registration():
    assert shapes.load("os.path:join") is load_path("os.path:join")


def test_unknown_names_get_a_suggestion():
    with pytest.raises(ConfigError) as caught:
        shapes.load("sqr")
    assert str(caught.value) == (
        "expected the name of a shape, got 'sqr'\n\ndid you mean 'sqrt'?\n"
        "known: floor, sqrt; or give an import path such as my_package.module:name"
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("math", "expected an import path such as my_package.module:name, got 'math'"),
        ("math:", "expected an import path"),
        ("math:sqr", r"expected 'sqr' in math for 'math:sqr', it is not there\n\ndid you mean 'sqrt'\?"),
        ("no_such_module.x:make", "there is no module 'no_such_module'"),
    ],
)
def test_bad_paths_say_why(path, message):
    with pytest.raises(ConfigError, match=message):
        load_path(path)


def test_a_module_whose_own_import_fails_names_the_package(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NotInstalled, match="pip install not_there_at_all") as caught:
        load_path("needs_more:x")
    assert caught.value.exit_code == 6


def test_packages_add_names_and_built_in_names_win(monkeypatch):
    points = [
        EntryPoint("cube", "math:cbrt", "limbeck.shapes"),
        EntryPoint("sqrt", "math:tan", "limbeck.shapes"),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points if group == "limbeck.shapes" else [])
    assert shapes.names() == ["cube", "floor", "sqrt"]
    assert shapes.load("cube")(27) == pytest.approx(3)
    assert shapes.load("sqrt")(9) == 3
    assert shapes.entries()["cube"].package == "?"


def test_optional_packages_are_asked_for_by_name():
    assert require("math", "counting").sqrt(4) == 2
    with pytest.raises(NotInstalled) as caught:
        require("not_there", "reading x", "not-there")
    assert (
        str(caught.value) == "reading x needs the package 'not-there', which is not installed\n\npip install not-there"
    )
