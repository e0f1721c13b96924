"""The panel of failures: failed and flagged fields, quarantined and ignored files, with reasons."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from nucbatch.features.quality import meaning
from nucbatch.report.panel import Panel, fill
from nucbatch.report.run_data import RunData

SHOWN = 200  # warnings, and paths listed per reason; a plate can have a hundred thousand thumbnails


def render(data: RunData) -> Markup:
    """The files' balance, the warnings of the run, then failed fields and files by reason."""
    files = data.files
    balance = {
        status: int((files["status"] == status).sum()) for status in ("used", "ignored", "quarantined")
    }
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
        found=len(files),
        balance=balance,
        failed=failed,
        failed_total=len(data.failed),
        flagged=_flagged(data),
        incomplete_images=_by_reason(
            files[(files["status"] == "used") & (files["reason"] != "")], rules=False
        ),
        quarantined=_by_reason(files[files["status"] == "quarantined"], rules=False),
        ignored=_by_reason(files[files["status"] == "ignored"], rules=True),
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


def _by_reason(files: pd.DataFrame, *, rules: bool) -> list[dict[str, Any]]:
    """Files grouped by reason, most frequent first: reason, number, and the first paths.

    With ``rules``, reasons begin with a rule's name and a colon, which are separated.
    """
    groups = []
    for reason, group in files.groupby("reason", sort=False):
        rule, colon, sentence = str(reason).partition(": ") if rules else ("", "", "")
        groups.append(
            {
                "rule": rule if colon else "",
                "reason": sentence if colon else str(reason) or "no reason was recorded",
                "count": len(group),
                "paths": sorted(group["path"].astype(str))[:SHOWN],
            }
        )
    return sorted(groups, key=lambda group: (-int(group["count"]), str(group["reason"])))


def _place(row: pd.Series[Any]) -> str:
    well = str(row["Metadata_Well"])
    time = f", time point {row['Metadata_Time']}" if row["Metadata_Time"] else ""
    return f"{well}, site {row['Metadata_Site']}{time}" if well else ""


panel = Panel("Failures", 40, render)
