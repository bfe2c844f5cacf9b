"""What a column's generator declares about itself, statically, for scheduling."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SchedulingKind = Literal["local", "model", "custom_model"]

_IDENTITY_SHAPES: dict[str, tuple[str, ...]] = {
    "local": ("resource_name",),
    "model": ("provider", "model_id", "generation_kind"),
    "custom_model": ("namespace", "resource_name", "version"),
}


class SchedulingMetadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Kind, identity and weight of the resource that a generator's work is about.

    `identity` holds the parts that follow the kind: `("default",)` for `local`,
    `(provider, model_id, generation_kind)` for `model`, `(namespace, resource_name, version)` for
    `custom_model`. Work of one identity shares one fair-queue group per column; `weight` (at least 1)
    is that group's share against the others.

    Raises:
        SchedulingMetadataError: the identity does not have the kind's parts, or the weight is below 1.
    """

    kind: SchedulingKind = "local"
    identity: tuple[str, ...] = ("default",)
    weight: int = 1

    def __post_init__(self) -> None:
        """Check the combination of fields, which the field types alone cannot."""
        shape = _IDENTITY_SHAPES.get(self.kind)
        if shape is None:
            raise SchedulingMetadataError(
                code="invalid_kind",
                message=f"scheduling kind {self.kind!r} is not one of {', '.join(_IDENTITY_SHAPES)}",
            )
        if len(self.identity) != len(shape) or not all(
            isinstance(part, str) and part for part in self.identity
        ):
            raise SchedulingMetadataError(
                code="invalid_identity",
                message=(
                    f"identity of kind {self.kind!r} is {self.identity!r}; "
                    f"expected non-empty text for ({', '.join(shape)})"
                ),
            )
        if self.weight < 1:
            raise SchedulingMetadataError(
                code="invalid_weight", message=f"scheduling weight is {self.weight}; expected at least 1"
            )


class SchedulingMetadataError(ValueError):
    """Metadata that cannot be used as declared.

    With a `fallback`, resolution goes on with it and the problem is reported; without one it is fatal
    before anything is scheduled.
    """

    def __init__(
        self,
        *,
        code: Literal["invalid_kind", "invalid_identity", "invalid_weight"],
        message: str,
        fallback: SchedulingMetadata | None = None,
        diagnostics: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fallback = fallback
        self.diagnostics = diagnostics or {}
