"""What a run folder may lose: what limbeck wrote there, never the files of others, never anything outside it."""

import json

import pytest

from limbeck.core.errors import ConfigError, StoreDamaged
from limbeck.core.run import Run

OWN = ("error.log", "scorecard.json", "report.html", "report.md", "student/seed-0/config.json", "export/student.onnx")


def left(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def run_one_stage(folder):
    with Run.open(folder, {"name": "x"}, asked="name: x\n") as run, run.stage("odd", {}, outputs=("odd",)):
        write(folder, "odd/a.bin")


def damage(folder, change):
    state = json.loads((folder / "run.json").read_text())
    change(state)
    (folder / "run.json").write_text(json.dumps(state))


def test_overwrite_removes_what_limbeck_wrote_and_keeps_the_files_of_the_user(tmp_path):
    run_one_stage(tmp_path)
    write(tmp_path, *OWN, "notes.txt", "figures/curve.png")
    with Run.open(tmp_path, {"name": "y"}, overwrite=True):
        assert left(tmp_path) == ["figures/curve.png", "notes.txt", "resolved.yaml", "run.json"]


def test_a_failed_run_that_gives_way_keeps_the_files_of_the_user(tmp_path):
    with pytest.raises(ConfigError), Run.open(tmp_path, {"name": "x"}):
        raise ConfigError("wrong", "put it right")
    write(tmp_path, "error.log", "notes.txt", "teacher/half.bin")
    with Run.open(tmp_path, {"name": "y"}):
        assert left(tmp_path) == ["notes.txt", "resolved.yaml", "run.json"]


OUTSIDE = ["../victim", "a/../../victim", "/tmp/victim", "..", ".", "", 3]


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_output_outside_the_folder_is_refused_and_nothing_there_is_removed(tmp_path, name):
    folder = tmp_path / "run"
    run_one_stage(folder)
    write(tmp_path, "victim/thesis.tex")
    damage(folder, lambda state: state["stages"]["odd"].update(outputs=[name]))
    with pytest.raises(StoreDamaged, match=r"expected .*run\.json to name files inside its folder, it names "):
        Run.open(folder, {"name": "x"})
    with pytest.raises(StoreDamaged, match=r"\n\nit was changed by hand .*: start over with --overwrite"):
        Run.read(folder)
    Run.open(folder, {"name": "x"}, overwrite=True).close()
    assert (tmp_path / "victim" / "thesis.tex").exists()


@pytest.mark.parametrize("of_stage", [True, False])
def test_a_file_outside_the_folder_is_refused(tmp_path, of_stage):
    run_one_stage(tmp_path)
    damage(tmp_path, lambda s: (s["stages"]["odd"] if of_stage else s)["files"].update({"odd/../../a": {}}))
    with pytest.raises(StoreDamaged, match=r"it names 'odd/\.\./\.\./a'"):
        Run.read(tmp_path)


@pytest.mark.parametrize("stages", [[], {"odd": 3}, {"odd": {"outputs": [], "files": []}}])
def test_stages_that_are_none_are_refused(tmp_path, stages):
    run_one_stage(tmp_path)
    damage(tmp_path, lambda state: state.update(stages=stages))
    with pytest.raises(StoreDamaged, match=r"expected .*run\.json to list stages and files, it does not"):
        Run.read(tmp_path)
