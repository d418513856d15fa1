"""Kills at named points of a run. A child process is forked, so that torch is imported once; `os._exit` cleans nothing.

A lineage is one folder in which a run is killed, resumed and killed further on, until nothing is left to be killed at.
Every state that a kill leaves on disk is the start of a run whose work is committed before the next kill, so a state
that resumes wrongly shows in the end, and twenty kills cost about one run.
"""

import gc
import io
import json
import os
import signal
import sys
import traceback
from functools import wraps
from importlib import import_module

import torch

from limbeck.core import files
from limbeck.stages.teachers import Prepared
from limbeck.train import loop

KILLED = 9


def child(work):
    """Run `work` with the end of a pipe in a forked process; its number, and the other end of the pipe."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        return pid, ours
    code = 70
    try:
        gc.disable()  # it would touch, and so copy, every page that the parent shares
        torch.set_num_threads(1)
        os.fsync = lambda fd: None  # for power cuts; what a killed process has written the kernel keeps
        os.close(ours)
        work(theirs)
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def ended(pid, pipe):
    """The exit code of a child (negative: a signal), and what it wrote into the pipe."""
    with os.fdopen(pipe, "rb") as file:
        said = file.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def trace(run, folder):
    """The names of all points that a run passes, in their order, each once."""

    def work(pipe):
        names = {}
        watch(folder, lambda name: names.setdefault(name))
        run(folder)
        with os.fdopen(pipe, "w") as file:
            file.write("\n".join(names))

    code, said = ended(*child(work))
    assert code == 0
    return said.split("\n")


def lineage(run, folder, wanted):
    """Run in one folder until a run comes to its end, killed in between at each of the points `wanted` once."""
    left = set(wanted)

    def work(pipe):
        def reached(name):
            if name in left:
                os.write(pipe, name.encode())
                os._exit(KILLED)

        watch(folder, reached)
        run(folder)

    for _ in range(len(wanted)):
        code, name = ended(*child(work))
        assert code == KILLED, f"expected a kill at one of {sorted(left)}, the run ended with {code}"
        left.remove(name)
    code, name = ended(*child(work))
    assert code == 0 and not left


def signalled(run, folder, wanted):
    """As `lineage`, but the child goes on at each point and is killed from outside by SIGKILL, wherever it is then."""
    for name in wanted:

        def work(pipe, name=name):
            told = []

            def reached(here):
                if here == name and not told:
                    told.append(os.write(pipe, b"1"))

            watch(folder, reached)
            run(folder)

        pid, pipe = child(work)
        assert os.read(pipe, 1) == b"1", f"the run ended before {name}"
        os.kill(pid, signal.SIGKILL)
        assert ended(pid, pipe)[0] == -signal.SIGKILL
    assert ended(*child(lambda pipe: run(folder)))[0] == 0


def watch(folder, reached):
    """Change limbeck, in a child only, so that `reached` hears the name of every point that the run passes."""
    _watch_commits(folder, reached)
    step, answer = loop._Run.step, Prepared.answer

    def stepping(self):
        step(self)
        reached(f"step {self.folder.parent.relative_to(folder)} {self.state.step}")

    def answering(self, batch):
        given = answer(self, batch)
        reached(f"answer {batch.keys[0, 0]:x}")
        return given

    loop._Run.step, Prepared.answer = stepping, answering
    _watch_calls("evaluate", "limbeck.evaluate.", reached)
    _watch_calls("export", "limbeck.compress.", reached)


def _watch_commits(folder, reached):
    commit = files.commit

    def committing(path, write, *, append=False):
        whole = io.BytesIO()
        write(whole)
        name = str(path.relative_to(folder))
        if name == "run.json":  # it is written often: its name is what it says
            state = json.loads(whole.getvalue())
            stages = {stage: entry["status"] for stage, entry in state["stages"].items()}
            name = f"run.json {state['status']} {stages} {sorted(state['fingerprints'])}"
        elif append and path.exists():
            name += f" {path.stat().st_size}"

        def halfway(file):
            file.write(whole.getvalue())
            file.flush()
            reached(f"inside commit of {name}")

        commit(path, halfway, append=append)
        reached(f"after commit of {name}")

    files.commit = committing


def _watch_calls(stage, package, reached):
    """Name every call of a function of a package during a stage by its number."""
    module = import_module(f"limbeck.stages.{stage}")
    whole, calls = getattr(module, stage), []

    def counted(function):
        @wraps(function)
        def call(*args, **kwargs):
            if active:
                calls.append(function)
                reached(f"{stage} {len(calls)}")
            return function(*args, **kwargs)

        return call

    active = []
    names = [name for name in sys.modules if name.startswith(package)]
    functions = {
        value: counted(value)
        for name in names
        for value in vars(sys.modules[name]).values()
        if callable(value) and not isinstance(value, type) and getattr(value, "__module__", None) == name
    }
    for name in [*names, module.__name__]:
        for key, value in list(vars(sys.modules[name]).items()):
            if callable(value) and not isinstance(value, type) and getattr(value, "__module__", None) in names:
                setattr(sys.modules[name], key, functions[value])

    def watched(job):
        active.append(True)
        return whole(job)

    setattr(module, stage, watched)
