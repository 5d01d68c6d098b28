from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from monitor.domain import AlertState, Severity
from monitor.errors import ConfigError
from monitor.sinks.base import Notice
from monitor.sinks.http import HttpParams
from monitor.sinks.webhook import WebhookParams, WebhookSink, message_id, sign
from tests.unit.sinks.examples import START_S, alert, notice, transition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.receiver import Receiver

SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HERE = HttpParams(allow_internal=True)


@pytest.fixture
def sink(receiver: Receiver) -> Iterator[WebhookSink]:
    params = WebhookParams(
        SecretStr(f"{receiver.url}/hook"),
        SecretStr(f"whsec_{SECRET}"),
        external_url="https://driftd.example/",
        http=HERE,
    )
    sink = WebhookSink("bridge", params)
    yield sink
    sink.close()


def test_signature_is_that_of_the_standard() -> None:
    """The worked example of the Standard Webhooks libraries: key, id, timestamp, body and what must come out."""
    key = base64.b64decode(SECRET)
    content = b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}'

    assert sign(key, content) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_message_is_signed_over_id_timestamp_and_body(receiver: Receiver, sink: WebhookSink) -> None:
    sink.deliver([notice()], START_S + 3.7)

    (request,) = receiver.requests
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    digest = hmac.new(base64.b64decode(SECRET), content, hashlib.sha256).digest()
    assert request.headers["webhook-timestamp"] == str(int(START_S + 3))
    assert request.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


def test_body_has_the_shape_of_alertmanagers_webhook(receiver: Receiver, sink: WebhookSink) -> None:
    sink.deliver([notice()], START_S)

    body = receiver.requests[0].json()
    fingerprint = hashlib.sha256(b"key-a").hexdigest()[:16]
    (told,) = body.pop("alerts")
    labels, annotations = body.pop("commonLabels"), body.pop("commonAnnotations")
    assert body == {
        "version": "4",
        "groupKey": f"driftd:{fingerprint}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "bridge",
        "groupLabels": {"alertname": "feature_drift", "model": "credit", "model_version": "7"},
        "externalURL": "https://driftd.example/",
    }
    assert (labels["severity"], annotations["summary"]) == ("sev3", "a has drifted")
    assert told == {
        "status": "firing",
        "labels": labels,
        "annotations": annotations,
        "startsAt": "2027-01-15T08:00:00.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://driftd.example/",
        "fingerprint": fingerprint,
    }


def test_resolved_says_when(receiver: Receiver, sink: WebhookSink) -> None:
    sink.deliver([notice(state=AlertState.RESOLVED)], START_S + 100)

    body = receiver.requests[0].json()
    assert (body["status"], body["alerts"][0]["status"]) == ("resolved", "resolved")
    assert body["alerts"][0]["endsAt"] == "2027-01-15T08:01:00.000Z"


def test_unsigned_without_a_secret(receiver: Receiver) -> None:
    sink = WebhookSink("bridge", WebhookParams(SecretStr(receiver.url), http=HERE))
    sink.deliver([notice()], START_S)
    sink.close()

    headers = receiver.requests[0].headers
    assert "webhook-signature" not in headers
    assert headers["webhook-id"].startswith("msg_")


def test_id_is_stable_for_what_is_told_and_for_nothing_else() -> None:
    told = alert()
    same = Notice(transition(told), START_S + 999)  # decided again, in a replay
    others = [
        Notice(transition(told, at_s=START_S + 1), START_S),
        Notice(transition(replace(told, severity=Severity.SEV1)), START_S),
        notice("b"),
        notice(state=AlertState.RESOLVED),
    ]

    assert message_id(notice()) == message_id(same)
    assert len({message_id(each) for each in [same, *others]}) == 5
    assert len(message_id(same)) == 36


@pytest.mark.parametrize(
    ("secret", "fault"),
    [("whsec_not*base64", "not base64"), ("whsec_c2hvcnQ=", "at least 16"), ("short", "at least 16")],
)
def test_unfit_secrets_are_refused_unquoted(secret: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as raised:
        WebhookParams(SecretStr("https://host/"), SecretStr(secret))

    assert secret not in str(raised.value)


def test_plain_secret_is_used_as_it_is(receiver: Receiver) -> None:
    plain = "a plain secret of some length"
    sink = WebhookSink("bridge", WebhookParams(SecretStr(receiver.url), SecretStr(plain), http=HERE))
    sink.deliver([notice()], START_S)
    sink.close()

    (request,) = receiver.requests
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    assert request.headers["webhook-signature"] == sign(plain.encode(), content)


# ---- changing from one secret to the next

OLD, NEW = "the old secret of some length", "the new secret of some length"


def _signed(receiver: Receiver, *secrets: str) -> bool:
    """Tell whether the last request is signed with each of these, and nothing else."""
    request = receiver.requests[-1]
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    return request.headers["webhook-signature"].split() == [sign(secret.encode(), content) for secret in secrets]


def test_several_secrets_make_several_signatures(receiver: Receiver) -> None:
    params = WebhookParams(SecretStr(receiver.url), (SecretStr(NEW), SecretStr(OLD)), http=HERE)
    sink = WebhookSink("bridge", params)
    sink.deliver([notice()], START_S)
    sink.close()

    assert _signed(receiver, NEW, OLD)
    assert NEW not in repr(params)


def test_secrets_as_configuration_gives_them() -> None:
    adapter = TypeAdapter(WebhookParams)
    given = {"url": "https://example.com/hook"}

    assert (OLD,) == adapter.validate_python({**given, "secret": OLD}).secret_texts
    assert (NEW, OLD) == adapter.validate_python({**given, "secret": [NEW, OLD]}).secret_texts
    assert () == adapter.validate_python(given).secret_texts
    for broken in ([NEW] * 9, ["short"], {"a": NEW}, 7):
        with pytest.raises(ValidationError) as raised:
            adapter.validate_python({**given, "secret": broken})
        assert NEW not in str(raised.value.errors(include_input=False))  # which is what `driftd check` prints


def test_secrets_of_a_file_are_read_anew_when_it_changes(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "secret"

    def write(text: str) -> None:
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").replace(file)

    write(f"{OLD}\n")
    sink = WebhookSink("bridge", WebhookParams(SecretStr(receiver.url), http=HERE, secret_file=file))
    for text, expected in (
        (f"{OLD}\n", [OLD]),
        (f"{NEW}\r\n\n{OLD}\n", [NEW, OLD]),
        ("short\n", [NEW, OLD]),  # no key: the old ones are used until it is good again
        (f"{NEW}\n", [NEW]),
    ):
        write(text)
        sink.deliver([notice()], START_S)
        assert _signed(receiver, *expected)
    file.unlink()
    sink.deliver([notice()], START_S)
    assert _signed(receiver, NEW)
    sink.close()


def test_a_file_without_a_key_is_a_matter_of_configuration(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter2\n")
    for path, fault in ((file, "at least 16 bytes, got 7"), (tmp_path / "none", "is not a file")):
        with pytest.raises(ConfigError, match=f"secret_file: .*{fault}") as raised:
            WebhookSink("bridge", WebhookParams(SecretStr("https://example.com/"), secret_file=path))
        assert "hunter2" not in str(raised.value)
    with pytest.raises(ValueError, match="secret and secret_file exclude each other"):
        WebhookParams(SecretStr("https://example.com/"), SecretStr(NEW), secret_file=file)
