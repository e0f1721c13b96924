"""Numeric kinds: the arithmetic in which a network computes, and how a run chooses one.

Float32 gives the same bytes on every processor. Shorter formats don't: bfloat16 differs between AMX and
AVX-512, and every GPU model rounds in its own way. So a kind names the format and, where it matters, the
hardware: ``fp32``, ``bf16-amx``, ``bf16-avx512``, or ``fp16-``, ``bf16-`` and ``tf32-`` with the model of a
GPU. A run has one kind, which is a part of its settings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nucbatch.core.errors import PrecisionError

Precision = Literal["fp32", "bf16", "fp16"]
"""Number format of the network: float32, bfloat16 (8-bit significand) or float16 (11-bit significand)."""

ASKED = ("auto", "fp32", "bf16", "fp16")
"""What a user can ask for; *auto* is the fastest kind that the model's card allows."""

FLOAT32 = "fp32"
"""The kind that every worker can compute, on its processor."""

LARGEST_DIFFERENCE = 0.002
"""*auto* uses a kind if none of the model's scores differs from that of float32 by more than this."""

_CPU_KINDS = {
    FLOAT32: "float32",
    "bf16-amx": "bfloat16 with AMX",
    "bf16-avx512": "bfloat16 with AVX-512",
}
_ON_GPU = {"fp16": "float16", "bf16": "bfloat16", "tf32": "float32 (multiplied in TF32)"}


@dataclass(frozen=True, slots=True)
class Offer:
    """The kinds that a worker can compute, by precision; an empty ``bf16`` or ``fp16`` is not available.

    >>> Offer.of_cpu(amx=True, avx512=True)
    Offer(fp32='fp32', bf16='bf16-amx', fp16='')
    >>> Offer.of_gpu("NVIDIA H200").kinds
    ('fp32', 'tf32-NVIDIA H200', 'bf16-NVIDIA H200', 'fp16-NVIDIA H200')
    """

    fp32: str = FLOAT32
    bf16: str = ""
    fp16: str = ""

    @classmethod
    def of_cpu(cls, *, amx: bool = False, avx512: bool = False) -> Offer:
        """Describes a processor by its instructions for bfloat16; AMX is used where there are both."""
        return cls(bf16="bf16-amx" if amx else "bf16-avx512" if avx512 else "")

    @classmethod
    def of_gpu(cls, model: str, *, bf16: bool = True) -> Offer:
        """Describes a GPU by its model."""
        return cls(f"tf32-{model}", f"bf16-{model}" if bf16 else "", f"fp16-{model}")

    @classmethod
    def of_kinds(cls, kinds: Iterable[str]) -> Offer:
        """Builds an offer from its kinds, in any order.

        >>> Offer.of_kinds(Offer.of_gpu("NVIDIA H200").kinds) == Offer.of_gpu("NVIDIA H200")
        True
        """
        named = {kind.partition("-")[0]: kind for kind in kinds}
        return cls(named.get("tf32", FLOAT32), named.get("bf16", ""), named.get("fp16", ""))

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds that the worker can compute; one with a GPU also computes float32 on its processor."""
        return tuple(dict.fromkeys(kind for kind in (FLOAT32, self.fp32, self.bf16, self.fp16) if kind))

    def kind_for(self, asked: str) -> str:
        """Returns the worker's kind for a precision, or the kind itself if the worker has it; else empty."""
        by_precision = {"fp32": self.fp32, "bf16": self.bf16, "fp16": self.fp16}
        return by_precision.get(asked, asked if asked in self.kinds else "")

    def fastest(self, differences: Mapping[str, float]) -> str:
        """Returns the fastest kind whose scores are close enough to those of float32."""
        for kind in (self.fp16, self.bf16):
            if kind and differences.get(kind, 1.0) <= LARGEST_DIFFERENCE:
                return kind
        return self.fp32


@dataclass(frozen=True, slots=True)
class Decision:
    """The kind of a run, and a sentence for the user that says which it is and why."""

    kind: str
    sentence: str


def precision_of(kind: str) -> Precision:
    """Returns the number format of a kind.

    >>> precision_of("bf16-amx"), precision_of("tf32-NVIDIA H200")
    ('bf16', 'fp32')
    """
    name = kind.partition("-")[0]
    return "bf16" if name == "bf16" else "fp16" if name == "fp16" else "fp32"


def on_gpu(kind: str) -> str:
    """Returns the model of the GPU that a kind belongs to; empty for a processor.

    >>> on_gpu("fp16-NVIDIA H200"), on_gpu("bf16-amx")
    ('NVIDIA H200', '')
    """
    name, _, model = kind.partition("-")
    return model if kind not in _CPU_KINDS and name in _ON_GPU else ""


def is_kind(text: str) -> bool:
    """Tells whether a text is a kind, as opposed to a precision that a run still has to resolve."""
    return text in _CPU_KINDS or bool(on_gpu(text))


def in_words(kind: str) -> str:
    """Returns a kind, or a precision that is not resolved, in plain words.

    >>> in_words("bf16-avx512"), in_words("fp16-NVIDIA H200")
    ('bfloat16 with AVX-512', 'float16 on NVIDIA H200')
    """
    if model := on_gpu(kind):
        return f"{_ON_GPU[kind.partition('-')[0]]} on {model}"
    return _CPU_KINDS.get(kind) or {"bf16": "bfloat16", "fp16": "float16"}.get(kind, kind)


def keeps(asked: str, kind: str) -> bool:
    """Tells whether what a user asks for fits a run that was begun with some kind.

    >>> keeps("auto", "bf16-amx"), keeps("bf16", "bf16-amx"), keeps("fp32", "bf16-amx")
    (True, True, False)
    """
    return asked in ("auto", kind, precision_of(kind))


def decide(asked: str, offers: Sequence[Offer], differences: Mapping[str, float]) -> Decision:
    """Chooses the kind of a run from the workers that have joined.

    Args:
        asked: "auto", a precision, or a kind.
        offers: what each worker can compute.
        differences: for each kind with scores on the model's card, the largest difference of any of them from
            that of float32.

    Raises:
        PrecisionError: no worker can compute what is asked.
    """
    if asked == "auto":
        return _automatic(offers, differences)
    counts = Counter(kind for offer in offers if (kind := offer.kind_for(asked)))
    if asked == "fp32" and len(counts) > 1:
        return Decision(FLOAT32, f"{_computes(FLOAT32)} on processors, because {_differ(counts)}.")
    if not counts:
        raise PrecisionError(_refusal(asked, offers))
    kind = min(counts, key=lambda one: (-counts[one], one))
    others = len(offers) - counts[kind]
    sentence = f"{_computes(kind)}."
    if others:
        sentence += (
            f" {_workers(others)} can't compute this and {'gets' if others == 1 else 'get'} no work for it."
        )
    return Decision(kind, sentence)


def _automatic(offers: Sequence[Offer], differences: Mapping[str, float]) -> Decision:
    wanted = Counter(offer.fastest(differences) for offer in offers)
    if len(wanted) > 1:
        plain = {offer.fp32 for offer in offers}
        kind = plain.pop() if len(plain) == 1 else FLOAT32
        where = " on processors" if any(on_gpu(one) for one in wanted) else ""
        return Decision(
            kind,
            f"{_computes(kind)}{where}, because {_differ(wanted)}. Use workers of one kind, or name a "
            "--precision, for a faster run.",
        )
    kind = next(iter(wanted), FLOAT32)
    faster = sorted({one for offer in offers for one in (offer.fp16, offer.bf16) if one})
    if precision_of(kind) != "fp32" or not faster:
        return Decision(kind, f"{_computes(kind)}.")
    scored = [one for one in faster if one in differences]
    reasons = [
        f"in {in_words(one)}, the model's scores differ from those in float32 by up to {differences[one]:.4f}"
        for one in scored
    ]
    if len(scored) < len(faster):
        names = " or ".join(in_words(one) for one in faster if one not in differences)
        reasons.append(f"the model's card has no scores for {names}; nucbatch models check measures them")
    return Decision(kind, f"{_computes(kind)}, because {'; '.join(reasons)}.")


def _computes(kind: str) -> str:
    return f"The network computes in {in_words(kind)}"


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count:,} workers"


def _differ(counts: Counter[str]) -> str:
    each = ", ".join(f"{_workers(counts[kind])} for {in_words(kind)}" for kind in sorted(counts))
    return f"the workers differ: {each}"


def _refusal(asked: str, offers: Sequence[Offer]) -> str:
    there = sorted({kind for offer in offers for kind in offer.kinds})
    able = ", ".join(in_words(kind) for kind in there)
    why = {
        "fp16": "float16 is for GPUs",
        "bf16": "bfloat16 needs a GPU, or a processor with instructions for it (avx512_bf16, amx_bf16)",
    }.get(asked, f"none computes {in_words(asked)}")
    return (
        f"--precision {asked} can't be used with these workers: {why}; they compute {able}. Use --precision "
        "auto."
    )
