"""Alerts to any HTTP receiver, signed, in the shape of Alertmanager's own webhook, so that what exists for it works.

The body is webhook version "4" with one alert. The headers are those of Standard Webhooks (standardwebhooks.com):
webhook-id, webhook-timestamp, and, where there is a secret, webhook-signature: "v1," and the base64 of the HMAC-SHA256
of `id.timestamp.body`; of several secrets one signature each, with a space between, so that a receiver may change from
one to the next when it likes. The id is the same at each attempt, after a restart and in a replay, so a receiver that
keeps ids for a while is told everything once. The timestamp is the attempt's: receivers refuse those older than five
minutes.

Where we differ from Alertmanager: `fingerprint` and `groupKey` come from the alert and not from its labels, so they
stay when its severity changes: that is one message about the same alert, not one that ends and another that begins.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Final

import structlog
from pydantic import ConfigDict, PlainValidator, SecretStr

from monitor.errors import ConfigError
from monitor.sinks.base import Notice, Terms
from monitor.sinks.credentials import Secret, exclude
from monitor.sinks.http import HttpParams, Poster, check_target, check_timeout, check_url
from monitor.sinks.message import describe, timestamp

_log = structlog.get_logger("monitor.sinks")

_KEY_PREFIX: Final = "whsec_"  # Standard Webhooks: what follows is base64
_KEY_BYTES_MIN: Final = 16  # ours: the standard has 24 to 64, and some receivers' keys are shorter
_KEYS_MAX: Final = 8  # ours: two are enough for a change
_GROUP_LABELS: Final = ("alertname", "model", "model_version")
_NOT_ENDED: Final = "0001-01-01T00:00:00Z"  # how Alertmanager writes "no end yet"


def _given_secrets(value: object) -> Sequence[SecretStr] | None:
    """Take one secret or several, as configuration has them; a union's own messages would quote them."""
    given = value if isinstance(value, list | tuple) else () if value is None else (value,)
    if not all(isinstance(each, str | SecretStr) for each in given):
        raise ValueError("must be text, or a list of texts")
    return tuple(each if isinstance(each, SecretStr) else SecretStr(str(each)) for each in given) or None


@dataclass(frozen=True, slots=True)
class WebhookParams:
    """Where to post, and how to sign.

    url: the whole address; a secret, since with many receivers whoever knows it may post. secret: the key shared with
    the receiver, "whsec_" and base64, or any other text of at least 16 bytes, used as it is; several, the newest first,
    while the receiver changes from one to the next; None: unsigned. secret_file: a file with the same, one on each
    line, read anew when it changes. timeout_s: for each wait within an attempt. external_url: where a person finds
    more, shown as the alerts' source; "" for none.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid", "hide_input_in_errors": True}

    url: SecretStr
    secret: Annotated[SecretStr | Sequence[SecretStr] | None, PlainValidator(_given_secrets)] = None
    timeout_s: float = 10.0
    external_url: str = ""
    http: HttpParams = field(default_factory=HttpParams)
    secret_file: Path | None = None

    def __post_init__(self) -> None:
        check_target(self.url.get_secret_value(), "url", self.http)
        if self.external_url:
            check_url(self.external_url, "external_url")
        exclude([("secret", self.secret), ("secret_file", self.secret_file)])
        keys_of(self.secret_texts)
        check_timeout(self.timeout_s)

    @property
    def secret_texts(self) -> Sequence[str]:
        """The secrets that stand in the configuration itself, in the clear: never to be printed."""
        given = (self.secret,) if isinstance(self.secret, SecretStr) else self.secret or ()
        return tuple(each.get_secret_value() for each in given)


class WebhookSink:
    """Posts each firing, each change of severity and each end as one message."""

    terms: Final = Terms()

    def __init__(self, name: str, params: WebhookParams) -> None:
        self.name: Final = name
        self._file = Secret(None, params.secret_file, "secret_file")
        self._lines = self._file.text().splitlines()
        try:
            self._keys = keys_of([*params.secret_texts, *(line for line in self._lines if line.strip())])
        except ValueError as error:
            raise ConfigError(f"secret_file: {error}") from None
        self._external_url = params.external_url
        self._poster = Poster(params.url, params.timeout_s, params.http)

    def deliver(self, notices: Sequence[Notice], now_wall_s: float) -> None:
        """Post each notice as a message. Raises SinkError."""
        for notice in notices:
            body = json.dumps(self._message(notice), ensure_ascii=False).encode()
            self._poster.post(body, self._headers(message_id(notice), body, now_wall_s), now_wall_s)

    def close(self) -> None:
        """Close the connection."""
        self._poster.close()

    def _headers(self, identity: str, body: bytes, now_wall_s: float) -> Mapping[str, str]:
        sent_at = str(int(now_wall_s))
        headers = {"webhook-id": identity, "webhook-timestamp": sent_at}
        content = f"{identity}.{sent_at}.".encode() + body
        if self._file.is_in_file:
            self._read_keys_anew()
        if self._keys:
            headers["webhook-signature"] = " ".join(sign(key, content) for key in self._keys)
        return headers

    def _read_keys_anew(self) -> None:
        """Take what the file holds now; where that is no key, the old ones are used until it is good again."""
        texts = self._file.text().splitlines()
        if texts == self._lines:
            return
        self._lines = texts
        try:
            self._keys = keys_of([text for text in texts if text.strip()])
        except ValueError as error:
            _log.warning("secret not read anew, the old one is used", sink=self.name, error=f"secret_file: {error}")

    def _message(self, notice: Notice) -> Mapping[str, object]:
        alert = notice.alert
        labels, annotations = describe(alert)
        status = "resolved" if notice.is_resolved else "firing"
        fingerprint = hashlib.sha256(alert.dedup_key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return {
            "version": "4",
            "groupKey": f"driftd:{fingerprint}",
            "truncatedAlerts": 0,
            "status": status,
            "receiver": self.name,
            "groupLabels": {name: labels[name] for name in _GROUP_LABELS if name in labels},
            "commonLabels": labels,
            "commonAnnotations": annotations,
            "externalURL": self._external_url,
            "alerts": [
                {
                    "status": status,
                    "labels": labels,
                    "annotations": annotations,
                    "startsAt": timestamp(notice.transition.time_s if alert.firing_s is None else alert.firing_s),
                    "endsAt": _ended(notice),
                    "generatorURL": self._external_url,
                    "fingerprint": fingerprint,
                }
            ],
        }


def message_id(notice: Notice) -> str:
    """Give the identity of what is told: one alert, one state, one change to it (its event time)."""
    told = (notice.key, notice.alert.state.value, notice.alert.severity.label, repr(notice.transition.time_s))
    return f"msg_{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]}"


def sign(key: bytes, content: bytes) -> str:
    """Give the signature of `id.timestamp.body`, as the header has it."""
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode("ascii")


def _ended(notice: Notice) -> str:
    if not notice.is_resolved:
        return _NOT_ENDED
    resolved_s = notice.alert.resolved_s
    return timestamp(notice.transition.time_s if resolved_s is None else resolved_s)


def keys_of(secrets: Sequence[str]) -> Sequence[bytes]:
    """Give the keys' bytes. Raises ValueError, without quoting a secret."""
    if len(secrets) > _KEYS_MAX:
        raise ValueError(f"secret: at most {_KEYS_MAX} may be in use at once, got {len(secrets)}")
    return tuple(_key(text) for text in secrets)


def _key(text: str) -> bytes:
    try:
        is_encoded = text.startswith(_KEY_PREFIX)
        key = base64.b64decode(text.removeprefix(_KEY_PREFIX), validate=True) if is_encoded else text.encode()
    except binascii.Error:
        raise ValueError(f"secret starts with {_KEY_PREFIX} but the rest is not base64") from None
    if len(key) < _KEY_BYTES_MIN:
        raise ValueError(f"secret must be at least {_KEY_BYTES_MIN} bytes, got {len(key)}")
    return key
