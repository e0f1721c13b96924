"""The ``nucbatch`` command, also as ``python -m nucbatch``. Libraries are imported last."""

from nucbatch.core.safe_path import restart_safely


def start(*, as_module: bool = False) -> None:
    """Runs the command line, with the current folder not on Python's import path."""
    restart_safely(as_module=as_module)
    from nucbatch.cli.main import main

    main()


if __name__ == "__main__":
    start(as_module=True)
