"""What is deployed, as data."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"
RULES: Final = DEPLOY / "prometheus" / "driftd.rules.yml"
RULE_TESTS: Final = DEPLOY / "prometheus" / "driftd.rules.test.yml"
PROMETHEUS: Final = DEPLOY / "prometheus" / "prometheus.yml"
ALERTMANAGER: Final = DEPLOY / "alertmanager" / "alertmanager.yml"
COMPOSE: Final = DEPLOY / "compose.yaml"
DRIFTD: Final = DEPLOY / "driftd" / "driftd.yaml"


def read(path: Path) -> Any:  # noqa: ANN401 - each file has its own shape
    return yaml.safe_load(path.read_text())


def rules() -> list[dict[str, Any]]:
    return [rule for group in read(RULES)["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> frozenset[str]:
    return frozenset(rule["record"] for rule in rules() if "record" in rule)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of the Dockerfile: its word, and all that follows it on one line."""

    word: str
    rest: str

    def command(self) -> list[str]:
        """Give the program and arguments of the exec form; raises where it is in the shell form."""
        words: list[str] = json.loads(self.rest[self.rest.index("[") :])
        return words


def dockerfile() -> list[Instruction]:
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [line.split(maxsplit=1) for line in whole.splitlines() if line.strip()]
    return [Instruction(word.upper(), rest) for word, rest in found]


def last_stage() -> dict[str, Instruction]:
    """Give the instructions of the stage that runs, the last of each word."""
    steps = dockerfile()
    begin = max(index for index, step in enumerate(steps) if step.word == "FROM")
    return {step.word: step for step in steps[begin:]}
