"""`python -m monitor` is the command `driftd`."""

from __future__ import annotations

from monitor.collector import calm_the_collector


def main() -> None:
    """Entry point of the command `driftd`."""
    calm_the_collector()  # what is imported is not garbage: looking for any takes a tenth of a start
    from monitor.cli import main as command  # noqa: PLC0415 - after the above

    command()


if __name__ == "__main__":
    main()
