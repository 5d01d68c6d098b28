"""What is counted is the same, by templates and by msgspec: of many models, with nulls, segments and outcomes."""

from __future__ import annotations

import json
import os
import random

import numpy as np
import pytest

from monitor import build
from monitor.codec import encode
from monitor.config import load_settings
from monitor.decode import Limits
from monitor.decode.canonical import CanonicalAdapter
from monitor.decode.compiled import reader
from monitor.domain import Batch, TopicPartition
from monitor.pipeline import Pipeline

NOW_S = 1_790_000_000.0
SOURCES = (TopicPartition("t", 0),)
MODELS = 6


def message(rng: random.Random, number: int) -> bytes:
    """Give an event of one of some models, each with features of its own; or the outcome of an earlier one."""
    time_s = NOW_S + number / 50
    if rng.random() < 0.1:
        label = rng.choice([True, False, "yes", 1, 0.5])
        body = {"type": "outcome", "kind": "label", "request_id": f"r{max(0, number - 30)}", "label": label}
        return json.dumps({**body, "event_time": time_s}).encode()
    model = rng.randrange(MODELS)
    features: dict[str, object] = {
        f"n{model}_{i}": rng.choice([rng.gauss(0, 1), rng.randrange(5), None]) for i in range(model)
    }
    features |= {"shared": rng.random(), "code": rng.randrange(4), "name": rng.choice(["a", "é", 'q"', f"x{number}"])}
    if rng.random() < 0.1:
        features["seldom"] = rng.random()
    body = {"event_time": time_s, "model": f"m{model}", "request_id": f"r{number}", "features": features}
    body |= {"segment": {"locale": rng.choice(["de", "en"])}} if model % 2 else {}
    body |= {"prediction": rng.random() > 0.5, "score": rng.random(), "latency_s": rng.choice([1, 0.25])}
    return json.dumps(body, ensure_ascii=bool(model % 3)).encode()


@pytest.mark.skipif(reader() is None and not os.environ.get("CI"), reason="there was no C compiler")
@pytest.mark.parametrize("seed", range(2))
def test_state_after_mixed_traffic_is_the_same_to_the_byte(seed: int) -> None:
    rng = random.Random(seed)
    settings = load_settings(
        None,
        {
            "DRIFTD_REFERENCE__LEARN_EVENTS": "100",
            "DRIFTD_REFERENCE__LEARN_EVENTS_MIN": "50",
            "DRIFTD_MODELS": json.dumps([{"match": "*", "segments": ["locale"], "features": {"code": "categorical"}}]),
        },
        topics_required=False,
    )
    terms = build.pipeline_terms(settings)
    pipelines = [Pipeline(terms, CanonicalAdapter(Limits(), is_compiled=is_compiled)) for is_compiled in (True, False)]
    start = 0
    for size in (1, 40, 300, 7, 900, 900):
        values = [message(rng, number) for number in range(start, start + size)]
        batch = Batch(values, np.zeros(size, dtype=np.int64), SOURCES, offsets=np.arange(start, start + size))
        start += size
        with_them, without = (
            [(t.time_s, str(t.alert.key), t.alert.value) for t in each.step(batch, NOW_S + 1e6).transitions]
            for each in pipelines
        )
        assert with_them == without

    # What is still open holds its hits in the order in which they were read, which means nothing.
    states = [
        {s.name: encode(s.make()) for s in each.sections() if not s.name.startswith("open/")} for each in pipelines
    ]
    assert states[0].keys() == states[1].keys()
    assert [name for name in states[0] if states[0][name] != states[1][name]] == []
    assert pipelines[0].picture().counted == pipelines[1].picture().counted
