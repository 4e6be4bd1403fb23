"""Which encoder an input gets, and what is said when that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from trainwright.foundation.errors import RecipeError
from trainwright.models.defaults import (
    DEFAULT_ENCODERS,
    GroupSpec,
    resolve_encoder,
    resolve_encoders,
    resolve_settings,
)
from trainwright.recipe.recipe import ModelSettings


def settings(**values: Any) -> ModelSettings:
    return ModelSettings.model_validate(values)


GROUPS = [GroupSpec("table", "table", {}), GroupSpec("body", "text", {}), GroupSpec("photo", "image", {})]


@pytest.mark.parametrize(("modality", "name"), DEFAULT_ENCODERS.items())
def test_defaults(modality: str, name: str) -> None:
    assert resolve_encoder(modality, settings(), "x").name == name


def test_the_inputs_own_word_comes_first_then_the_models_where_it_fits() -> None:
    chosen = resolve_encoders(GROUPS, settings(name="transformer", encoders={"photo": "vit"}))
    assert {name: choice.name for name, choice in chosen.items()} == {
        "table": DEFAULT_ENCODERS["table"],
        "body": "transformer",
        "photo": "vit",
    }


def test_size_and_dropout_are_defaults_for_options() -> None:
    small = resolve_encoder("text", settings(name="lstm"), "body").options
    base = resolve_encoder("text", settings(name="lstm", size="base"), "body").options
    assert base.hidden > small.hidden
    given = settings(name="lstm", dropout=0.4, encoders={"body": {"hidden": 7}})
    options = resolve_encoder("text", given, "body").options
    assert (options.hidden, options.width, options.dropout) == (7, small.width, 0.4)
    own = settings(dropout=0.4, encoders={"body": {"name": "gru", "dropout": 0.2}})
    assert resolve_encoder("text", own, "body").options.dropout == 0.2


@pytest.mark.parametrize("name", ["auto", "cnn", "transformer", "mlp"])
def test_resolved_settings_say_everything_and_stay_as_they_are(name: str) -> None:
    resolved = resolve_settings(GROUPS, settings(name=name, size="base", dropout=0.3))
    again = resolve_settings(GROUPS, ModelSettings.model_validate_json(resolved.model_dump_json()))
    assert again == ModelSettings.model_validate_json(resolved.model_dump_json())
    for group in GROUPS:
        first, second = (
            resolve_encoders(GROUPS, s)[group.name]
            for s in (settings(name=name, size="base", dropout=0.3), resolved)
        )
        assert first == second


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"name": "resnt"}, "model.name: there is no encoder called 'resnt'; did you mean 'resnet'"),
        (
            {"encoders": {"photo": "tabmm"}},
            "model.encoders.photo: there is no encoder called 'tabmm'; did you mean 'tabm'",
        ),
        (
            {"encoders": {"body": "resnet"}},
            "model.encoders.body: the encoder 'resnet' does not take text; ",
        ),
        ({"encoders": {"foto": "vit"}}, "model.encoders: there is no input 'foto'; did you mean 'photo'"),
        ({"name": "tcn", "encoders": {}}, None),
        (
            {"encoders": {"photo": {"name": "vit", "dept": 3}}},
            "model.encoders.photo: the option 'dept' of 'vit' is unknown; did you mean 'depth'",
        ),
        (
            {"encoders": {"photo": {"name": "mlp", "number_width": 3}}},
            "model.encoders.photo: the option 'number_width' of 'mlp' has no effect on image; ",
        ),
        (
            {"encoders": {"photo": {"name": "vit", "depth": 0}}},
            "model.encoders.photo: the option 'depth' of 'vit' cannot be 0; input should be greater than",
        ),
        (
            {"checkpoint": "some/thing"},
            "model.checkpoint: a checkpoint is named, and no input has the encoder",
        ),
    ],
)
def test_wrong_words_are_answered(given: dict[str, Any], sentence: str | None) -> None:
    if sentence is None:
        assert resolve_encoders(GROUPS, settings(**given))
        return
    with pytest.raises(RecipeError) as caught:
        resolve_encoders(GROUPS, settings(**given))
    assert str(caught.value).startswith(sentence)


def test_a_name_that_fits_no_input_is_an_error() -> None:
    with pytest.raises(
        RecipeError, match="'vit' takes image, and the inputs are table; choose one of: ft_transformer"
    ):
        resolve_encoders(GROUPS[:1], settings(name="vit"))
