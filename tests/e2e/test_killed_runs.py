"""Whatever moment a run is killed at, running it again gives the same weights, answers and verdict, bit for bit."""

import pytest
import torch
from e2e_killing import lineage, signalled, trace
from e2e_small_run import content, small_run

import limbeck as lb
from limbeck.core.run import Run

POINTS = 20  # kills inside a stage, spread over all of it
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """What the run comes to without a kill; it runs in this process, so that its children find everything imported."""
    folder, threads = tmp_path_factory.mktemp("reference") / "run", torch.get_num_threads()
    torch.set_num_threads(1)
    small_run(folder)
    yield content(folder)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def points(reference, tmp_path_factory):
    """The names of all points of the run, in their order."""
    return trace(small_run, tmp_path_factory.mktemp("trace") / "run")


def spread(names, count):
    """So many of the names, evenly."""
    assert len(names) >= count
    return [names[len(names) * place // count] for place in range(count)]


def is_whole(folder, reference):
    found = content(folder)
    assert [name for name in {**found, **reference} if found.get(name) != reference.get(name)] == []
    assert lb.load(folder).status == "done"
    assert Run.read(folder).verify() == []


def test_killed_at_every_commit(tmp_path, reference, points):
    """Inside one commit (its temporary file is there), after the next, and so on."""
    commits = [name.removeprefix("inside commit of ") for name in points if name.startswith("inside commit of ")]
    assert len(commits) > 100
    wanted = [f"{('inside', 'after')[place % 2]} commit of {name}" for place, name in enumerate(commits)]
    lineage(small_run, tmp_path / "run", wanted)
    is_whole(tmp_path / "run", reference)


def test_killed_inside_every_stage(tmp_path, reference, points):
    """At steps and answers, and at function calls within evaluation and export; "step s" is a step of a student."""
    stages = {"step teacher": 10, "answer": POINTS, "step s": POINTS, "evaluate": POINTS, "export": 5}
    wanted = [
        name
        for inside, count in stages.items()
        for name in spread([point for point in points if point.startswith(inside)], count)
    ]
    lineage(small_run, tmp_path / "run", wanted)
    is_whole(tmp_path / "run", reference)


def test_killed_by_signals(tmp_path, reference, points):
    """SIGKILL at ten moments, from the first commit to the export."""
    signalled(small_run, tmp_path / "run", spread(points, 10))
    is_whole(tmp_path / "run", reference)
