from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from monitor.config import BUILT_IN_RULES, Settings, cautions, load_settings, render_defaults, settings_schema
from monitor.config.settings import ReceiverSettings
from monitor.config.thresholds import STATISTICS
from monitor.config.units import Limit
from monitor.detectors import DETECTORS
from monitor.domain import Severity
from monitor.errors import ConfigError
from monitor.fields import FEATURE_PREFIX, FIELDS, LABEL, OUTCOME_FIELDS, PREDICTION, VOLUME
from monitor.kpi_cells import KPI_NAMES
from monitor.river import RIVER
from monitor.rules import ANOMALY, BURN, DRIFT, KPI
from monitor.sinks import SINKS
from tests.unit.config.broken import BROKEN, PEOPLE, SECRET, TOPICS

CONFIG = Path(__file__).parents[3] / "config"
EXAMPLES = sorted((CONFIG / "examples").glob("*.yaml"))


def load(text: str, tmp_path: Path, **env: str) -> Settings:
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file, env)


# The shipped files.


def test_reference_file_is_what_the_code_says() -> None:
    """Regenerate with render_defaults() and settings_schema() after changing an option."""
    assert render_defaults() == (CONFIG / "driftd.yaml").read_text(encoding="utf-8")
    assert json.loads((CONFIG / "driftd.schema.json").read_text(encoding="utf-8")) == settings_schema()


def test_reference_file_names_every_option_with_its_default(tmp_path: Path) -> None:
    written = yaml.safe_load((CONFIG / "driftd.yaml").read_text(encoding="utf-8"))

    assert list(Settings.model_fields) == list(written)
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            assert list(section.model_fields) == list(written[name])
    topics = ", ".join(written["kafka"]["topics"])
    assert load_settings(None, {"DRIFTD_KAFKA__TOPICS": topics}) == load_settings(CONFIG / "driftd.yaml", {})


def test_reference_file_lists_the_built_in_rules() -> None:
    text = (CONFIG / "driftd.yaml").read_text(encoding="utf-8")
    block = text.split("# The built-in rules.", 1)[1].split("\n\n", 1)[0]
    rules = "\n".join(line[1:] for line in block.splitlines()[1:])

    assert {name: dict(rule) for name, rule in BUILT_IN_RULES.items()} == yaml.safe_load(rules)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_example_loads_without_a_caution(file: Path) -> None:
    variables = dict.fromkeys(re.findall(r"\$\{(\w+)\}", file.read_text(encoding="utf-8")), "https://x.example.com")

    loaded = load_settings(file, variables)

    assert cautions(loaded) == ()
    for receiver in loaded.receivers.values():
        assert receiver.type in SINKS


def test_minimal_example_is_short() -> None:
    assert len((CONFIG / "examples" / "minimal.yaml").read_text(encoding="utf-8").splitlines()) < 15


def test_every_option_has_a_sentence_and_a_default() -> None:
    for model in _models(Settings):
        for name, field in model.model_fields.items():
            assert (field.description or "").endswith("."), name
            assert not field.is_required(), name


def _models(model: type[BaseModel]) -> set[type[BaseModel]]:
    found = {model}
    for field in model.model_fields.values():
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found |= _models(inner)
    return found


def test_receiver_types_are_those_that_exist() -> None:
    annotation = ReceiverSettings.model_fields["type"].annotation

    assert set(SINKS) == set(get_args(annotation))


def test_statistics_are_those_that_exist() -> None:
    assert set(STATISTICS) == {DRIFT, ANOMALY, BURN, KPI, *DETECTORS, *RIVER}


def test_fields_of_statistics_exist() -> None:
    known = {*FIELDS, *OUTCOME_FIELDS, PREDICTION, LABEL, VOLUME, f"{FEATURE_PREFIX}*"}
    named = {name for which, statistic in STATISTICS.items() if which != KPI for name in statistic.fields}

    assert named <= known
    assert set(STATISTICS[KPI].fields) <= set(KPI_NAMES)


def test_built_in_rules_are_valid_rules(tmp_path: Path) -> None:
    names = "\n".join(f"      {name}:" for name in BUILT_IN_RULES)
    loaded = load(f"{TOPICS}{PEOPLE}models:\n  - thresholds:\n{names}\n", tmp_path)

    assert set(BUILT_IN_RULES) == set(loaded.models[0].thresholds)


# Files that can't be read.


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe\x00", "not text in UTF-8"), (b"a: b\n" * 300_000, "larger than 1 MiB"), (b"", "the file is empty")],
)
def test_unreadable_content_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=message):
        load_settings(file, {})


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: does not exist"):
        load_settings(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigError, match="is a folder"):
        load_settings(tmp_path, {})


def test_alias_bomb_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]

    with pytest.raises(ConfigError, match="unfold into too much"):
        load("\n".join(lines), tmp_path)


def test_all_problems_are_shown_together_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        "http: {port: -1}\nkafka:\n  topicz: [a]\n  commit_s: never\nlog: {level: loud}\nmodels: [{owner: '${NONE}'}]\n"
    )

    with pytest.raises(ConfigError) as caught:
        load(text, tmp_path)

    lines = [line.removeprefix(f"{tmp_path}/config.yaml").split(": ")[:2] for line in str(caught.value).splitlines()]
    assert lines == [
        [":1:14", "http.port"],
        [":2:1", "kafka.topics"],
        [":3:3", "kafka.topicz"],
        [":4:13", "kafka.commit_s"],
        [":5:14", "log.level"],
        [":6:18", "models[0].owner"],
    ]


# Values.


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0.5", 0.5),
        ("30s", 30),
        ("500ms", 0.5),
        ("5m", 300),
        ("1h30m", 5400),
        ("'120'", 120),
        ("1d", 86_400),
    ],
)
def test_durations(text: str, seconds: float, tmp_path: Path) -> None:
    assert seconds == load(f"{TOPICS}time: {{grace_s: {text}}}\n", tmp_path).time.grace_s


@pytest.mark.parametrize(
    ("text", "size"), [("1048576", 2**20), ("16MiB", 2**24), ("2MB", 2_000_000), ("0.5 GiB", 2**29)]
)
def test_sizes(text: str, size: int, tmp_path: Path) -> None:
    assert size == load(f"kafka: {{topics: [a], prefetch_bytes: {text}}}\n", tmp_path).kafka.prefetch_bytes


def test_yaml_1_1_surprises_stay_text(tmp_path: Path) -> None:
    loaded = load("kafka: {topics: [no, on, 2024-01-01]}\n", tmp_path)

    assert loaded.kafka.topics == ("no", "on", "2024-01-01")


def test_rule_inherits_from_the_built_in_of_its_name(tmp_path: Path) -> None:
    text = f"{TOPICS}{PEOPLE}models:\n  - thresholds:\n      unsafe_rate: {{red: 8x}}\n      latency_p95: {{red: 2}}\n"
    unsafe, latency = load(text, tmp_path).models[0].thresholds.values()

    assert (unsafe.statistic, unsafe.fields) == ("yes_rate", ("unsafe",))
    assert (unsafe.yellow, unsafe.red) == (Limit(2, is_relative=True), Limit(8, is_relative=True))
    assert unsafe.severities == (Severity.SEV2, Severity.SEV1)
    assert (latency.yellow, latency.red) == (None, Limit(2)), "an absolute limit replaces both relative ones"


def test_owner_and_runbook_may_come_from_the_model(tmp_path: Path) -> None:
    text = f"{TOPICS}models: [{{owner: a, runbook: b, thresholds: {{psi: {{red: 1}}}}}}]\n"

    assert load(text, tmp_path).models[0].owner == "a"


def test_cautions_name_what_is_allowed_and_surprising(tmp_path: Path) -> None:
    text = "kafka: {topics: [a], insecure_tls: true}\nreceivers: {}\nhttp: {host: 0.0.0.0, admin: true}\n"

    assert [line.split(":")[0] for line in cautions(load(text, tmp_path))] == [
        "alerts",
        "kafka.insecure_tls",
        "http.admin",
        "receivers",
    ]
    for harmless in ("{admin: true}", "{host: 0.0.0.0, admin: true, web_config_file: web.yml}"):
        found = cautions(load(f"{TOPICS}http: {harmless}\n", tmp_path))
        assert not [line for line in found if line.startswith("http")]


def test_topics_are_not_needed_to_read_files() -> None:
    assert load_settings(None, {}, topics_required=False).kafka.topics == ()


# Environment and secrets.


def test_environment_has_the_last_word(tmp_path: Path) -> None:
    loaded = load(
        TOPICS,
        tmp_path,
        DRIFTD_KAFKA__BOOTSTRAP_SERVERS="b:1, c:2",
        DRIFTD_ALERTS__WINDOWS="[5m, 1h]",
        DRIFTD_MODELS='[{"match": "m"}]',
        DRIFTD_RECEIVERS__HOOK='{"type": "webhook"}',
        DRIFTD_RECEIVERS__HOOK__SECRET="[0123]",
    )

    assert loaded.kafka.bootstrap_servers == ("b:1", "c:2")
    assert loaded.alerts.windows == (300.0, 3600.0)
    assert loaded.models[0].match == "m"
    assert loaded.receivers["hook"].options == {"secret": "[0123]"}


def test_variables_of_kubernetes_for_a_service_called_driftd_are_not_ours(tmp_path: Path) -> None:
    loaded = load(TOPICS, tmp_path, DRIFTD_PORT="tcp://10.0.0.1:80", DRIFTD_SERVICE_HOST="10.0.0.1")

    assert loaded.http.port == 3738


def test_interpolation(tmp_path: Path) -> None:
    text = "kafka: {topics: ['${A}-x', '${B:-b}', '${C:-}c'], group_id: '$${A}'}\nhttp: {port: '${P}'}\n"
    loaded = load(text, tmp_path, A="a", P="80", C="")

    assert loaded.kafka.topics == ("a-x", "b", "c")
    assert (loaded.kafka.group_id, loaded.http.port) == ("${A}", 80)


def test_variables_can_not_add_structure(tmp_path: Path) -> None:
    loaded = load("kafka: {topics: [a], group_id: '${A}'}\n", tmp_path, A="x\nhttp: {port: 1}")

    assert loaded.kafka.group_id == "x\nhttp: {port: 1}"


def test_secrets_come_from_files_and_are_never_printed(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n", encoding="utf-8")
    loaded = load(
        f"""
kafka:
  topics: [a]
  security_protocol: sasl_ssl
  sasl_mechanism: PLAIN
  sasl_username: u
  sasl_password_file: {file}
  librdkafka: {{sasl.oauthbearer.client.secret: {SECRET}, fetch.wait.max.ms: 100}}
receivers:
  hook:
    type: webhook
    url_file: {file}
    secret: {SECRET}
    timeout_s: 1m
    http: {{bearer_token_file: {file}, ca_file: ca.pem, headers: {{X-Key: {SECRET}}}}}
""",
        tmp_path,
    )

    assert loaded.kafka.sasl_password == SecretStr(SECRET)
    assert loaded.receivers["hook"].options == {
        "url": SECRET,
        "secret": SECRET,
        "timeout_s": 60.0,
        # Read by the receiver itself, whenever the file changes.
        "http": {"bearer_token_file": str(file), "ca_file": "ca.pem", "headers": {"X-Key": SECRET}},
    }
    assert SECRET not in f"{loaded!r}{loaded}{loaded.model_dump_json()}{loaded.model_dump()}"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff"])
def test_secret_file_without_a_secret_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=r"sasl_password_file: .*(is empty|not text)"):
        load(f"kafka: {{topics: [a], sasl_password_file: {file}}}\n", tmp_path)


def test_password_of_digits_keeps_its_zeros(tmp_path: Path) -> None:
    loaded = load(f"{TOPICS}receivers: {{a: {{type: webhook, secret: 007}}}}\n", tmp_path)

    assert loaded.receivers["a"].options["secret"] == "007"


@pytest.mark.parametrize(
    ("name", "value", "is_other"),
    [
        ("DRIFTD_ALERTS__FALSE_ALARM_BUDGET", "3", True),
        ("DRIFTD_TIME__PANE_S", "2s", True),
        ("DRIFTD_KAFKA__BOOTSTRAP_SERVERS", "elsewhere:9092", False),
        ("DRIFTD_REFERENCE__DIRECTORY", "elsewhere", False),
        ("DRIFTD_HTTP__PORT", "1", False),
    ],
)
def test_version_is_of_what_is_judged_by(name: str, value: str, *, is_other: bool) -> None:
    """So all processes of one configuration name the same, and a moved broker is no other way to judge."""
    plain, changed = (load_settings(None, env, topics_required=False) for env in ({}, {name: value}))

    assert is_other == (plain.judging_version != changed.judging_version)
    assert plain.judging_version == load_settings(None, {}, topics_required=False).judging_version


def test_settings_can_not_be_changed(tmp_path: Path) -> None:
    loaded = load(TOPICS, tmp_path)

    with pytest.raises(ValueError, match="frozen"):
        loaded.http.port = 1


# Whatever the input, ConfigError and nothing else.

_SAMPLES = [case.yaml for case in BROKEN] + [file.read_text(encoding="utf-8") for file in EXAMPLES]
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["1.5x", "5m"])
)
_KEYS = st.sampled_from(
    [*Settings.model_fields, *(name for model in _models(Settings) for name in model.model_fields), *BUILT_IN_RULES]
)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def _only_config_error(content: bytes, folder: Path, env: dict[str, str] | None = None) -> None:
    file = folder / "config.yaml"
    file.write_bytes(content)
    message = "none"
    try:
        load_settings(file, env or {})
    except ConfigError as error:
        message = str(error)

    assert message.encode("utf-8"), "every message says something that can be printed"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=200))
@example(content=b'"\\ud800": "\\ud800"')
@example(content=b'kafka: {topics: [a]}\nmodels: [{thresholds: {"\\ud800": {red: 1}}}]')
@example(content=b"[" * 100_000)
@example(content=b"- " * 50_000)
@example(content=b"http: {port: " + b"9" * 5000 + b"}")
@example(content=b"time: {pane_s: " + b"9" * 30 + b"}")
@example(content=b"!!int a: !!float b")
@example(content=b"%YAML 9999999999999.1\n---\na: b")
def test_no_bytes_raise_anything_else(content: bytes, folder: Path) -> None:
    _only_config_error(content, folder)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_mutation_of_a_real_file_raises_anything_else(data: st.DataObject, folder: Path) -> None:
    sample = data.draw(st.sampled_from(_SAMPLES)).encode()
    start = data.draw(st.integers(0, len(sample)))
    end = data.draw(st.integers(start, min(len(sample), start + 12)))
    _only_config_error(sample[:start] + data.draw(st.binary(max_size=6)) + sample[end:], folder)


@settings(max_examples=500, deadline=None)
@given(tree=st.dictionaries(_KEYS, _TREES, max_size=4), name=_KEYS, value=st.text(max_size=10))
@example(tree={"kafka": {"librdkafka": {"a": float("nan")}}}, name="time", value="{")
def test_no_tree_of_known_names_raises_anything_else(
    tree: dict[str, object], name: str, value: str, folder: Path
) -> None:
    env = {
        f"DRIFTD_{name.upper()}": value,
        f"DRIFTD_KAFKA__{name.upper()}": value,
        "DRIFTD_": value,
        "DRIFTD___": value,
    }
    _only_config_error(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass"), folder, env)
