"""Two descriptions, and how they differ in words."""

from duplexgen.pipeline.making.differences import differences, listed


def test_values_are_named_by_their_place() -> None:
    there = {"seed": 3, "sources": [{"name": "a", "limit": None}], "timing": {"takes": 1}, "old": True}
    here = {"seed": 3, "sources": [{"name": "a", "limit": 5}, {"name": "b"}], "timing": {"takes": 2}, "new": 1.5}
    assert list(differences(there, here)) == [
        "sources[0].limit (none there, 5 here)",
        "sources[1] (none there, {'name': 'b'} here)",
        "timing.takes (1 there, 2 here)",
        "old (True there, none here)",
        "new (none there, 1.5 here)",
    ]


def test_what_is_equal_is_not_named() -> None:
    assert list(differences({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]})) == []


def test_a_key_without_a_value_is_like_no_key() -> None:
    """A manifest of an older version has no key for an option that is new and unused."""
    assert list(differences({"a": {}, "b": [None]}, {"a": {"new": None}, "b": []})) == []
    assert list(differences({"a": None}, {"a": 0})) == ["a (none there, 0 here)"]


def test_long_values_and_many_differences_are_cut() -> None:
    (found,) = differences({"description": "long " * 20}, {"description": "short"})
    assert found == "description (long long long long long long long long… there, short here)"
    assert listed([str(number) for number in range(9)]) == "0, 1, 2, 3, 4, 5 and 3 more"
