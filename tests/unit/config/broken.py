"""Configurations that can't be used, and what each must be told: the place and the cure.

`place` is what the message says after the file's name: ":line:column: path", or less where there is no place. It is
shared with the tests of `driftd check`. SECRET stands for what must never be printed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET: Final = "hunter2-c0rrect-h0rse"
TOPICS: Final = "kafka: {topics: [a]}\n"
PEOPLE: Final = "alerts: {owner: me, runbook: book}\n"
_SASL: Final = (
    "kafka:\n  topics: [a]\n  security_protocol: sasl_ssl\n  sasl_mechanism: SCRAM-SHA-512\n  sasl_username: u\n"
)


@dataclass(frozen=True)
class Case:
    """One broken configuration. place and cure: pieces that the message must contain."""

    name: str
    yaml: str
    place: str
    cure: str
    env: Mapping[str, str] = field(default_factory=dict)


def _rule(text: str) -> str:
    return TOPICS + PEOPLE + f"models:\n  - thresholds:\n      {text}\n"


BROKEN: Final = [
    # What is written is not YAML, or not ours.
    Case("empty file", "", ": the file is empty", "write at least 'kafka:'"),
    Case("only comments", "# nothing\n", ": the file is empty", "write at least 'kafka:'"),
    Case("list at the top", "- kafka\n", ":1:1: found a list at the top", "write sections such as 'kafka:'"),
    Case("text at the top", f"password:{SECRET}\n", ":1:1: found text at the top", "write sections"),
    Case("tab for indentation", "kafka:\n\ttopics: [a]\n", ":2:1: a tab", "use spaces"),
    Case("open bracket", "kafka:\n  topics: [a\nhttp: {}\n", ":3:5: ", "closing bracket"),
    Case("open quote", f'kafka:\n  sasl_password: "{SECRET}\n', ": a quote is not closed", "close it"),
    Case("wrong indentation", "kafka:\n   topics: [a]\n  start: latest\n", ":3:3: ", "indentation"),
    Case("two documents", "kafka: {}\n---\nkafka: {}\n", ":2:1: a second document", "remove '---'"),
    Case("unknown alias", f"kafka:\n  sasl_password: *{SECRET}\n", ":2:18: ", "put it in quotes"),
    Case("tag", f"kafka:\n  topics: [a]\n  sasl_password: !{SECRET} x\n", ":3:18: kafka.sasl_password", "quotes"),
    Case("python object", TOPICS + "log: !!python/object:os.system {}\n", ":2:1: log", "remove the '!'"),
    Case("key twice", "kafka:\n  topics: [a]\n  topics: [b]\n", ":2:3: kafka.topics: given twice", "remove one"),
    Case("merge key", "log: &x {}\nrun:\n  <<: *x\n" + TOPICS, ":3:3: run", "write the keys out"),
    Case("key that is a list", TOPICS + "? [a]\n: b\n", "has a key that is no text", "write 'key: value'"),
    Case("deep nesting", "a: " + "[" * 60 + "]" * 60, "nested more than 32 levels", "flatten it"),
    Case("alias to itself", TOPICS + "models: &a [*a]\n", "unfold into too much", "write the values out"),
    Case("control character", "kafka: \x01\n", ":1: holds a control character", "remove it"),
    Case("odd escape", 'kafka: "\\UFFFFFFFF"\n', "is not valid YAML", "escapes"),
    # Names and shapes.
    Case(
        "unknown key", "kafka:\n  topicz: [a]\n  topics: [a]\n", ":2:3: kafka.topicz: unknown", "did you mean 'topics'?"
    ),
    Case("unknown section", "kafkaa: {}\n" + TOPICS, ":1:1: kafkaa: unknown key", "did you mean 'kafka'?"),
    Case("wrong section", TOPICS + "pane_s: 1\n", ":2:1: pane_s: unknown key", "it belongs under 'time'"),
    Case("unit left out", TOPICS + "time: {pane: 1}\n", ":2:8: time.pane: unknown key", "did you mean 'pane_s'?"),
    Case("argument of the library", TOPICS + "_env_file: x\n", ":2:1: _env_file: unknown key", "remove it"),
    Case("glued secret", f"kafka: {{topics: [a], password:{SECRET}}}\n", ":1:22: kafka.password", "sasl_password"),
    Case("section is text", f"kafka: sasl_password:{SECRET}\n", ":1:8: kafka: found text; a mapping", "indented"),
    Case("section is a list", TOPICS + "http: [1]\n", ":2:1: http: found a list; a mapping", "'option: value' lines"),
    Case("list is text", TOPICS + "models: all\n", ":2:9: models: found text; a list", "- item"),
    Case("number as name", TOPICS + "models: [{versions: 1.10}]\n", ":2:21: models[0].versions", "put it in quotes"),
    # Values.
    Case("no topics", "kafka: {group_id: g}\n", ": kafka.topics: is missing", "topics: [inferences]"),
    Case("empty topics", "kafka:\n  topics: []\n", ":2:3: kafka.topics: is missing", "topics: [inferences]"),
    Case("no kafka", "log: {level: info}\n", ": kafka.topics: is missing", "topics: [inferences]"),
    Case("topic twice", "kafka: {topics: [a, a]}\n", ":1:21: kafka.topics[1]", "remove one"),
    Case("topic pattern", 'kafka: {topics: ["^a.*"]}\n', ":1:18: kafka.topics[0]", "patterns can't be used"),
    Case(
        "port too large", TOPICS + "http: {port: 99999}\n", ":2:14: http.port: found 99999; at most 65535", "lower it"
    ),
    Case("port is a word", TOPICS + "http: {port: web}\n", ":2:14: http.port: found 'web'", "write a whole number"),
    Case("duration", TOPICS + "time: {grace_s: 5 minutes}\n", ":2:17: time.grace_s: found '5 minutes'", "5m, 1h30m"),
    Case("duration too small", TOPICS + "run: {shutdown_s: 0s}\n", ":2:19: run.shutdown_s", "raise it"),
    Case("not a number", TOPICS + "alerts: {hysteresis: .nan}\n", ":2:22: alerts.hysteresis", "finite number"),
    Case("size", "kafka: {topics: [a], prefetch_bytes: 16 MBs}\n", ":1:38: kafka.prefetch_bytes", "16MiB"),
    Case("choice", "kafka: {topics: [a], start: erliest}\n", ":1:29: kafka.start: found 'erliest'", "'earliest'?"),
    Case("yes or no", TOPICS + "alerts: {default_rules: maybe}\n", ":2:25: alerts.default_rules", "true or false"),
    Case("window off the panes", TOPICS + "alerts: {windows: [1500ms]}\n", ":2:20: alerts.windows[0]", "write 2s"),
    Case("windows unordered", TOPICS + "alerts: {windows: [1h, 1m]}\n", ":2:24: alerts.windows[1]", "ascending"),
    Case("too many windows", TOPICS + "alerts: {windows: [1,2,3,4,5,6,7]}\n", ":2:10: alerts.windows", "at most 6"),
    Case(
        "learning",
        TOPICS + "reference: {learn_events: 200}\n",
        ": reference.learn_events_min: found 500",
        "at most 200",
    ),
    # Rules.
    Case("unknown statistic", _rule("shift: {statistic: pssi, red: 1}"), ":5:26: models[0].thresholds.shift", "'psi'?"),
    Case("no statistic", _rule("shift: {red: 1}"), ":5:7: models[0].thresholds.shift", "add 'statistic:'"),
    Case("drift is built in", _rule("drift: {statistic: psi}"), "thresholds.drift.statistic", "a name of its own"),
    Case("drift below", _rule("drift: {direction: below}"), "thresholds.drift.direction", "leave it out"),
    Case("drift in windows", _rule("drift: {windows: [60]}"), "thresholds.drift.windows", "judge psi in windows"),
    Case("drift in terms of itself", _rule("drift: {red: 2x}"), "thresholds.drift.red", "write a PSI"),
    Case("no limits", _rule("js: {}"), ":5:7: models[0].thresholds.js: has neither", "set at least one"),
    Case("order", _rule("psi: {red: 0.05}"), ":5:18: models[0].thresholds.psi.red: yellow 0.1 is above", "write both"),
    Case(
        "order below", _rule("volume_low: {yellow: 0.1x}"), "models[0].thresholds.volume_low.red", "yellow the higher"
    ),
    Case("percent", _rule("unsafe_rate: {red: 0.5%}"), ":5:26: models[0].thresholds.unsafe_rate.red", "write 0.005"),
    Case(
        "share over one", _rule("unsafe_rate: {red: 5}"), ":5:26: models[0].thresholds.unsafe_rate.red", "write a share"
    ),
    Case("mixed units", _rule("js: {yellow: 0.1, red: 2x}"), ":5:30: models[0].thresholds.js.red", "write both"),
    Case("duration for a share", _rule("js: {red: 5m}"), ":5:17: models[0].thresholds.js.red", "plain number"),
    Case("severity", _rule("psi: {severity: high}"), ":5:23: models[0].thresholds.psi.severity", "sev1 (worst)"),
    Case("built-in renamed", _rule("psi: {statistic: js}"), ":5:24: models[0].thresholds.psi.statistic", "its own"),
    Case(
        "nobody answers",
        TOPICS + "models: [{thresholds: {psi: {red: 1}}}]\n",
        ":2:24: models[0].thresholds.psi",
        "owner:",
    ),
    Case(
        "dead entry", TOPICS + "models: [{}, {match: m}]\n", ":2:22: models[1].match: is never used", "put this entry"
    ),
    Case("feature kind", TOPICS + "models: [{features: {a: number}}]\n", ":2:25: models[0].features.a", "'numeric'?"),
    # Kafka and secrets.
    Case(
        "owned property",
        "kafka: {topics: [a], librdkafka: {group.id: x}}\n",
        ":1:45: kafka.librdkafka.group.id",
        "set kafka.group_id",
    ),
    Case(
        "unchecked certificates",
        "kafka: {topics: [a], librdkafka: {enable.ssl.certificate.verification: false}}\n",
        ":1:72: kafka.librdkafka.enable.ssl.certificate.verification",
        "insecure_tls: true",
    ),
    Case(
        "session time-out under the consumer protocol",
        "kafka: {topics: [a], group_protocol: consumer, librdkafka: {session.timeout.ms: 6000}}\n",
        ":1:81: kafka.librdkafka.session.timeout.ms",
        "group_protocol to classic",
    ),
    Case(
        "assignor",
        "kafka: {topics: [a], librdkafka: {partition.assignment.strategy: range}}\n",
        ":1:66: kafka.librdkafka.partition.assignment.strategy",
        "cooperative-sticky",
    ),
    Case(
        "dead letters into what is read",
        "kafka: {topics: [a]}\ndead_letters: {topic: a}\n",
        ":2:23: dead_letters.topic: found 'a', which is one of kafka.topics",
        "a topic of its own",
    ),
    Case(
        "dead letters to no topic",
        "kafka: {topics: [a]}\ndead_letters: {topic: a b}\n",
        ":2:23: dead_letters.topic: found 'a', not a topic's name",
        "use letters",
    ),
    Case(
        "property is a list",
        "kafka: {topics: [a], librdkafka: {a: [1]}}\n",
        ": kafka.librdkafka.a: found a list",
        "write text",
    ),
    Case("no password", _SASL, ": kafka.sasl_password: is missing", "sasl_password_file"),
    Case("mechanism alone", "kafka: {topics: [a], sasl_mechanism: PLAIN}\n", ":1:38: kafka.sasl_mechanism", "sasl_ssl"),
    Case(
        "certificate alone",
        "kafka: {topics: [a], security_protocol: ssl, ssl_key_location: k}\n",
        "kafka.ssl_certificate_location",
        "both",
    ),
    Case(
        "broker",
        "kafka: {topics: [a], bootstrap_servers: 'b:99999'}\n",
        ":1:41: kafka.bootstrap_servers[0]",
        "host:port",
    ),
    Case(
        "secret is a list",
        _SASL + f"  sasl_password: [{SECRET}]\n",
        ":6:3: kafka.sasl_password: found a list",
        "quotes",
    ),
    Case(
        "secret file missing",
        _SASL + "  sasl_password_file: no/such\n",
        ":6:23: kafka.sasl_password_file",
        "check the path",
    ),
    Case(
        "secret file is a folder",
        _SASL + "  sasl_password_file: .\n",
        ":6:23: kafka.sasl_password_file",
        "check the path",
    ),
    Case(
        "secret twice",
        _SASL + f"  sasl_password: {SECRET}\n  sasl_password_file: x\n",
        ":7:23: kafka.sasl_password_file: stands beside sasl_password",
        "keep one",
    ),
    # Receivers.
    Case(
        "receiver type",
        TOPICS + "receivers: {a: {type: webhok}}\n",
        ":2:23: receivers.a.type",
        "did you mean 'webhook'?",
    ),
    Case(
        "receiver is text", TOPICS + f"receivers: {{hook: {SECRET}}}\n", ":2:19: receivers.hook: found text", "indented"
    ),
    Case(
        "receiver secret file",
        TOPICS + "receivers: {a: {type: webhook, secret_file: no/such}}\n",
        ":2:45: receivers.a.secret_file",
        "check the path",
    ),
    Case(
        "receiver duration",
        TOPICS + "receivers: {a: {type: webhook, timeout_s: soon}}\n",
        ":2:43: receivers.a.timeout_s",
        "30s",
    ),
    # The environment.
    Case(
        "variable not set",
        "kafka:\n  topics: ['${NO_SUCH}']\n",
        ":2:12: kafka.topics[0]: the variable NO_SUCH",
        "set it",
    ),
    Case("variable not closed", "kafka:\n  topics: ['${NO']\n", ":2:12: kafka.topics[0]: '${'", "$${ for itself"),
    Case(
        "variable of the wrong kind",
        TOPICS + "http: {port: '${P}'}\n",
        ":2:14: http.port",
        "whole number",
        {"P": SECRET},
    ),
    Case(
        "override",
        TOPICS,
        "environment DRIFTD_HTTP__PORT: http.port: found 'x'",
        "whole number",
        {"DRIFTD_HTTP__PORT": "x"},
    ),
    Case(
        "override misspelt",
        TOPICS,
        "environment DRIFTD_HTTP__PORTT: http.portt: unknown",
        "'port'?",
        {"DRIFTD_HTTP__PORTT": "1"},
    ),
    Case(
        "override in a list",
        TOPICS + "models: [{}]\n",
        "DRIFTD_MODELS__0__OWNER",
        "DRIFTD_MODELS as a whole",
        {"DRIFTD_MODELS__0__OWNER": "x"},
    ),
    Case("override no JSON", TOPICS, "DRIFTD_MODELS", "brackets", {"DRIFTD_MODELS": f"[{{'{SECRET}"}),
    Case(
        "duration from a variable", TOPICS + "time: {grace_s: '${P}'}\n", ":2:17: time.grace_s", "1h30m", {"P": SECRET}
    ),
    Case("topic from a variable", "kafka: {topics: '${P}!'}\n", ":1:17: kafka.topics[0]", "use letters", {"P": SECRET}),
]
