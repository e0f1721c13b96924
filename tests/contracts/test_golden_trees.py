"""Each golden tree opens without options, as expected, and no part of it moves a plane to another well."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from golden import GoldenTree, all_trees, summary
from hypothesis import given, settings
from hypothesis import strategies as st

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.core.plate import FileStatus, Plate

TREES = {tree.name: tree for tree in all_trees()}
SEEN = {tree.expected.layout for tree in TREES.values() if tree.source != "quoted"}
UNTRIED = {tree.expected.layout for tree in TREES.values()} - SEEN


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of each tree, written once, and the path that a user gives, relative to it."""
    folders: dict[str, tuple[Path, Path]] = {}

    def of(tree: GoldenTree) -> tuple[Path, Path]:
        if tree.name not in folders:
            folder = tmp_path_factory.mktemp("golden") / "plate"
            folder.mkdir()
            folders[tree.name] = folder, tree.build(folder).relative_to(folder)
        return folders[tree.name]

    return of


def places(plate: Plate) -> dict[str, str]:
    return {record.path: record.well for record in plate.files if record.status is FileStatus.USED}


@pytest.mark.parametrize("name", TREES)
def test_a_golden_tree_is_read_as_expected(name, built):
    folder, given_path = built(TREES[name])
    assert summary(TREES[name].open(folder, folder / given_path)) == TREES[name].expected


@pytest.mark.parametrize("name", [name for name in TREES if TREES[name].expected.layout in UNTRIED])
def test_a_layout_that_was_never_tried_says_so(name, built):
    folder, given_path = built(TREES[name])
    remarks = TREES[name].open(folder, folder / given_path).remarks
    assert any("not tried on a real plate" in remark for remark in remarks)


@pytest.mark.parametrize("name", TREES)
def test_a_part_of_a_tree_keeps_every_plane_in_its_well(name, built):
    tree = TREES[name]
    folder, given_path = built(tree)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    whole = places(tree.open(folder, folder / given_path))

    parts = st.sets(st.sampled_from(files), min_size=1)

    @settings(max_examples=25, deadline=None)
    @given(parts | parts.map(lambda lost: set(files) - lost))
    def check(kept):
        with TemporaryDirectory() as scratch:
            part = Path(scratch, folder.name)
            for path in kept:
                (part / path).parent.mkdir(parents=True, exist_ok=True)
                os.link(folder / path, part / path)
            try:
                seen = places(tree.open(part, part / given_path))
            except (InputError, InputNotFound):  # refused, never guessed
                return
            assert {path: well for path, well in seen.items() if whole.get(path, well) != well} == {}

    check()
