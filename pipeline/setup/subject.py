"""What the data are of, in a word: people, animals or objects."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.records.sides import words_of

_PEOPLE = {
    "person", "people", "human", "man", "woman", "child", "pedestrian", "athlete", "player", "walker", "hand", "face",
}  # fmt: skip
_ANIMAL_PARTS = {
    "tail", "paw", "paws", "hoof", "hooves", "beak", "wing", "snout", "withers", "fin", "antenna", "muzzle", "trunk",
}  # fmt: skip
_ANIMALS = {
    "animal", "cat", "dog", "horse", "cow", "sheep", "goat", "pig", "bird", "bear", "elephant", "giraffe", "zebra",
    "mouse", "rat", "monkey", "macaque", "fish", "fly", "deer", "rabbit", "fox", "wolf", "lion", "tiger", "chicken",
}  # fmt: skip
_BODY = {"wrist", "elbow", "shoulder", "hip", "knee", "ankle"}


def subject_of(categories: Sequence[str], keypoints: Sequence[str]) -> str:
    """`people`, `animals` or `objects`: by the categories, else by the parts that the keypoints name."""
    said = {word for name in categories for word in words_of(name)}
    parts = {word for name in keypoints for word in words_of(name)}
    if said & _PEOPLE:
        return "people"
    if said & _ANIMALS or parts & _ANIMAL_PARTS:
        return "animals"
    return "people" if parts & _BODY else "objects"


def title_of(categories: Sequence[str], subject: str) -> str:
    """The report's heading."""
    names = [str(name) for name in categories]
    if not names or (len(names) == 1 and subject == "people" and names[0].lower() in _PEOPLE):
        return "Human keypoints" if subject == "people" else f"Keypoints of {subject}"
    if len(names) > 4:
        return f"Keypoints of {subject}: {', '.join(names[:3])} and {len(names) - 3} more"
    return "Keypoints of " + (", ".join(names[:-1]) + " and " if len(names) > 1 else "") + names[-1]
