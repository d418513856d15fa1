"""Models by name: a path that is none is refused at once, and a hub that does not answer is asked once."""

import socket

import huggingface_hub
import pandas as pd
import pytest

import limbeck as lb
from limbeck.core.errors import ConfigError
from limbeck.models.text import hub
from limbeck.models.text.network import TextNetwork
from limbeck.models.text.sentences import SentenceNetwork
from limbeck.models.text.tokens import TextEncoder


@pytest.fixture
def endpoint(monkeypatch, tmp_path):
    """A hub at a port of this machine where nobody listens until the test does; an empty cache."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    hub._answers.cache_clear()
    yield server
    server.close()
    hub._answers.cache_clear()


LOADERS = [TextEncoder.load, SentenceNetwork.load, lambda where: TextNetwork.pretrained(where, {"main": 2})]


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("where", ["./teacher", "../models/teacher", "~/teacher", "runs/teacher/member-0", "runs/none"])
def test_a_path_without_a_folder_is_refused_without_asking_anybody(endpoint, tmp_path, load, where):
    (tmp_path / "runs").mkdir()
    with pytest.raises(ConfigError, match=rf"expected a folder with a .* at {where}, there is none\n\ngive "):
        load(where)


@pytest.mark.parametrize("load", LOADERS)
def test_a_name_is_refused_where_the_hub_does_not_answer(endpoint, load):
    with pytest.raises(ConfigError, match=r"at owner/name, or a name of the hub: .* the hub cannot be reached\n\ngive"):
        load("owner/name")


def test_what_was_loaded_before_is_looked_for_where_the_hub_does_not_answer(endpoint, tmp_path):
    (tmp_path / "cache" / "models--owner--name").mkdir(parents=True)
    assert hub.where_from("owner/name", "a model", "") == {"local_files_only": True}


def test_a_hub_that_answers_is_asked(endpoint):
    endpoint.listen()
    assert hub.where_from("owner/name", "a model", "") == {}


def test_folders_are_read_where_they_are(endpoint, tmp_path):
    (tmp_path / "mine").mkdir()
    assert hub.where_from("mine", "a model", "") == hub.where_from(tmp_path / "mine", "a model", "") == {}


def test_who_says_that_the_hub_is_not_to_be_asked_is_heard(endpoint, monkeypatch):
    endpoint.listen()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match="the hub cannot be reached"):
        hub.where_from("owner/name", "a model", "")


def test_a_run_says_it_before_any_work(endpoint, tmp_path):
    rows = pd.DataFrame([(f"one text {n}", f"another text {n}", n / 9) for n in range(30)], columns=["a", "b", "score"])
    data = lb.Data(
        train=rows, task="similarity", test_fraction=0.2, columns=lb.Columns(inputs=("a", "b"), target="score")
    )
    with pytest.raises(ConfigError, match=r"expected a folder with a model of sentence-transformers at \./teacher"):
        lb.distill("st:./teacher", "static(dim=8)", data, seeds=1, out=tmp_path / "r")
    assert not (tmp_path / "r").exists()
