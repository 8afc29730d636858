"""A finished map of half metres, with ground that no image knows and corrections."""

import pytest

from runtime.corrections import Corrections


@pytest.fixture
def corrected(town):
    """One false alarm, one of another class, one found right, one un-classified and one drawn;
    [number of the feature, class] of each."""
    with Corrections(town.folder) as corrections:
        by_class = {}
        for each in corrections.buildings():
            by_class.setdefault(each.damage_class, []).append(each.id)
        destroyed = by_class["destroyed"]
        said = [
            (destroyed[0], "not-a-building"),
            (destroyed[1], "no-damage"),
            (destroyed[2], "destroyed"),
            (destroyed[3], "un-classified"),
        ]
        for number, name in said:
            corrections.set(number, name, "Ana Example")
        corrections.add([(130, 10), (136, 10), (136, 16), (130, 16)], "major-damage", "Ana Example")
    return said
