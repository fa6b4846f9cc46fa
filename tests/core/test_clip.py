from __future__ import annotations

from ltx_wizard.core.clip import MediaKind, Source, told_apart


def source(number: int, name: str, folder: str = "") -> Source:
    return Source(
        id=f"s{number}",
        file=f"sources/s{number}.mp4",
        original_name=name,
        original_folder=folder,
        kind=MediaKind.VIDEO,
        width=64,
        height=64,
        fps=25,
        frames=50,
        duration_s=2,
    )


def names(*given: tuple[str, str]) -> list[str]:
    return list(told_apart([source(number, *item) for number, item in enumerate(given)]).values())


def test_a_name_of_its_own_stays_as_it_is() -> None:
    assert names(("a.mp4", "2025/Paris"), ("b.mp4", "2025/Paris")) == ["a.mp4", "b.mp4"]
    assert names() == []


def test_files_of_one_name_are_told_apart_by_the_nearest_folder_that_differs() -> None:
    paris, rome = ("IMG_0001.MOV", "me/2025/Paris"), ("IMG_0001.MOV", "me/2025/Rome")
    assert names(paris, rome, ("b.mov", "me")) == ["Paris/IMG_0001.MOV", "Rome/IMG_0001.MOV", "b.mov"]
    deep = (("clip.mp4", "x/cats/raw"), ("clip.mp4", "x/dogs/raw"))
    assert names(*deep) == ["cats/raw/clip.mp4", "dogs/raw/clip.mp4"]
    assert names(*deep, ("clip.mp4", "x/hen"))[2] == "hen/clip.mp4"


def test_files_of_one_name_of_which_no_folder_is_known_get_a_number() -> None:
    assert names(("a.mp4", ""), ("a.mp4", ""), ("a.mp4", "")) == ["a.mp4", "a.mp4 (2)", "a.mp4 (3)"]
    assert names(("a.mp4", ""), ("a.mp4", "Rome")) == ["a.mp4", "Rome/a.mp4"]
    same = ("a.mp4", "Rome")
    assert len(set(names(same, same, ("a.mp4", "Paris")))) == 3
