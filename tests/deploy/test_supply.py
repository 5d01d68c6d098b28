"""What driftd is made of is named in full, and an audit that did not take place is not taken for one that did."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import confluent_kafka
import pytest
from packaging.requirements import Requirement

from deploy.audit import NOT_AUDITED, VULNERABLE, audit
from tests.deploy.files import DEPLOY, ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file: Path = tmp_path_factory.mktemp("sbom") / "sbom.json"
    subprocess.run([sys.executable, DEPLOY / "sbom.py", file], check=True, timeout=120)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_bill_is_cyclonedx_about_driftd(bill: dict[str, Any]) -> None:
    assert ("CycloneDX", "1.6") == (bill["bomFormat"], bill["specVersion"])
    assert ("driftd", version("driftd")) == tuple(bill["metadata"]["component"][name] for name in ("name", "version"))


def test_bill_names_every_dependency_with_its_version(bill: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {each["name"]: each.get("version") for each in bill["components"] if each["purl"].startswith("pkg:pypi")}

    for text in project["dependencies"]:
        name = Requirement(text).name.lower().replace("_", "-")
        assert version(name) == named[name]
    assert {"h11", "anyio", "pydantic-core"} <= named.keys(), "what dependencies need is named too"
    assert not {"pytest", "mypy", "pip-audit"} & named.keys(), "what only developers need is not"


def test_versions_are_those_that_are_pinned(bill: dict[str, Any]) -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    pinned = {line.split("==")[0].lower().replace("_", "-"): line.split("==")[1] for line in lines}
    named = {each["name"] for each in bill["components"] if each["purl"].startswith("pkg:pypi")}

    assert set() == named - pinned.keys()


def test_bill_names_libraries_that_wheels_carry(bill: dict[str, Any]) -> None:
    native = {
        (each["properties"][0]["value"], each["name"]): each.get("version")
        for each in bill["components"]
        if each["purl"].startswith("pkg:generic") and "properties" in each
    }

    assert confluent_kafka.libversion()[0] == native["confluent-kafka", "rdkafka"]
    assert native["confluent-kafka", "openssl"]
    assert native["numpy", "openblas"]
    assert {("python", "openssl"), ("python", "sqlite")} <= native.keys()


def test_every_part_hangs_on_another(bill: dict[str, Any]) -> None:
    known = {each["bom-ref"] for each in bill["components"]} | {bill["metadata"]["component"]["bom-ref"], "python"}
    named = {ref for each in bill["dependencies"] for ref in (each["ref"], *each.get("dependsOn", ()))}

    assert named == known


# ---- the audit


def _answering(*dependencies: dict[str, Any], text: str | None = None) -> Any:  # noqa: ANN401 - a stand-in
    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, text or json.dumps({"dependencies": dependencies}), "")

    return run


GOOD = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize("is_ci", [True, False])
def test_vulnerabilities_are_told_and_fail(*, is_ci: bool) -> None:
    assert (VULNERABLE, "b 2: PYSEC-1, mended in 3") == audit(_answering(GOOD, BAD, UNKNOWN), is_ci=is_ci)


def test_none_found_is_good() -> None:
    assert (0, "1 packages audited, no known vulnerability") == audit(_answering(GOOD), is_ci=True)


@pytest.mark.parametrize("run", [_answering(UNKNOWN), _answering(text="no JSON"), _answering(text="{}")])
def test_what_was_not_audited_is_not_called_good(run: Any) -> None:  # noqa: ANN401 - a stand-in
    code, text = audit(run, is_ci=False)

    assert 0 == code
    assert "NOTHING WAS AUDITED" in text
    assert NOT_AUDITED == audit(run, is_ci=True)[0]


def test_nobody_answering_is_not_called_good() -> None:
    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired(list(command), 1.0)

    assert "NOTHING WAS AUDITED" in audit(run, is_ci=False)[1]


def test_those_left_out_are_named() -> None:
    code, text = audit(_answering(GOOD, UNKNOWN), is_ci=True)

    assert NOT_AUDITED == code
    assert "not audited, since the database does not know them: c" in text
