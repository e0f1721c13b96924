"""How many pieces of work share a task."""

from nucbatch.execution.bundling import MOST_TOGETHER, Bundling


def noted(*seconds: float) -> Bundling:
    bundling = Bundling(room=4)
    for one in seconds:
        bundling.note(one)
    return bundling


def test_before_the_first_result_each_piece_is_a_task() -> None:
    assert Bundling(room=4).size(waiting=10**6) == 1


def test_a_task_gets_about_two_seconds_of_work_and_a_slow_first_piece_does_not_count_for_long() -> None:
    assert noted(0.5).size(10**6) == 4
    assert noted(7.0, 0.25, 0.25, 0.25).size(10**6) == 8
    assert noted(3.0).size(10**6) == 1


def test_pieces_that_take_no_time_are_not_put_together_without_end() -> None:
    assert noted(0.0).size(10**6) == noted(1e-6).size(10**6) == MOST_TOGETHER


def test_tasks_get_smaller_towards_the_end() -> None:
    sizes, waiting, bundling = [], 200, noted(0.1)
    while waiting:
        sizes.append(min(bundling.size(waiting), waiting))
        waiting -= sizes[-1]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == MOST_TOGETHER
    assert sizes[-4:] == [1] * 4
