"""KPIs: what the counts of one window say of a model's success, safety and cost. A new one is one line here."""

from __future__ import annotations
