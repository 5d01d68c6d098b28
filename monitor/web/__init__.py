"""The built-in HTTP server: /metrics, /livez, /readyz, a small JSON status, and an index of these.

Everything is read from the last published snapshot, on a thread of its own; nothing can be changed through it, save
that, where it is allowed, a reload of the configuration can be asked for.
"""

from __future__ import annotations

from monitor.web.probes import Liveness, Probe, readiness
from monitor.web.server import WebServer
from monitor.web.terms import Access, AccessFile, TlsTerms, WebTerms

__all__ = ["Access", "AccessFile", "Liveness", "Probe", "TlsTerms", "WebServer", "WebTerms", "readiness"]
