"""What is allowed but worth a second look; `driftd check` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.river import RIVER
from monitor.rules import ANOMALY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monitor.config.settings import Settings


def cautions(settings: Settings) -> tuple[str, ...]:
    """Gives one sentence for each thing that works and may still surprise."""
    found: list[str] = []
    missing = [name for name in ("owner", "runbook") if not getattr(settings.alerts, name)]
    if settings.alerts.default_rules and missing:
        found.append(
            f"alerts: built-in rules have no {' and no '.join(missing)}; set alerts.{' and alerts.'.join(missing)}"
        )
    if settings.kafka.insecure_tls:
        found.append("kafka.insecure_tls: certificates may go unchecked, so anyone can pretend to be the broker")
    if settings.kafka.security_protocol == "sasl_plaintext":
        found.append("kafka.security_protocol: sasl_plaintext sends credentials and events unencrypted; use sasl_ssl")
    if settings.http.admin and not settings.http.web_config_file and not _is_loopback(settings.http.host):
        found.append("http.admin: whoever reaches the port may ask for a reload; set http.web_config_file")
    if not settings.receivers:
        found.append("receivers: nobody is told about alerts; name at least one")
    if not settings.alerts.default_rules and not any(model.thresholds for model in settings.models):
        found.append("alerts.default_rules: false, and no model has thresholds: nothing can ever fire")
    return (*found, *_without_guarantee(settings))


def _is_loopback(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


def _without_guarantee(settings: Settings) -> Iterator[str]:
    """Gives one sentence for each rule that keeps to no false-alarm budget."""
    for model in settings.models:
        for name, rule in model.thresholds.items():
            where = f"models[{model.match}].thresholds.{name}"
            if rule.enabled and rule.statistic in RIVER:
                yield (
                    f"{where}: {rule.statistic} is river's and guarantees no false-alarm budget: dependent or seasonal"
                    " traffic sets it off; the statistic 'drift' keeps to the budget"
                )
            elif rule.enabled and rule.statistic == ANOMALY:
                yield (
                    f"{where}: anomalies keep to no false-alarm budget: about 0.03 false alarms per series and day;"
                    " keep it at sev4, and wake nobody with it"
                )
