"""Builds the compiled reader of templates with driftd, where there is a C compiler. Without one driftd is only slower.

The compiler is $CC, or cc. DRIFTD_COMPILED=require makes it an error that it can't be built; =no builds nothing.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ("-std=c11", "-O3", "-Wall", "-Wextra", "-shared", "-fPIC")


class CustomBuildHook(BuildHookInterface):
    """Called by hatchling before it builds a wheel, or installs driftd to be worked on."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's
        """Build the library, and have it packed."""
        wanted = os.environ.get("DRIFTD_COMPILED", "")
        folder = Path(self.root) / "monitor" / "decode"
        source = folder / "templates.c"
        # As monitor.decode.compiled.library_path names it, which can't be imported before driftd is installed.
        library = folder / f"templates-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}.so"
        for old in folder.glob("templates-*.so"):
            if old != library or wanted == "no":
                old.unlink()
        if wanted == "no":
            return
        compiler = shlex.split(os.environ.get("CC", "cc"))
        problem = build(compiler, source, library)
        if problem and wanted == "require":
            raise RuntimeError(problem)
        if problem:
            self.app.display_warning(f"driftd reads events without its compiled reader, which is slower: {problem}")
            return
        build_data["artifacts"].append(f"/monitor/decode/{library.name}")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def build(compiler: list[str], source: Path, library: Path) -> str:
    """Compile; give what went wrong, if anything did."""
    if shutil.which(compiler[0]) is None:
        return f"there is no C compiler ({compiler[0]})"
    new = library.with_suffix(".new")
    done = subprocess.run(  # noqa: S603 - the compiler that whoever installs driftd names
        [*compiler, *FLAGS, "-o", str(new), str(source)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return f"{compiler[0]} failed: {done.stderr[-2000:]}"
    new.replace(library)  # at once: others may be about to load it
    return ""
