"""Twenty images chosen as ``nucbatch suggest`` does, against twenty at random, as data for fine-tuning.

    python -m benchmarks.bench_suggest FOLDER DATA [DATA …] [--ways suggest,random] [--draws 5] [--rare 12]

A small network is trained on one half of the fluorescence images of the first DATA alone. It then meets a
mixed collection: the other half, and all histology, brightfield and other labs' images of the train splits.
With ``--rare`` each data set has at most that many images of a kind that is no fluorescence, as on a plate
where most fields are of the known kind. Twenty of them are chosen, the network is fine-tuned on these, and
the val splits judge it. All images are grey. FOLDER keeps what was made, so that a second call goes on;
several calls with different ``--ways`` may work at once.

Ways: ``suggest``; ``random`` (``--draws`` sets); ``squared``, as suggest with the square of doubt;
``doubt``, the most doubtful ones; ``looks``, the most different ones, without doubt. Each way but random is
trained with as many seeds as ``--seeds`` says.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from nucbatch.core.settings import RunSettings
from nucbatch.inference.normalise import find_constants
from nucbatch.inference.predict import forward, grid_of, prepared
from nucbatch.inference.scale import Scale
from nucbatch.inference.segment import fitted_maps
from nucbatch.networks.checkpoint import load_weights, read_card
from nucbatch.review.appearance import appearance
from nucbatch.review.choose import choose
from nucbatch.review.doubt import doubt_of
from nucbatch.review.reviewed_run import FieldMaps
from nucbatch.scoring.detection import object_counts
from nucbatch.training.data import find_data
from nucbatch.training.initial_weights import adapt_to_weights
from nucbatch.training.loop import train
from nucbatch.training.recipe import preset

NUMBER, BASE_STEPS, STEPS, RATE = 20, 700, 300, 2e-3
RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--ways", default="suggest,random")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rare", type=int, help="most images of each rare kind in the collection")
    parser.add_argument("--table", action="store_true", help="show what is there, and train nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.folder
    prepare(folder, arguments.data, arguments.rare)
    start = folder / "base_model" / "weights.safetensors"
    if not start.is_file():
        recipe = preset("small").model_copy(
            update={"width": 8, "steps": BASE_STEPS, "crop_px": 96, "score_every": 100_000}
        )
        train(find_data(folder / "base"), folder / "base_model", recipe, workers=0)
    pool = looked_at(folder, start)
    error = [1 - row["f1"] for row in pool]
    print(f"{len(pool)} images; rank correlation of doubt and 1 - object F1: "
          f"{spearmanr([row['doubt'] for row in pool], error)[0]:.2f}")  # fmt: skip
    for way in () if arguments.table else arguments.ways.split(","):
        for seed in range(arguments.draws if way == "random" else arguments.seeds):
            finetuned(folder, start, pool, way, seed)
    report(folder, pool)


def prepare(folder: Path, data: list[Path], rare: int | None) -> None:
    """Writes the grey images in three folders: base, pool and judge; and the kinds of images as CSV."""
    if (folder / "judge.csv").is_file():
        return
    kinds: dict[str, list[tuple[str, str]]] = {"base": [], "pool": [], "judge": []}
    splits: list[tuple[str, str, str]] = []
    for place, one in enumerate(data):
        for entry in find_data(one).entries:
            even = int(hashlib.sha256(entry.group.encode()).hexdigest(), 16) % 2 == 0
            if entry.split == "test":
                continue
            known = place == 0 and entry.modality == "fluorescence" and even
            part = "judge" if entry.split == "val" else "base" if known else "pool"
            pixels = entry.source.read()
            grey = pixels.image
            if grey.ndim == 3:
                grey = np.rint(grey.mean(axis=-1)).astype(grey.dtype)
            images = {"images": grey, "labels": pixels.labels}
            if pixels.ignore is not None:
                images["ignore"] = pixels.ignore.astype(np.uint8)
            for kind, image in images.items():
                (folder / part / kind).mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(folder / part / kind / f"{entry.name}.tif", image)
            kinds[part].append((entry.name, f"{one.name} {entry.modality}"))
            if part == "base":
                splits.append((entry.name, "train", entry.group))
    kinds["pool"] = thinned(kinds["pool"], rare)
    held = sorted({group for *_, group in splits})[::25][:4]
    rows = [(name, "val" if group in held else split, group) for name, split, group in splits]
    write_csv(folder / "base" / "split.csv", [("id", "split", "group"), *rows])
    for part, found in kinds.items():
        write_csv(folder / f"{part}.csv", [("id", "kind"), *found])


def thinned(images: list[tuple[str, str]], rare: int | None) -> list[tuple[str, str]]:
    """Keeps at most ``rare`` images of each kind but fluorescence, chosen by the hash of their names."""
    if rare is None:
        return images
    by_hash = sorted(images, key=lambda one: hashlib.sha256(one[0].encode()).hexdigest())
    met: Counter[str] = Counter()
    kept = set()
    for name, kind in by_hash:
        met[kind] += 1
        if "fluorescence" in kind or met[kind] <= rare:
            kept.add(name)
    return [one for one in images if one[0] in kept]


def looked_at(folder: Path, weights: Path) -> list[dict[str, Any]]:
    """The images of the pool as the network sees them: doubt, looks, and object F1 by the truth."""
    path = folder / "pool.json"
    if not path.is_file():
        path.write_text(json.dumps(judged(folder, "pool", weights, looks=True)))
    return list(json.loads(path.read_text()))


def judged(folder: Path, part: str, weights: Path, *, looks: bool = False) -> list[dict[str, Any]]:
    """Counts of matched, false and missed nuclei of each image."""
    network, card = load_weights(weights)
    ready, grid = prepared(network), grid_of(network)
    settings = RunSettings(normalise=card.normalise, objects=card.objects, diameter_px="none")
    scale, rows = Scale.of(card, settings), []
    for name, kind in kinds_of(folder, part):
        image, labels = (
            tifffile.imread(folder / part / what / f"{name}.tif") for what in ("images", "labels")
        )
        constants = find_constants(image, card.normalise)

        def predict(tile: NDArray[np.float32]) -> NDArray[np.uint8]:
            return forward(ready, tile[np.newaxis])[0]

        maps, fitted = fitted_maps(image, constants, grid, predict, scale)
        found = FieldMaps(maps, fitted, colour=False)
        here = found.labels(settings, card.objects.foreground, card.objects.peak)
        counts = object_counts(labels, here)
        row = {"id": name, "kind": kind, "counts": [counts.tp[0], counts.fp[0], counts.fn[0]]}
        if looks:
            row |= {"f1": counts.f1(0.5), "doubt": doubt_of(found, card.objects)}
            row["looks"] = appearance(image, constants, here).tolist()
        rows.append(row)
    return rows


def chosen(pool: list[dict[str, Any]], way: str, seed: int) -> list[int]:
    """Places of the images that a way chooses."""
    doubt = np.array([row["doubt"] for row in pool])
    looks = np.array([row["looks"] for row in pool])
    if way == "random":
        return np.random.default_rng(seed).permutation(len(pool))[:NUMBER].tolist()
    if way == "doubt":
        return np.argsort(-doubt, kind="stable")[:NUMBER].tolist()
    weights = {"suggest": doubt, "squared": doubt**2}.get(way, np.ones(len(pool)))
    return choose(looks, weights, NUMBER)[0]


def finetuned(folder: Path, start: Path, pool: list[dict[str, Any]], way: str, seed: int) -> None:
    """Fine-tunes on the images that a way chooses, and keeps the judges' counts; not twice."""
    result = folder / "results" / f"{way}-{seed}.json"
    if result.is_file():
        return
    places = chosen(pool, way, seed)
    data = folder / "sets" / f"{way}-{seed}"
    for what in ("images", "labels", "ignore"):
        (data / what).mkdir(parents=True, exist_ok=True)
        for place in places:
            source = folder / "pool" / what / f"{pool[place]['id']}.tif"
            target = data / what / source.name
            if source.is_file() and not target.exists():
                target.symlink_to(source.resolve())
    write_csv(data / "split.csv", [("id", "split"), *((pool[place]["id"], "train") for place in places)])
    recipe = adapt_to_weights(preset("finetune"), read_card(start)).model_copy(
        update={"steps": STEPS, "learning_rate": RATE, "crop_px": 96, "seed": seed, "score_every": 100_000}
    )
    weights = train(find_data(data), folder / "models" / f"{way}-{seed}", recipe, start=start, workers=0)
    result.parent.mkdir(exist_ok=True)
    result.write_text(json.dumps(judged(folder, "judge", weights)))
    print(f"{way} {seed}: {pooled_f1(json.loads(result.read_text())):.4f}", flush=True)


def report(folder: Path, pool: list[dict[str, Any]]) -> None:
    """Prints object F1 of each way, by kind of image, and its difference from random with its interval."""
    results: dict[str, list[list[dict[str, Any]]]] = {}
    for path in sorted((folder / "results").glob("*.json")):
        results.setdefault(path.stem.rpartition("-")[0], []).append(json.loads(path.read_text()))
    kinds = sorted({row["kind"] for runs in results.values() for row in runs[0]})
    table = Table(title=f"object F1 at 0.5 after fine-tuning on {NUMBER} images")
    for column in ("way", "trainings", "all", "less random", "mean of images", "less random", *kinds):
        table.add_column(column)
    for way, runs in results.items():
        cells = []
        for single in (False, True):
            scores = [mean_f1(rows) if single else pooled_f1(rows) for rows in runs]
            spread = f" ± {np.std(scores, ddof=1):.3f}" if len(scores) > 1 else ""
            against = results.get("random") if way != "random" else None
            cells += [
                f"{np.mean(scores):.3f}{spread}",
                difference(runs, against, single=single) if against else "",
            ]
        by_kind = [
            f"{np.mean([pooled_f1([row for row in rows if row['kind'] == kind]) for rows in runs]):.3f}"
            for kind in kinds
        ]
        table.add_row(way, str(len(runs)), *cells, *by_kind)
    Console(width=200).print(table)
    for way in results:
        kinds_chosen = Counter(pool[place]["kind"] for place in chosen(pool, way, 0))
        print(f"{way} 0 chose " + ", ".join(f"{count} {kind}" for kind, count in kinds_chosen.most_common()))


def difference(first: list[list[dict[str, Any]]], second: list[list[dict[str, Any]]], *, single: bool) -> str:
    """Mean F1 of one way less that of another, with a 95 % interval: images and trainings are drawn again.

    Args:
        first: counts of each image, by training.
        second: likewise.
        single: mean of the images' own F1 instead of that of all nuclei.
    """
    rng = np.random.default_rng(0)
    one, other = (np.array([[row["counts"] for row in rows] for rows in runs]) for runs in (first, second))
    images = one.shape[1]
    drawn = []
    for _ in range(RESAMPLES):
        weights = rng.multinomial(images, np.full(images, 1 / images))
        means = []
        for counts in (one, other):
            runs = rng.integers(len(counts), size=len(counts))
            if single:
                means.append(np.mean(f1_of(counts[runs]) @ weights / images))
            else:
                means.append(np.mean(f1_of(np.einsum("rik,i->rk", counts[runs], weights))))
        drawn.append(means[0] - means[1])
    low, high = np.quantile(drawn, [0.025, 0.975])
    score = mean_f1 if single else pooled_f1
    value = np.mean([score(rows) for rows in first]) - np.mean([score(rows) for rows in second])
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def f1_of(counts: NDArray[Any]) -> NDArray[np.float64]:
    """F1 (…) of matched, false and missed nuclei (…, 3)."""
    matched, false, missed = np.moveaxis(counts, -1, 0)
    return np.asarray(2 * matched / np.maximum(2 * matched + false + missed, 1))


def pooled_f1(rows: list[dict[str, Any]]) -> float:
    return float(f1_of(np.sum([row["counts"] for row in rows], axis=0)))


def mean_f1(rows: list[dict[str, Any]]) -> float:
    return float(f1_of(np.array([row["counts"] for row in rows])).mean())


def kinds_of(folder: Path, part: str) -> list[tuple[str, str]]:
    with (folder / f"{part}.csv").open(newline="") as stream:
        return [(row["id"], row["kind"]) for row in csv.DictReader(stream)]


def write_csv(path: Path, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


if __name__ == "__main__":
    main()
