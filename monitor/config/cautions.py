"""What is allowed but worth a second look; `driftd check` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    if not settings.receivers:
        found.append("receivers: nobody is told about alerts; name at least one")
    if not settings.alerts.default_rules and not any(model.thresholds for model in settings.models):
        found.append("alerts.default_rules: false, and no model has thresholds: nothing can ever fire")
    return tuple(found)
