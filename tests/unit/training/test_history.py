from pathlib import Path

from nucbatch.training.history import best_of, draw_history, read_history, write_history

RECORDS = [
    {"step": 3, "epoch": 1, "loss": 0.5, "dice": 0.4, "val_dice": 0.3},
    {"step": 6, "epoch": 2, "loss": 0.25, "dice": 0.5, "val_dice": 0.7},
    {"step": 9, "epoch": 3, "loss": 0.125, "dice": 0.6, "val_dice": 0.7},
]


def test_a_history_reads_back_up_to_a_step(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    assert read_history(path, 9) == []
    write_history(path, RECORDS)
    assert read_history(path, 8) == RECORDS[:2]
    first = path.read_bytes()
    write_history(path, read_history(path, 9))
    assert path.read_bytes() == first


def test_the_best_line_is_the_first_of_equals() -> None:
    assert best_of(RECORDS, "val_dice") == 1
    assert best_of(RECORDS, "val_object_f1") is None
    assert best_of([], "val_dice") is None


def test_curves_are_drawn_with_and_without_a_validation_split(tmp_path: Path) -> None:
    for records in (RECORDS, [{"step": 3, "loss": 0.5, "dice": 0.4}]):
        draw_history(tmp_path / "history.png", records)
        assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")


def test_the_line_before_the_first_step_has_no_loss_and_is_never_the_best(tmp_path: Path) -> None:
    records = [{"step": 0, "epoch": 0, "val_dice": 0.9}, *RECORDS]
    write_history(tmp_path / "history.csv", records)
    assert read_history(tmp_path / "history.csv", 9) == records
    assert (tmp_path / "history.csv").read_text().splitlines()[1] == "0,0,,,0.9"
    assert best_of(records, "val_dice") == 2
    draw_history(tmp_path / "history.png", records)
    draw_history(tmp_path / "history.png", records[:1])


def test_a_loss_beyond_all_numbers_is_drawn_too(tmp_path: Path) -> None:
    draw_history(tmp_path / "history.png", [{**record, "val_loss": float("inf")} for record in RECORDS])
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
