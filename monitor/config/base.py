"""What every section of the settings has in common."""

from __future__ import annotations

from typing import Final

from pydantic import ConfigDict

# Unknown keys are refused, nothing changes after loading, and no message of the library repeats a value.
SECTION: Final = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)
