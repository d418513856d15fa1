"""What is promised exists, and nothing heavy is imported to promise it."""

import subprocess
import sys

import pytest

import limbeck


def test_all_is_sorted_and_complete():
    assert sorted(limbeck.__all__) == limbeck.__all__
    assert set(limbeck.__all__) <= set(dir(limbeck))


@pytest.mark.parametrize("name", limbeck.__all__)
def test_every_public_name_imports(name):
    assert getattr(limbeck, name) is not None


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        limbeck.distil  # noqa: B018


@pytest.mark.parametrize("line", ["import limbeck", "import limbeck.cli.main", "import limbeck.report.html"])
def test_imports_stay_light(line):
    code = f"{line}; import sys; print([m for m in ('torch', 'sklearn', 'pandas', 'onnx') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
