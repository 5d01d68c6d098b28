"""Annotations: what is taken, what is refused, who may, and that they stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from monitor.annotations import KEPT_MAX, Annotations, OpenNotes
from monitor.web import WebServer, WebTerms

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
