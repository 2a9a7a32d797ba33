"""fastup.footage.recipe: what a text means, and what it says where it means nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastup._resample import FILTERS
from fastup.errors import OptionError
from fastup.footage.recipe import LIMITS, TAPE, VHS, Recipe, strengths_of

NONE = dict.fromkeys(TAPE, (0.0, 0.0))


@pytest.mark.parametrize(
    ("text", "filter", "tape"),
    [
        ("downscale", "lanczos", {}),
        ("filter=bicubic", "bicubic", {}),
        ("downscale, filter = area", "area", {}),
        ("tape", "lanczos", {name: (value, value) for name, value in TAPE.items()}),
        ("VHS,filter=bicubic", "bicubic", {name: (value, value) for name, value in VHS.items()}),
        ("softness=0.3:0.8,noise=0:0.01", "lanczos", {"softness": (0.3, 0.8), "noise": (0, 0.01)}),
        ("tape,noise=0", "lanczos", {name: (v * (name != "noise"),) * 2 for name, v in TAPE.items()}),
    ],
)
def test_what_a_text_means(text, filter, tape):
    assert Recipe.parse(text) == Recipe(filter, NONE | tape)


def test_the_words_are_told_again():
    for text in ("downscale", "tape", "vhs", "filter=area", "vhs,filter=bicubic", "softness=0.3:0.8,noise=0:0.01"):
        assert str(Recipe.parse(text)) == text


strengths = st.fixed_dictionaries(
    {name: st.lists(st.floats(0, most), min_size=2, max_size=2).map(sorted).map(tuple) for name, most in LIMITS.items()}
)


@given(st.sampled_from(FILTERS), strengths)
def test_what_is_told_means_the_same(filter, tape):
    recipe = Recipe(filter, tape)
    assert Recipe.parse(str(recipe)) == recipe


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("betamax", "degrade is 'betamax', expected downscale, tape, vhs, or parts such as softness="),
        ("", "degrade is '', expected downscale"),
        ("tape,sharp=1", "degrade: found 'sharp=1', expected one of filter, softness, peaking, noise, chroma"),
        ("tape,vhs", "degrade: found 'vhs', expected one of filter"),
        ("softness=much", "degrade: softness is 'much', expected a number, or two: LOW:HIGH"),
        ("softness=1:2:3", "softness is '1:2:3', expected a number, or two"),
        ("softness=0.8:0.3", "degrade: softness: found 0.8 to 0.3, expected the least first"),
        ("noise=2", "degrade: noise: found 2.0, expected 0 to 1"),
        ("noise=nan", "degrade: noise: found nan, expected 0 to 1"),
        ("filter=nearest", "degrade: filter: found 'nearest', expected one of lanczos, area, bicubic"),
        ("noise=0,noise=1", "degrade: noise is given twice"),
    ],
)
def test_a_text_that_means_nothing(text, words):
    with pytest.raises(OptionError) as error:
        Recipe.parse(text)
    assert words in str(error.value)


def test_a_strength_that_there_is_not():
    with pytest.raises(OptionError, match=r"^sharpness: no such strength, expected one of softness"):
        strengths_of({"sharpness": 1})
