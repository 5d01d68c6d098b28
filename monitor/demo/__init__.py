"""The demonstration: generated traffic, planted incidents, and the real daemon between a broker and a receiver."""

from __future__ import annotations

from monitor.demo.show import run_demo

__all__ = ["run_demo"]
