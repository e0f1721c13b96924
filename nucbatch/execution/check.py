"""Whether what the ledger says is done is there: asked by workers beside the run, some at a time.

A resumed run begins with what was never done, and looks at what was while the workers are at it, however much
that is. That a field was committed is believed until it is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nucbatch.core.plate import Field
from nucbatch.planning.plan import Plan
from nucbatch.store.folder import RunFolder
from nucbatch.store.receipt import Receipt
from nucbatch.store.stamps import TABLE
from nucbatch.store.verify_files import file_problems, files_of, places_of

TOGETHER = 64
"""Fields in a bundle; a large image goes alone."""


@dataclass(slots=True)
class Looked:
    """What a look at committed fields has found: ``wrong`` by the field's key, how many ``files`` of how many
    ``stored_bytes`` were looked at."""

    wrong: dict[str, str] = field(default_factory=dict)
    files: int = 0
    stored_bytes: int = 0

    def __iadd__(self, other: Looked) -> Looked:
        self.wrong |= other.wrong
        self.files += other.files
        self.stored_bytes += other.stored_bytes
        return self


@dataclass(frozen=True, slots=True)
class CheckTask:
    """A bundle of fields with the receipts that the ledger has of them; ``verify`` has all files read."""

    folder: RunFolder
    is_plate: bool
    committed: tuple[tuple[Field, Receipt], ...]
    verify: bool = False

    @classmethod
    def of(
        cls, plan: Plan, folder: RunFolder, committed: tuple[tuple[Field, Receipt], ...], verify: bool
    ) -> CheckTask:
        """The bundle, as a worker gets it."""
        return cls(folder, plan.plate.is_plate, committed, verify)

    @property
    def key(self) -> str:
        """A name that no other work in the run has."""
        return f"check of {self.committed[0][0].key}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all its fields."""
        return tuple(field.key for field, _ in self.committed)

    def run(self) -> Looked:
        """Holds the fields' files against their receipts."""
        looked = Looked()
        for one, receipt in self.committed:
            places = places_of(self.folder, self.is_plate, one)
            wrong = file_problems(places, receipt, verify=self.verify)
            if wrong:
                name, what = next(iter(wrong.items()))
                more = f" (and {len(wrong) - 1} more files)" if len(wrong) > 1 else ""
                looked.wrong[one.key] = f"{places.path(name).relative_to(self.folder.path)} {what}{more}"
            if self.verify and TABLE not in wrong and (files := files_of(places, receipt)) is not None:
                stamps = dict(files.items())
                looked.files += len(stamps)
                looked.stored_bytes += sum(stamp.size_bytes for stamp in stamps.values())
        return looked
