"""The label images of a run, as one side of a comparison."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.labels.label_files import read_label_image, stem_of
from nucbatch.labels.label_image import LabelImage, one_picture
from nucbatch.labels.run_images import RunImages
from nucbatch.labels.zarr_pairs import recorded_channel
from nucbatch.readers.names import safe_name
from nucbatch.store import stored_images as run_images
from nucbatch.store.run_folder import RunFolder


def of_run(folder: RunFolder) -> list[LabelImage]:
    """The label images of a run in a folder, or of one in a store whose tables were fetched.

    Raises:
        InputNotFound: the run has not ended. InputError: it has no masks.
    """
    if not folder.fields.is_file():
        raise InputNotFound(f"{folder.fields} does not exist: the run has not ended. Finish it first.")
    import pandas as pd  # not at the top, because a run, which imports this module, starts without it

    columns = ["Metadata_Plate", "Metadata_Well", "Name", "Metadata_Image", "Status"]
    fields = pd.read_parquet(folder.fields, columns=columns).astype(str)
    done = fields[fields["Status"] == "done"]
    if done.empty:
        raise InputError(
            f"{folder.path} is a run in which no image was segmented: there is nothing to score."
        )
    in_zarr = folder.has_zarr
    if not in_zarr and not folder.label_tiff(str(done["Name"].iloc[0])).parent.is_dir():
        raise InputError(
            f"{folder.path} is a run without masks of its own. With --in-place they are in the images of its "
            "input: give that OME-Zarr."
        )
    images, shown, files = [], RunImages(folder), _channel_files(folder)
    places = done["Metadata_Plate"] + " " + done["Metadata_Well"]
    alone = ~places.duplicated(keep=False) & (done["Metadata_Well"] != "")
    for row, only in zip(done.to_dict("records"), alone, strict=True):
        name, group = row["Name"], row["Metadata_Image"]
        own = name.removeprefix(f"{safe_name(row['Metadata_Plate'])}_")
        # Where a kind of name is missing, the field's own takes its place.
        names = (name, group, own, files.get(group, name), row["Metadata_Well"] if only else name)
        if in_zarr:
            place = run_images.labels_of(folder, group)
            read = partial(run_images.read_labels, folder, group)
            images.append(LabelImage(names, place, read, partial(_run_image, shown, group, folder.path)))
        else:
            tiff = folder.label_tiff(name)
            images.append(LabelImage(names, tiff, partial(read_label_image, tiff)))
    return images


def _channel_files(folder: RunFolder) -> dict[str, str]:
    """The stem of the file with the segmented channel of each image of a run; of several z-steps the first.

    Images whose channels are in one file have that file's.
    """
    if not folder.files.is_file():
        return {}
    import pandas as pd

    columns = ["path", "status", "channel", "image"]
    files = pd.read_csv(folder.files, dtype=str, keep_default_na=False, usecols=columns)
    channel = recorded_channel(folder.path)
    mine = files[(files["image"] != "") & (files["status"] == "used")]
    chosen = mine[mine["channel"] == channel] if (mine["channel"] == channel).any() else mine
    first = chosen.drop_duplicates("image")
    return {image: stem_of(Path(path)) for image, path in zip(first["image"], first["path"], strict=True)}


def _run_image(images: RunImages, group: str, run: Path) -> NDArray[Any]:
    """The channel that a run segmented, or its three colours."""
    return one_picture(images.read(group), images.channels(group), recorded_channel(run))
