"""Errors that a user's input or machine can cause.

Each message gives the value, the allowed values and the mend. All derive from
:class:`NucbatchError`, and each also derives from the matching builtin, so that callers who do not know
nucbatch catch what they expect. The command line prints the message of a ``NucbatchError`` without a
traceback. Any other exception is a bug in nucbatch and keeps its traceback.
"""

from __future__ import annotations

from pathlib import Path


class NucbatchError(Exception):
    """Base of all errors that a user's input or machine can cause."""


class InputError(NucbatchError, ValueError):
    """A value given by the user (an option, a table column, a setting) is invalid."""


class InputNotFound(NucbatchError, FileNotFoundError):
    """A path that a user named does not exist."""


class UnreadableImage(NucbatchError, OSError):
    """An image file cannot be decoded; the field is quarantined and the run continues.

    ``channels``: names of the channels whose pixels are damaged; empty if the reason is another.
    """

    channels: tuple[str, ...] = ()


class ImageUnavailable(UnreadableImage):
    """An image did not answer in time, is missing or has changed; a later attempt may succeed."""


class WeightsError(NucbatchError, ValueError):
    """A weight file is missing, is a pickle, or does not fit the network named by its card."""


class PrecisionError(NucbatchError, ValueError):
    """A worker's device does not support the requested precision."""


class StoreError(NucbatchError, OSError):
    """A run's folder cannot be written, or does not hold what its ledger records."""


class DamagedFile(StoreError):
    """A file of a run is missing or has changed; it can be rebuilt.

    Attributes:
        path: the file.
        what: the defect, as it continues the sentence "PATH …".
    """

    path = Path()
    what = ""

    @classmethod
    def at(cls, path: Path, what: str) -> DamagedFile:
        """Creates the error for ``path`` with the defect ``what``."""
        error = cls(
            f"{path} {what}. Run the same command again with --verify: it checks every file against its "
            "recorded digest and rebuilds damaged ones."
        )
        error.path, error.what = path, what
        return error


class SettingsConflict(NucbatchError, ValueError):
    """A run's folder was made with other settings; the message lists the differences."""


class RunLocked(NucbatchError, RuntimeError):
    """Another driver is working in the same run's folder."""


class MemoryRefused(MemoryError, NucbatchError):
    """A task needs more memory than is available; the message has the numbers.

    The builtin comes first among the bases. The other way round Python rejects ``MemoryRefused.__new__``, and
    Dask could not copy the error from a worker to the client.
    """


class SchedulerError(NucbatchError, RuntimeError):
    """A cluster cannot be started or reached."""


class FieldFailed(NucbatchError, RuntimeError):
    """A field failed in a run that stops at the first failure."""
