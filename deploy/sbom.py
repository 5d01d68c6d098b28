"""The software bill of materials: what an installed driftd is made of, in CycloneDX's JSON.

    python deploy/sbom.py [FILE]

Names every Python distribution that driftd needs to run, as installed here, and the C libraries that their wheels carry
and Python itself is linked with, as far as these tell what they are: by the names of the files that `auditwheel` puts
into a wheel, by the versions that libraries write into themselves, and by what Python says of its own. Statically
linked parts that say nothing of themselves (the Rust crates in pydantic-core, bcrypt and others) can't be seen.
"""

from __future__ import annotations

import re
import sqlite3
import ssl
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

import confluent_kafka
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = "driftd"
PROJECT: Final = Path(__file__).resolve().parents[1] / "pyproject.toml"
_LIBRARY: Final = re.compile(r"lib(?P<name>[A-Za-z][A-Za-z0-9_+]*?)(?:-[0-9a-f]{8})?\.so(?:\.(?P<version>[0-9.]+))?")
_WRITTEN: Final = (
    ("openssl", re.compile(rb"OpenSSL (\d+\.\d+\.\d+[a-z]?) \d")),
    ("zlib", re.compile(rb"(?:de|in)flate (\d+\.\d+(?:\.\d+)*) Copyright")),
    ("zstd", re.compile(rb"zstd (?:v|version )(\d+\.\d+\.\d+)")),
    ("curl", re.compile(rb"libcurl/(\d+\.\d+\.\d+)")),
    ("openblas", re.compile(rb"OpenBLAS (\d+\.\d+\.\d+)")),
    ("cyrus-sasl", re.compile(rb"Cyrus SASL (\d+\.\d+\.\d+)")),
)
"""How libraries that are linked into others say which version they are."""


def main() -> None:
    """Write the bill to the file that is named, or to standard output."""
    text = make_outputter(bill(), OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(f"{text}\n", encoding="utf-8")
    else:
        sys.stdout.write(f"{text}\n")


def bill() -> Bom:
    """Give the whole."""
    found = Bom()
    parts: dict[str, Component] = {}
    for package in needed(ROOT):
        own = canonicalize_name(package.name)
        parts[own] = _python_package(package, ComponentType.APPLICATION if own == ROOT else ComponentType.LIBRARY)
    found.metadata.component = parts[ROOT]
    interpreter = _interpreter()
    for name, part in parts.items():
        inner = [_native(library, version, name) for library, version in carried(distribution(name))]
        found.register_dependency(part, [*(parts[each] for each in _requirements(distribution(name))), *inner])
        for each in (*inner, *([] if name == ROOT else [part])):
            found.components.add(each)
    for each in interpreter:
        found.components.add(each)
    found.register_dependency(interpreter[0], interpreter[1:])
    return found


def needed(root: str) -> list[Distribution]:
    """Give a distribution and all that it needs to run here, each once, the root first."""
    found: dict[str, Distribution] = {}
    waiting: list[str] = [canonicalize_name(root)]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = distribution(name)
            waiting += _requirements(found[name])
    return list(found.values())


def _requirements(of: Distribution) -> list[str]:
    """Give what it needs here and is installed, without what only its extras need."""
    names: dict[str, None] = {}
    is_ours = canonicalize_name(of.name) == ROOT  # what was installed of it may be older than what it says now
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"] if is_ours else {}
    for text in project.get("dependencies", of.requires or ()):
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            name = canonicalize_name(requirement.name)
            try:
                distribution(name)
            except PackageNotFoundError:
                continue
            names[name] = None
    return list(names)


def carried(by: Distribution) -> list[tuple[str, str]]:
    """Give the C libraries in a wheel: name, and version or "" where it can't be told; each once, sorted."""
    found: dict[str, str] = {}
    for file in by.files or ():
        match = _LIBRARY.fullmatch(file.name)
        is_bundled = any(part.endswith(".libs") for part in file.parts)
        path = Path(str(file.locate()))
        if match and is_bundled:
            found.setdefault(_common(match["name"]), match["version"] or "")
        if path.is_file() and (is_bundled or path.suffix == ".so"):
            found.update(_written_in(path.read_bytes()))
    if canonicalize_name(by.name) == "confluent-kafka":
        found["rdkafka"] = confluent_kafka.libversion()[0]
    return sorted(found.items())


def _written_in(binary: bytes) -> Iterator[tuple[str, str]]:
    for name, pattern in _WRITTEN:
        match = pattern.search(binary)
        if match:
            yield name, match[1].decode("ascii")


def _common(name: str) -> str:
    """Give the name that a library goes by: scipy_openblas64_ is OpenBLAS, ssl and crypto are OpenSSL."""
    lowered = name.lower().rstrip("_")
    return "openblas" if "openblas" in lowered else "openssl" if lowered in {"ssl", "crypto"} else lowered


def _python_package(of: Distribution, kind: ComponentType) -> Component:
    name = canonicalize_name(of.name)
    url = PackageURL("pypi", None, name, of.version)
    return Component(name=name, version=of.version, type=kind, purl=url, bom_ref=str(url))


def _native(name: str, version: str, carrier: str) -> Component:
    return Component(
        name=name,
        version=version or None,
        type=ComponentType.LIBRARY,
        purl=PackageURL("generic", None, name, version or None),
        bom_ref=f"{carrier}/{name}",
        properties=[Property(name="driftd:carried-by", value=carrier)],
    )


def _interpreter() -> list[Component]:
    """Give Python, and what it is linked with."""
    version = ".".join(map(str, sys.version_info[:3]))
    python = Component(
        name="python",
        version=version,
        type=ComponentType.PLATFORM,
        purl=PackageURL("generic", None, "python", version),
        bom_ref="python",
    )
    openssl = ssl.OPENSSL_VERSION.split()[1]
    return [python, _native("openssl", openssl, "python"), _native("sqlite", sqlite3.sqlite_version, "python")]


if __name__ == "__main__":
    main()
