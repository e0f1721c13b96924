"""Check tasks: workers verify that the files of committed fields are still on disk, several fields per task.

A resumed run starts with the fields that were never done, and verifies the committed ones on the workers in
between. Until then a committed field counts as done.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nucbatch.core.plate import Field
from nucbatch.planning.plan import Plan
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stamps import TABLE, Stamps
from nucbatch.store.verify_files import file_problems, files_of, places_of

TOGETHER = 64
"""Fields per check task; a large image has a task of its own."""


@dataclass(slots=True)
class CheckResult:
    """The result of checks.

    ``wrong``: the problem, by field key. ``files``, ``stored_bytes``: number and total size of the files
    that were read and compared with their checksums.
    """

    wrong: dict[str, str] = field(default_factory=dict)
    files: int = 0
    stored_bytes: int = 0

    def __iadd__(self, other: CheckResult) -> CheckResult:
        self.wrong |= other.wrong
        self.files += other.files
        self.stored_bytes += other.stored_bytes
        return self


@dataclass(frozen=True, slots=True)
class CheckTask:
    """Checks committed fields against their receipts.

    ``verify``: read every file and compare its checksum; otherwise compare sizes and times only.
    ``tables_alone``: the other files are in a store, where they were looked for.
    """

    folder: RunFolder
    is_plate: bool
    committed: tuple[tuple[Field, Receipt], ...]
    verify: bool = False
    tables_alone: bool = False

    @classmethod
    def of(
        cls,
        plan: Plan,
        folder: RunFolder,
        committed: tuple[tuple[Field, Receipt], ...],
        verify: bool,
        tables_alone: bool = False,
    ) -> CheckTask:
        """Builds the task for committed fields of a plan."""
        return cls(folder, plan.plate.is_plate, committed, verify, tables_alone)

    @property
    def key(self) -> str:
        """The task's unique name in the run."""
        return f"check of {next(iter(self.keys), 'no field')}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the fields to check."""
        return tuple(field.key for field, _ in self.committed)

    def run(self) -> CheckResult:
        """Compares the fields' files with their receipts."""
        result = CheckResult()
        for one, receipt in self.committed:
            places = places_of(self.folder, self.is_plate, one)
            if self.tables_alone:
                table = Stamps.of({TABLE: receipt.files.stamp(TABLE)})
                wrong = places.problems(table, receipt.committed_ns, verify=self.verify)
            else:
                wrong = file_problems(places, receipt, verify=self.verify)
            if wrong:
                name, what = next(iter(wrong.items()))
                more = f" (and {len(wrong) - 1} more files)" if len(wrong) > 1 else ""
                result.wrong[one.key] = f"{self.folder.shown(places.path(name))} {what}{more}"
            if self.tables_alone:
                continue
            if self.verify and TABLE not in wrong and (files := files_of(places, receipt)) is not None:
                stamps = dict(files.items())
                result.files += len(stamps)
                result.stored_bytes += sum(stamp.size_bytes for stamp in stamps.values())
        return result
