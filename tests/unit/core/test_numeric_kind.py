"""The numeric kind of a run, chosen from workers that are described here."""

import pytest

from nucbatch.core.errors import PrecisionError
from nucbatch.core.numeric_kind import Offer, decide, in_words, is_kind, keeps, on_gpu, precision_of

PLAIN, AVX512, AMX = Offer.of_cpu(), Offer.of_cpu(avx512=True), Offer.of_cpu(amx=True, avx512=True)
H200, A100, T4 = (
    Offer.of_gpu("NVIDIA H200"),
    Offer.of_gpu("NVIDIA A100"),
    Offer.of_gpu("Tesla T4", bf16=False),
)
SCORED = {"fp32": 0.0, "bf16-amx": 0.001, "bf16-avx512": 0.002, "fp16-NVIDIA H200": 0.0004}


@pytest.mark.parametrize(
    ("asked", "offers", "kind"),
    [
        ("auto", [PLAIN, PLAIN], "fp32"),
        ("auto", [AVX512, AVX512], "bf16-avx512"),
        ("auto", [AMX], "bf16-amx"),
        ("auto", [H200], "fp16-NVIDIA H200"),
        ("auto", [A100, A100], "tf32-NVIDIA A100"),  # no scores: float32 of that GPU
        ("auto", [AMX, AVX512], "fp32"),
        ("auto", [AMX, PLAIN], "fp32"),
        ("auto", [H200, AMX], "fp32"),
        ("auto", [H200, A100], "fp32"),
        ("fp32", [AMX, AVX512, PLAIN], "fp32"),
        ("fp32", [H200, H200], "tf32-NVIDIA H200"),
        ("fp32", [H200, AMX], "fp32"),
        ("bf16", [AMX, AVX512, AVX512], "bf16-avx512"),
        ("bf16", [AVX512, AMX], "bf16-amx"),  # as many of both: the same whatever the order
        ("bf16", [PLAIN, PLAIN, AMX], "bf16-amx"),
        ("fp16", [AMX, H200], "fp16-NVIDIA H200"),
        ("bf16-avx512", [AMX, AVX512], "bf16-avx512"),
    ],
)
def test_the_kind_follows_from_the_workers(asked: str, offers: list[Offer], kind: str) -> None:
    assert decide(asked, offers, SCORED).kind == kind
    assert decide(asked, offers[::-1], SCORED).kind == kind


def test_auto_is_float32_without_scores_and_where_they_differ_by_more_than_0_002() -> None:
    assert decide("auto", [AMX], {}).kind == "fp32"
    assert "no scores for bfloat16 with AMX; nucbatch models check" in decide("auto", [AMX], {}).sentence
    far = decide("auto", [AMX], {"fp32": 0.0, "bf16-amx": 0.0021})
    assert far.kind == "fp32"
    assert "differ from those in float32 by up to 0.0021" in far.sentence


def test_the_sentence_says_what_is_chosen_and_that_workers_differ() -> None:
    assert decide("auto", [AMX], SCORED).sentence == "The network computes in bfloat16 with AMX."
    mixed = decide("auto", [AMX, AVX512, AVX512], SCORED).sentence
    assert "float32, because the workers differ: 1 worker for bfloat16 with AMX, 2 workers for" in mixed
    left = decide("bf16", [AMX, AMX, PLAIN], SCORED).sentence
    assert left.endswith("1 worker can't compute this and gets no work for it.")


@pytest.mark.parametrize(
    ("asked", "offers"), [("fp16", [AMX]), ("bf16", [PLAIN, T4]), ("bf16-amx", [AVX512])]
)
def test_what_no_worker_can_compute_is_refused(asked: str, offers: list[Offer]) -> None:
    with pytest.raises(PrecisionError, match=f"--precision {asked} can't be used.*they compute .*float32"):
        decide(asked, offers, SCORED)


@pytest.mark.parametrize("offer", [PLAIN, AVX512, AMX, H200, T4])
def test_an_offer_survives_the_way_through_its_kinds(offer: Offer) -> None:
    assert Offer.of_kinds(reversed(offer.kinds)) == offer
    assert all(is_kind(kind) and in_words(kind) for kind in offer.kinds)


def test_a_run_keeps_its_kind_unless_another_precision_is_asked() -> None:
    assert all(keeps(asked, "bf16-amx") for asked in ("auto", "bf16", "bf16-amx"))
    assert not any(keeps(asked, "bf16-amx") for asked in ("fp32", "fp16", "bf16-avx512"))
    assert keeps("fp32", "tf32-NVIDIA H200")
    assert (precision_of("auto"), on_gpu("bf16-amx"), is_kind("bf16")) == ("fp32", "", False)
