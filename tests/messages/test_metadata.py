"""What a generator may declare about itself for scheduling."""

from __future__ import annotations

import pytest

from messages import SchedulingMetadata, SchedulingMetadataError


def test_the_default_is_local_work_of_weight_one():
    assert SchedulingMetadata() == SchedulingMetadata("local", ("default",), 1)


@pytest.mark.parametrize(
    ("kind", "identity", "weight", "code"),
    [
        ("remote", ("x",), 1, "invalid_kind"),
        ("local", ("a", "b"), 1, "invalid_identity"),
        ("local", ("",), 1, "invalid_identity"),
        ("model", ("sim", "m"), 1, "invalid_identity"),
        ("custom_model", ("a", "b", 3), 1, "invalid_identity"),
        ("local", ("default",), 0, "invalid_weight"),
    ],
)
def test_metadata_that_cannot_be_used_says_which_part(kind, identity, weight, code):
    with pytest.raises(SchedulingMetadataError) as refused:
        SchedulingMetadata(kind, identity, weight)
    assert refused.value.code == code
    assert refused.value.fallback is None


@pytest.mark.parametrize("kind", ["model", "custom_model"])
def test_the_kinds_of_models_have_three_parts(kind):
    assert SchedulingMetadata(kind, ("a", "b", "c"), 5).weight == 5
