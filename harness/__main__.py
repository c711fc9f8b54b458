"""``python -m harness`` is the ``sdcpp`` command."""

from harness.cli.main import run

if __name__ == "__main__":
    run()
