"""The file that says who may come in: TLS, client certificates and passwords, as Prometheus's exporters read it.

The format is that of Prometheus's exporter-toolkit (docs/web-configuration.md there). Where we are stricter, and say
so: client certificates that nobody checks, TLS before 1.2, several curves, and hashes so costly that they would stop
us are refused. HTTP/2 is not spoken, whatever `http2` says.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator

from monitor.config.base import SECTION
from monitor.config.document import Document, parse_document
from monitor.config.guess import nearest
from monitor.config.http import HttpSettings
from monitor.config.loading import report_of
from monitor.config.messages import problems_of
from monitor.config.refusals import Path, Problem, Refusals, refusal, show_key
from monitor.config.units import Duration
from monitor.errors import ConfigError
from monitor.web.terms import Access, AccessFile, TlsTerms

BYTES_MAX: Final = 256 * 1024
COST_MAX: Final = 16  # some 4 s of a processor for each password that is tried
USERS_MAX: Final = 1_000
_HASH: Final = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_HASH_CURE: Final = "make one: htpasswd -nBC 10 '' | tr -d ':\\n'"

# Go's names, which the format uses, and OpenSSL's. Those of TLS 1.3 can't be chosen, in Go neither.
_SUITES_13: Final = frozenset({"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"})
_SUITES: Final = {
    f"TLS_ECDHE_{kind}_WITH_{go}": f"ECDHE-{kind}-{openssl}"
    for kind in ("ECDSA", "RSA")
    for go, openssl in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
}
_CURVES: Final = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
_CLIENT: Final = {
    "": "none",
    "NoClientCert": "none",
    "VerifyClientCertIfGiven": "optional",
    "RequireAndVerifyClientCert": "required",
}
_UNCHECKED: Final = frozenset({"RequestClientCert", "RequireAnyClientCert", "RequireClientCert"})
_HEADERS: Final = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}


class _Tls(BaseModel):
    model_config = SECTION

    cert: str | None = None
    key: SecretStr | None = None
    client_ca: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    client_ca_file: str | None = None
    client_auth_type: str = ""
    client_allowed_sans: tuple[str, ...] = ()
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[str, ...] = ()

    @field_validator("min_version", "max_version")
    @classmethod
    def _know_version(cls, value: str) -> str:
        if value in {"TLS10", "TLS11"}:
            raise refusal(f"{value} is broken", "write TLS12 or TLS13")
        if value not in {"TLS12", "TLS13"}:
            raise refusal("not a version of TLS", "write TLS12 or TLS13")
        return value

    @field_validator("client_auth_type")
    @classmethod
    def _know_policy(cls, value: str) -> str:
        if value in _UNCHECKED:
            raise refusal(f"{value} takes certificates that nobody checks", "write RequireAndVerifyClientCert")
        if value not in _CLIENT:
            raise refusal("not a policy", f"write one of {', '.join(name for name in _CLIENT if name)}")
        return value

    @field_validator("cipher_suites")
    @classmethod
    def _know_suites(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _known(value, (*_SUITES, *_SUITES_13), "cipher suite that is safe")

    @field_validator("curve_preferences")
    @classmethod
    def _know_curves(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > 1:
            raise refusal("Python can be told one curve, or none", "keep one, or leave the option out")
        return _known(value, tuple(_CURVES), "curve")

    @model_validator(mode="after")
    def _check(self) -> _Tls:
        found = Refusals()
        for name in ("cert", "key", "client_ca"):
            if getattr(self, name) and getattr(self, f"{name}_file"):
                found.add((f"{name}_file",), f"stands beside {name}", "keep one of the two")
        if self.is_on:
            for name in ("cert", "key"):
                if not (getattr(self, name) or getattr(self, f"{name}_file")):
                    found.add((), f"has neither {name} nor {name}_file", f"add {name}_file")
        self._check_clients(found)
        if self.min_version > self.max_version:
            found.add(("min_version",), f"is above max_version ({self.max_version})", "write TLS12")
        if self.cipher_suites and self.min_version == "TLS12" and not _openssl(self.cipher_suites):
            found.add(("cipher_suites",), "names none for TLS 1.2", "set min_version to TLS13, or add one")
        found.raise_in_validator("tls_server_config")
        return self

    def _check_clients(self, found: Refusals) -> None:
        policy, has_ca = _CLIENT[self.client_auth_type], bool(self.client_ca or self.client_ca_file)
        if policy == "none" and has_ca:
            found.add((), "has a client_ca and no client_auth_type", "write RequireAndVerifyClientCert")
        if policy != "none" and not has_ca:
            found.add(("client_auth_type",), "needs authorities to check with", "add client_ca_file")
        if self.client_allowed_sans and policy != "required":
            found.add(("client_allowed_sans",), "needs certificates", "write RequireAndVerifyClientCert above")

    @property
    def is_on(self) -> bool:
        """As the exporters have it: whether any of these is set."""
        given = (self.cert, self.cert_file, self.key, self.key_file, self.client_ca, self.client_ca_file)
        return any(given) or bool(self.client_auth_type)


class _Server(BaseModel):
    model_config = SECTION

    http2: bool = True
    headers: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> _Server:
        found = Refusals()
        for name, value in self.headers.items():
            allowed = _HEADERS.get(name)
            if allowed is None:
                found.add(("headers", name), "can't be set", f"allowed here: {', '.join(_HEADERS)}")
            elif allowed and value and value not in allowed:
                found.add(("headers", name), "not a value of this header", f"write {' or '.join(allowed)}")
            elif not (value.isascii() and value.isprintable()) and value:
                found.add(("headers", name), "has characters that HTTP does not allow", "use printable ASCII")
        found.raise_in_validator("http_server_config")
        return self


class _Rate(BaseModel):
    model_config = SECTION

    interval: Duration = Field(default=0.0, ge=0, le=3600)
    burst: int = Field(default=0, ge=0, le=1_000_000)


class _File(BaseModel):
    model_config = SECTION

    tls_server_config: _Tls | None = None
    http_server_config: _Server | None = None
    basic_auth_users: dict[str, SecretStr] | None = Field(default=None, max_length=USERS_MAX)
    rate_limit: _Rate | None = None

    @field_validator("basic_auth_users")
    @classmethod
    def _check_hashes(cls, value: dict[str, SecretStr] | None) -> dict[str, SecretStr] | None:
        found = Refusals()
        for name, secret in (value or {}).items():
            match = _HASH.fullmatch(secret.get_secret_value())
            if not name or ":" in name:
                found.add((name,), "not a name", "use at least one character, and no colon")
            elif match is None:
                found.add((name,), "not a bcrypt hash", _HASH_CURE)
            elif int(match[1]) > COST_MAX:
                found.add((name,), f"costs {match[1]}; at most {COST_MAX} is allowed", _HASH_CURE)
        found.raise_in_validator("basic_auth_users")
        return value


def access_file(http: HttpSettings) -> AccessFile | None:
    """Gives the file that is configured, not yet read; None where none is."""
    return None if http.web_config_file is None else AccessFile(pathlib.Path(http.web_config_file), read_web_file)


def read_web_file(path: pathlib.Path) -> Access:
    """Gives what the file says. Paths in it are relative to its folder.

    Raises ConfigError, and nothing else: one line per problem, each with place and cure, none with a secret.
    """
    text = _read(path)
    if not re.sub(r"(?m)^\s*(#.*)?$", "", text).strip():
        return Access()
    refusals = Refusals()
    document = parse_document(text, str(path), refusals)
    given: _File | None = None
    try:
        given = _File.model_validate(document.tree)
    except ValidationError as error:
        found = problems_of(error, lambda place: _value_at(document, place))
        refusals.problems += [_worded(each) for each in found if not refusals.covers(each.path)]
    if given is None or refusals.problems:
        raise ConfigError(report_of(refusals.problems, document.places))
    return _access(given, path.parent)


def _read(path: pathlib.Path) -> str:
    try:
        if not path.is_file():
            raise ConfigError(f"{path}: is not a file; check http.web_config_file")
        with path.open("rb") as opened:
            content = opened.read(BYTES_MAX + 1)
        if len(content) > BYTES_MAX:
            raise ConfigError(f"{path}: is larger than {BYTES_MAX // 1024} KiB; check http.web_config_file")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not text in UTF-8; save it as UTF-8") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ConfigError(f"{path}: can't be read ({reason}); check the path and who may read it") from None


def _access(given: _File, folder: pathlib.Path) -> Access:
    tls, server, rate = given.tls_server_config, given.http_server_config, given.rate_limit
    return Access(
        tls=_tls(tls, folder) if tls is not None and tls.is_on else None,
        users={name: secret.get_secret_value() for name, secret in (given.basic_auth_users or {}).items()},
        headers={} if server is None else server.headers,
        requests_interval_s=0.0 if rate is None else rate.interval,
        requests_burst=0 if rate is None else rate.burst,
    )


def _tls(given: _Tls, folder: pathlib.Path) -> TlsTerms:
    def versioned(text: str) -> Literal["TLS12", "TLS13"]:
        return "TLS13" if text == "TLS13" else "TLS12"

    def policy(text: str) -> Literal["none", "optional", "required"]:
        return "required" if text == "required" else "optional" if text == "optional" else "none"

    return TlsTerms(
        cert=folder / given.cert_file if given.cert_file else given.cert or "",
        key=folder / given.key_file if given.key_file else given.key or SecretStr(""),
        client_ca=folder / given.client_ca_file if given.client_ca_file else given.client_ca,
        client_certificate=policy(_CLIENT[given.client_auth_type]),
        client_names=given.client_allowed_sans,
        version_min=versioned(given.min_version),
        version_max=versioned(given.max_version),
        ciphers=_openssl(given.cipher_suites),
        is_server_preferred=given.prefer_server_cipher_suites,
        curve=_CURVES[given.curve_preferences[0]] if given.curve_preferences else "",
    )


def _openssl(suites: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_SUITES[name] for name in suites if name in _SUITES)


def _known(given: tuple[str, ...], allowed: tuple[str, ...], what: str) -> tuple[str, ...]:
    for name in given:
        if name not in allowed:
            guess = nearest(name, allowed)
            raise refusal(
                f"{show_key(name)} is no {what}", f"did you mean {guess}?" if guess else f"such as {allowed[0]}"
            )
    return given


_SECTIONS: Final[Mapping[str, type[BaseModel]]] = {
    "tls_server_config": _Tls,
    "http_server_config": _Server,
    "rate_limit": _Rate,
}


def _worded(problem: Problem) -> Problem:
    """Gives the problem of an unknown key in this file's words: the cure it came with is about the main file's."""
    if problem.message != "unknown key":
        return problem
    model: type[BaseModel] = _File if len(problem.path) == 1 else _SECTIONS.get(str(problem.path[0]), _File)
    allowed = tuple(model.model_fields)
    guess = nearest(str(problem.path[-1]), allowed)
    cure = f"did you mean {show_key(guess)}?" if guess else f"allowed here: {', '.join(allowed)}"
    return Problem(problem.path, problem.message, cure, at_key=True)


def _value_at(document: Document, path: Path) -> object:
    here: object = document.tree
    for element in path:
        if isinstance(here, dict):
            here = here.get(element)
        elif isinstance(here, list) and isinstance(element, int) and element < len(here):
            here = here[element]
        else:
            return None
    return None if path[:1] == ("basic_auth_users",) else here
