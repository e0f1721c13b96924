"""``python -m nucbatch`` is the ``nucbatch`` command."""

from nucbatch.cli.main import main

if __name__ == "__main__":
    main()
