"""Every error a user can meet: what was given, what is allowed, how to mend it.

One base, :class:`NucbatchError`; each error is also the builtin that fits it, so that callers who do not
know nucbatch still catch what they expect. The command line prints the message of a ``NucbatchError``
without a traceback; anything else is a defect of nucbatch and keeps its traceback.
"""

from __future__ import annotations

from pathlib import Path


class NucbatchError(Exception):
    """Base of all errors that a user's input or machine can cause."""


class InputError(NucbatchError, ValueError):
    """A value from outside is not what it must be (an option, a table's column, a setting)."""


class InputNotFound(NucbatchError, FileNotFoundError):
    """A path that a user named does not exist."""


class UnreadableImage(NucbatchError, OSError):
    """An image's bytes can't be turned into pixels; the field is quarantined and the run goes on."""


class ImageUnavailable(UnreadableImage):
    """An image did not answer in time, or is gone or changed since the plan; another attempt may succeed."""


class WeightsError(NucbatchError, ValueError):
    """A weight file is missing, is a pickle, or does not fit the network its card names."""


class PrecisionError(NucbatchError, ValueError):
    """A worker's device does not compute in the numbers that were asked for."""


class StoreError(NucbatchError, OSError):
    """A run's folder can't be written or does not hold what its ledger says."""


class DamagedFile(StoreError):
    """A file of a run is missing, or is not what was written; ``path`` names it. It can be made anew."""

    path = Path()
    what = ""

    @classmethod
    def at(cls, path: Path, what: str) -> DamagedFile:
        """The error for a file, and what is wrong with it."""
        error = cls(
            f"{path} {what}. Run the same command again with --verify: every file is held against what was "
            "written, and what is damaged is made anew."
        )
        error.path, error.what = path, what
        return error


class SettingsConflict(NucbatchError, ValueError):
    """A run's folder was made with other settings; the message shows the difference."""


class RunLocked(NucbatchError, RuntimeError):
    """Another driver works in the same run's folder."""


class MemoryRefused(MemoryError, NucbatchError):
    """Something needs more memory than there is; the message has the numbers.

    The builtin comes first here: the other way round Python refuses ``MemoryRefused.__new__``, and with it
    the copy that Dask makes of an error on its way from a worker.
    """


class SchedulerError(NucbatchError, RuntimeError):
    """A cluster can't be started or reached."""


class FieldFailed(NucbatchError, RuntimeError):
    """A field failed in a run that is to end with the first one that does."""
