"""Whether a known vulnerability is in what driftd is tested with: pip-audit over constraints.txt, in plain words.

    python deploy/audit.py

Ends with 1 where there is one. Where the database of vulnerabilities can't be reached, or knows none of the packages
(as with a mirror in its place), nothing was audited: that is said, and ends with 0 on a person's machine and 2 in CI.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

CONSTRAINTS: Final = Path(__file__).resolve().parents[1] / "constraints.txt"
VULNERABLE, NOT_AUDITED = 1, 2
_TIMEOUT_S: Final = 300.0
_COMMAND: Final = (
    *(sys.executable, "-m", "pip_audit", "--requirement", str(CONSTRAINTS), "--no-deps", "--disable-pip"),
    *("--format", "json", "--progress-spinner", "off", "--timeout", "15"),
)

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603 - ours


def audit(run: Run = _run, *, is_ci: bool) -> tuple[int, str]:
    """Give the exit code and what to say."""
    try:
        done = run(_COMMAND)
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
        return _not_audited(f"pip-audit gave no answer ({type(error).__name__})", is_ci=is_ci)
    skipped = [each["name"] for each in found if "skip_reason" in each]
    vulnerable = [each for each in found if each.get("vulns")]
    if vulnerable:
        lines = [
            f"{each['name']} {each['version']}: {vulnerability['id']}, mended in"
            f" {', '.join(vulnerability['fix_versions']) or 'no version yet'}"
            for each in vulnerable
            for vulnerability in each["vulns"]
        ]
        return VULNERABLE, "\n".join(lines)
    if len(skipped) == len(found):
        return _not_audited("the database of vulnerabilities knows none of the packages, or is a mirror", is_ci=is_ci)
    text = f"{len(found) - len(skipped)} packages audited, no known vulnerability"
    if skipped:
        text += f"\nWARNING: not audited, since the database does not know them: {', '.join(skipped)}"
    return (NOT_AUDITED if skipped and is_ci else 0), text


def _not_audited(why: str, *, is_ci: bool) -> tuple[int, str]:
    text = f"WARNING: NOTHING WAS AUDITED: {why}.\nTry again where https://pypi.org/pypi/<name>/json can be reached."
    return (NOT_AUDITED if is_ci else 0), text


if __name__ == "__main__":
    code, words = audit(is_ci=os.environ.get("CI") == "true")
    sys.stderr.write(f"{words}\n")
    sys.exit(code)
