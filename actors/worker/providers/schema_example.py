"""A JSON value that fits a JSON Schema: what a model that always obeys would have answered. Pure.

It knows the usual keywords: `type`, `properties`, `required`, `enum`, `const`, `items`, `prefixItems`,
`minItems`, `maxItems`, `minLength`, `maxLength`, `minimum`, `maximum` and their exclusive forms,
`multipleOf`, `anyOf` and `oneOf` (the first), `allOf`, and `$ref` within the schema. What it does not know it
leaves out of account.
"""

from __future__ import annotations

import math
import random
from typing import Any

_WORDS = ("ice", "wind", "pebble", "promise", "sea", "storm", "morning", "neighbour", "shore", "silence")
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
_OPTIONAL_DEPTH = 6
"""How deep what is not required is still made: a schema that holds itself comes to an end there."""
_MOST_DEPTH = 64


def fitting(schema: Any, rng: random.Random) -> Any:
    """Return a value that fits `schema`; equal schemas and states of `rng` give equal values.

    Raises:
        ValueError: the schema can have no finite value that this finds, or refers to what is not there.
    """
    return _Maker(schema, rng).make(schema, 0)


class _Maker:
    """One value on its way. `root` is what references are looked up in."""

    def __init__(self, root: Any, rng: random.Random) -> None:
        self._root = root
        self._rng = rng

    def make(self, schema: Any, depth: int) -> Any:
        if depth > _MOST_DEPTH:
            raise ValueError("the JSON Schema requires a value that never ends")
        if not isinstance(schema, dict):  # true: anything at all
            return self._text({})
        schema = self._merged(schema, 0)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._rng.choice(schema["enum"])
        return self._of_type(_type_of(schema), schema, depth)

    def _of_type(self, name: str, schema: dict[str, Any], depth: int) -> Any:
        match name:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._text(schema)
            case "integer":
                return self._integer(schema)
            case "number":
                return self._number(schema)
            case "boolean":
                return self._rng.random() < 0.5
            case _:
                return None

    def _merged(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Return a schema with its reference, its first choice and all its parts written out."""
        if depth > _MOST_DEPTH:
            raise ValueError("the JSON Schema refers to itself and to nothing else")
        rest = {key: value for key, value in schema.items() if key not in {"$ref", "anyOf", "oneOf", "allOf"}}
        parts = [self._referred(schema["$ref"])] if "$ref" in schema else []
        parts += [schema[key][0] for key in ("anyOf", "oneOf") if schema.get(key)]
        parts += schema.get("allOf", [])
        for part in parts:
            if isinstance(part, dict):
                rest = _joined(rest, self._merged(part, depth + 1))
        return rest

    def _referred(self, reference: str) -> Any:
        found = self._root
        if not reference.startswith("#"):
            raise ValueError(f"the JSON Schema refers to {reference!r}, which is outside it")
        for part in filter(None, reference[1:].split("/")):
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                raise ValueError(f"the JSON Schema refers to {reference!r}, which it does not have")
            found = found[name]
        return found

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties", {}), schema.get("required", ())
        wanted = properties if depth < _OPTIONAL_DEPTH else [name for name in properties if name in required]
        made = {name: self.make(properties[name], depth + 1) for name in wanted}
        for name in required:
            if name not in made:
                made[name] = self.make(schema.get("additionalProperties", True), depth + 1)
        return made

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        leading = schema.get("prefixItems", [])
        wanted = max(least, len(leading) if depth < _OPTIONAL_DEPTH else 0)
        if depth < _OPTIONAL_DEPTH and schema.get("items", True) is not False:
            wanted = max(wanted, min(most, least + self._rng.randrange(3)))
        shapes = [*leading, *[schema.get("items", True)] * max(0, wanted - len(leading))]
        return [self.make(shape, depth + 1) for shape in shapes[:wanted]]

    def _text(self, schema: dict[str, Any]) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        text = " ".join(self._rng.choice(_WORDS) for _ in range(1 + self._rng.randrange(3)))
        while len(text) < least:
            text += f" {self._rng.choice(_WORDS)}"
        return text[: int(most)] if len(text) > most else text

    def _integer(self, schema: dict[str, Any]) -> int:
        least, most = _bounds(schema, 1.0)
        step = schema.get("multipleOf", 1)
        low, high = math.ceil(least / step), math.floor(most / step)
        return int(self._rng.randint(low, max(low, high)) * step)

    def _number(self, schema: dict[str, Any]) -> float:
        if "multipleOf" in schema:
            least, most = _bounds(schema, schema["multipleOf"])
            low, high = math.ceil(least / schema["multipleOf"]), math.floor(most / schema["multipleOf"])
            return float(self._rng.randint(low, max(low, high)) * schema["multipleOf"])
        least, most = _bounds(schema, 0.0)
        found = round(least + (most - least) * self._rng.random(), 3)
        inside = least < found < most
        return found if inside or least == most == found else least + (most - least) / 2


def _type_of(schema: dict[str, Any]) -> str:
    named = schema.get("type")
    if isinstance(named, list):
        named = next((each for each in named if each in _TYPES), None)
    if named is not None:
        return str(named)
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    return "number" if "minimum" in schema or "maximum" in schema else "string"


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return one schema that asks for what both do; where both name the same thing the first has it."""
    joined = {**second, **first}
    if "properties" in first and "properties" in second:
        joined["properties"] = {**second["properties"], **first["properties"]}
    if "required" in first and "required" in second:
        joined["required"] = [*first["required"], *second["required"]]
    return joined


def _bounds(schema: dict[str, Any], inside: float) -> tuple[float, float]:
    """Return the least and the greatest number; an exclusive bound is passed by `inside`."""
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if above is not None:
        least = above + inside if least is None else max(least, above + inside)
    if below is not None:
        most = below - inside if most is None else min(most, below - inside)
    if least is None:
        least = 0.0 if most is None or most >= 0 else most - 100.0
    if most is None:
        most = least + 100.0
    return least, most
