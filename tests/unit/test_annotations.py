"""Annotations: what is taken, what is refused, who may, and that they stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from monitor.annotations import KEPT_MAX, Annotations, OpenNotes
from monitor.domain import Batch, Rejection
from monitor.web import WebServer, WebTerms
from tests.golden.traffic import START_S, batch, event, pipeline
from tests.unit.staging import NOON_S, PLACE, Stage

NOW_S = 1_800_000_000.0


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "write a JSON object"),
        ({}, "text: is missing"),
        ({"text": " "}, "text: is missing"),
        ({"text": 7}, "text: write text"),
        ({"text": "x" * 1_001}, "at most 1000 characters"),
        ({"text": "x", "kind": "party"}, "kind: use one of release"),
        ({"text": "x", "colour": "red"}, "unknown: colour"),
        ({"text": "x", "time": "yesterday"}, "time: write epoch seconds, or RFC 3339"),
        ({"text": "x", "time": "2026-11-28T12:00:00"}, "a zone is missing"),
        ({"text": "x", "time": float("nan")}, "time: write"),
        ({"text": "x", "time": True}, "time: write"),
        ({"text": "x", "time": 1_800_000_000_000}, "time: write"),
        ({"text": "x", "time": 20, "end": 10}, "end: is before time"),
    ],
)
def test_what_can_not_be_used_is_refused_with_the_cure(document: object, words: str) -> None:
    held = Annotations()

    with pytest.raises(ValueError, match=words):
        held.add(document, NOW_S)
    assert [] == held.latest()


def test_annotation_is_kept_across_a_restart_and_only_the_newest_are() -> None:
    held = Annotations()
    for number in range(KEPT_MAX + 5):
        held.add({"text": f"note {number}", "model": "fraud" if number % 2 else ""}, NOW_S)

    back = Annotations()
    back.restore(held.state())

    assert held.latest() == back.latest()
    assert KEPT_MAX == len(back.latest())
    assert "note 5" == back.latest()[0]["text"]
    assert KEPT_MAX + 6 == back.add({"text": "next"}, NOW_S)["id"]
    assert {""} == {each["model"] for each in back.latest("other")}


@pytest.fixture(params=[True, False])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, bool]]:
    notes = OpenNotes(Annotations(), is_open=request.param, clock=lambda: NOW_S)
    server = WebServer(lambda: None, WebTerms(), notes=notes)
    server.start()
    yield f"http://127.0.0.1:{server.port}/api/annotations", request.param
    server.stop()


def test_annotations_are_taken_over_http_where_admin_is_on(served: tuple[str, bool]) -> None:
    address, is_open = served
    document: dict[str, Any] = {"kind": "release", "text": "v2 at 10 %", "model": "fraud"}
    document["time"] = "2026-11-28T12:00:00Z"
    answer = httpx2.post(address, json=document, trust_env=False)

    found = httpx2.get(address.replace("/api/", "/api/v1/"), params={"model": "fraud"}, trust_env=False).json()
    if not is_open:
        assert (403, []) == (answer.status_code, found["annotations"])
        return
    assert 201 == answer.status_code
    assert [{**document, "id": 1, "time": 1_795_867_200.0, "end": None, "model_version": "", "author": ""}] == found[
        "annotations"
    ]
    assert 400 == httpx2.post(address, content=b"{", trust_env=False).status_code
    assert 400 == httpx2.post(address, content=b'"\xff"', trust_env=False).status_code
    assert 400 == httpx2.post(address, content=b"[" * 8_000, trust_env=False).status_code
    assert 413 == httpx2.post(address, content=b"x" * 8_193, trust_env=False).status_code
    assert 413 == httpx2.post(address, content=iter([b"{}"]), trust_env=False).status_code
    assert 403 == httpx2.post(address, json=document, headers={"origin": "http://x"}, trust_env=False).status_code
    assert 405 == httpx2.delete(address, trust_env=False).status_code
    assert 1 == len(httpx2.get(address, trust_env=False).json()["annotations"])


# ---- as messages


def message(**fields: object) -> bytes:
    return json.dumps({"type": "annotation", "text": "v2 at 10 %", "event_time": START_S, **fields}).encode()


def test_annotations_come_as_messages_among_events() -> None:
    to = pipeline()
    note = message(kind="release", model="fraud", model_version="v2", author="ci")
    step = to.step(batch(event(0.0), note, event(1.0), message(event_time="2026-11-28T12:00:00Z")), NOW_S)

    assert [("release", "fraud", START_S), ("note", "", 1_795_867_200.0)] == [
        (each["kind"], each["model"], each["time"]) for each in step.annotations
    ]
    picture = to.picture()
    assert (4, 2, 2) == (
        sum(picture.received.values()),
        picture.counted["events", "annotation"],
        picture.counted["events", "inference"],
    )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (message(text=""), Rejection.BAD_ANNOTATION),
        (message(kind="party"), Rejection.BAD_ANNOTATION),
        (message(colour="red"), Rejection.BAD_ANNOTATION),
        (message(event_time="yesterday"), Rejection.BAD_ANNOTATION),
        (message(event_time=None), Rejection.NO_TIME),
        (message().replace(b"1763600000.0", b"1e999"), Rejection.BAD_ANNOTATION),
    ],
)
def test_message_that_is_no_annotation_is_rejected(value: bytes, reason: Rejection) -> None:
    step = pipeline().step(batch(event(0.0), value), NOW_S)

    assert [(1, reason)] == step.rejected
    assert [] == step.annotations


def test_daemon_keeps_what_came_by_a_topic() -> None:
    values = [message(kind="incident", event_time=NOON_S), message(kind="incident", event_time=NOON_S)]
    stage = Stage([Batch(values, [0, 0], [PLACE])]).run()

    assert [("incident", "v2 at 10 %")] == [
        (each["kind"], each["text"]) for each in stage.app._aides.annotations.latest()
    ]


def test_annotation_that_is_told_twice_is_kept_once() -> None:
    held = Annotations()
    first, again = (held.add({"text": "v2", "time": 5}, NOW_S) for _ in range(2))
    other = held.add({"text": "v2"}, 7)

    assert first == again
    assert [first, other] == held.latest()
