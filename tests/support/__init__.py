"""Real parts for tests and benchmarks: brokers, Prometheus, Alertmanager, receivers, and driftd itself as a process.

Processes keep their bytecode, as those of an installation do, also where the environment asks for none: else each
start would compile all of driftd anew.
"""

import os

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
