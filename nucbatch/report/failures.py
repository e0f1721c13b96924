"""The panel of failures: failed and flagged fields, quarantined and ignored files, with reasons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from markupsafe import Markup

from nucbatch.features.quality import meaning
from nucbatch.report.file_groups import MOST_PATHS, FileGroup
from nucbatch.report.panel import Panel, fill
from nucbatch.report.run_data import RunData

SHOWN = MOST_PATHS  # warnings, failed fields, and names of flagged fields


def render(data: RunData) -> Markup:
    """The files' balance, the warnings of the run, then failed fields and files by reason."""
    groups = {
        status: [group for group in data.files if group.status == status]
        for status in ("used", "ignored", "quarantined")
    }
    balance = {status: sum(group.count for group in some) for status, some in groups.items()}
    failed = [
        {
            "place": _place(row),
            "name": str(row["Name"]),
            "reason": str(row["Reason"]) or "no reason was recorded",
        }
        for _, row in data.failed.head(SHOWN).iterrows()
    ]
    return fill(
        "failures.html",
        warnings=list(data.warnings.items())[:SHOWN],
        warnings_total=len(data.warnings),
        found=sum(group.count for group in data.files),
        balance=balance,
        failed=failed,
        failed_total=len(data.failed),
        flagged=_flagged(data),
        incomplete_images=_by_reason([group for group in groups["used"] if group.reason], rules=False),
        quarantined=_by_reason(groups["quarantined"], rules=False),
        ignored=_by_reason(groups["ignored"], rules=True),
    )


def _flagged(data: RunData) -> list[dict[str, Any]]:
    """The flags with their fields: name, meaning, number, and the first names."""
    names: dict[str, list[str]] = {}
    for name, flags in data.flagged[["Name", "Flags"]].itertuples(index=False, name=None):
        for flag in str(flags).split("; "):
            names.setdefault(flag, []).append(str(name))
    return [
        {"rule": flag, "reason": meaning(flag), "count": len(fields), "paths": fields[:SHOWN]}
        for flag, fields in names.items()
    ]


def _by_reason(groups: Iterable[FileGroup], *, rules: bool) -> list[dict[str, Any]]:
    """Files of one status by reason, most frequent first: reason, number, and the first paths.

    With ``rules``, reasons begin with a rule's name and a colon, which are separated.
    """
    shown = []
    for group in groups:
        rule, colon, sentence = group.reason.partition(": ") if rules else ("", "", "")
        shown.append(
            {
                "rule": rule if colon else "",
                "reason": sentence if colon else group.reason or "no reason was recorded",
                "count": group.count,
                "paths": group.paths,
            }
        )
    return sorted(shown, key=lambda one: (-int(one["count"]), str(one["reason"])))


def _place(row: pd.Series[Any]) -> str:
    well = str(row["Metadata_Well"])
    time = f", time point {row['Metadata_Time']}" if row["Metadata_Time"] else ""
    return f"{well}, site {row['Metadata_Site']}{time}" if well else ""


panel = Panel("Failures", 40, render)
