"""The image, as far as it can be told without building it."""

from __future__ import annotations

import re

import pytest

import monitor
from monitor.config import Settings
from tests.deploy.files import ROOT, dockerfile, last_stage


def test_last_stage_has_no_shell_and_gets_only_the_result() -> None:
    bases = [step.rest.split()[0] for step in dockerfile() if step.word == "FROM"]
    copies = [step.rest for step in dockerfile() if step.word == "COPY" and "--from" in step.rest]

    assert ["python:${PYTHON}-slim-bookworm", "gcr.io/distroless/python3-debian12:nonroot"] == bases
    assert [
        "--from=build /opt/driftd /opt/driftd",
        f"--from=build --chown={last_stage()['USER'].rest} /var/lib/driftd /var/lib/driftd",
    ] == copies
    assert not {"RUN", "SHELL", "ADD"} & last_stage().keys(), "these need a shell, or bring what is not ours"


def test_both_stages_have_the_same_python() -> None:
    (version,) = (step.rest.removeprefix("PYTHON=") for step in dockerfile() if step.word == "ARG")
    stage = last_stage()

    assert [f"/usr/bin/python{version}"] * 2 == [stage[word].command()[0] for word in ("ENTRYPOINT", "HEALTHCHECK")]


def test_nothing_is_imported_from_where_it_may_write() -> None:
    """The folder it is started in is the one it may write to, and Python would look there first."""
    environment = dict(pair.split("=", 1) for pair in last_stage()["ENV"].rest.split())

    assert ("/opt/driftd", "1") == (environment["PYTHONPATH"], environment["PYTHONSAFEPATH"])
    assert last_stage()["WORKDIR"].rest in last_stage()["VOLUME"].rest


def test_python_is_one_that_driftd_supports() -> None:
    (version,) = (step.rest.removeprefix("PYTHON=") for step in dockerfile() if step.word == "ARG")

    assert f'"Programming Language :: Python :: {version}"' in (ROOT / "pyproject.toml").read_text()


def test_it_runs_without_a_shell_and_without_root() -> None:
    stage = last_stage()

    assert ["-m", "monitor"] == stage["ENTRYPOINT"].command()[1:]
    assert ["run", "--config", "/etc/driftd/driftd.yaml"] == stage["CMD"].command()
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", stage["USER"].rest)
    assert f"--chown={stage['USER'].rest}" in stage["COPY"].rest, "the volume's folder belongs to the user"
    assert ["/var/lib/driftd"] == stage["VOLUME"].command()


def test_port_is_the_default() -> None:
    port = str(Settings().http.port)

    assert port == last_stage()["EXPOSE"].rest
    assert f":{port}/livez" in last_stage()["HEALTHCHECK"].command()[-1]


def test_version_is_the_packages() -> None:
    assert f'image.version="{monitor.__version__}"' in last_stage()["LABEL"].rest


def test_versions_are_the_tested_ones() -> None:
    (install,) = (step.rest for step in dockerfile() if step.word == "RUN" and "--requirement" in step.rest)

    assert "--constraint constraints.txt" in install


@pytest.mark.parametrize("source", ["pyproject.toml", "constraints.txt", "monitor"])
def test_what_is_copied_exists_and_is_not_ignored(source: str) -> None:
    copied = " ".join(step.rest for step in dockerfile() if step.word == "COPY")
    ignore = (ROOT / ".dockerignore").read_text().splitlines()

    assert source in copied.split()
    assert (ROOT / source).exists()
    assert "*" in ignore
    assert f"!{source}" in ignore
