"""From plain data to the Structs of a job, piece by piece, so that every mistake is found at once.

It knows types, not meaning: whether a number is sensible or a name exists is decided when the job is
planned. Decoding in one go would stop at the first mistake and could not name the table it is in.
What cannot be read is left out or replaced by something neutral, so that the rest can be planned.
"""

from __future__ import annotations

import functools
from typing import Any, Final

import msgspec.inspect as shapes

from messages.hints import nearest, possible
from messages.job import Problem
from messages.metadata import SchedulingMetadataError

_SCALARS: dict[type[shapes.Type], tuple[type, str]] = {
    shapes.StrType: (str, "text"),
    shapes.IntType: (int, "a whole number"),
    shapes.BoolType: (bool, "true or false"),
}

_FOUND: dict[type, str] = {
    str: "text",
    bool: "a truth value",
    int: "a whole number",
    float: "a number",
    list: "a list",
    tuple: "a list",
    dict: "a table",
    type(None): "null",
}


class _Missing:
    """The type of `BAD`: a value that could not be read and has no stand-in; its problems are noted."""


BAD: Final = _Missing()


@functools.cache
def shape_of(annotation: Any) -> shapes.Type:
    """Return msgspec's description of a type."""
    return shapes.type_info(annotation)


_RESTS_ON = {
    "invalid_kind": ("kind",),
    "invalid_identity": ("kind", "identity"),
    "invalid_weight": ("weight",),
}


class StructureReader:
    """Reads plain data into a described type, and collects every problem on the way.

    `problems` is what was found so far, in the order of the data. `unsure` are the places at which what
    was read may differ from what was meant: a stand-in, or a key that may be there under a wrong name
    (`table.*`: entries of a table that may be).
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.unsure: set[str] = set()

    def read(self, shape: shapes.Type, value: Any, path: str) -> Any:
        """Return `value` as what `shape` describes; `BAD` where nothing of it could be read."""
        match shape:
            case shapes.AnyType():
                return value
            case shapes.UnionType():
                return self._union(shape, value, path)
            case shapes.StructType():
                return self._tagged((shape,), value, path) if shape.tag else self._struct(shape, value, path)
            case shapes.DictType():
                return self._table(shape, value, path)
            case shapes.VarTupleType():
                return self._list(shape, value, path)
            case shapes.LiteralType():
                if value in shape.values and isinstance(value, str):
                    return value
                return self._refuse(path, f"is {_shown(value)}", possible(str(value), map(str, shape.values)))
            case shapes.FloatType():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    return float(value)
                return self._mismatch(path, value, "a number")
            case _:
                return self._scalar(shape, value, path)

    def _scalar(self, shape: shapes.Type, value: Any, path: str) -> Any:
        expected, name = _SCALARS[type(shape)]
        if isinstance(value, expected) and (expected is bool or not isinstance(value, bool)):
            return value
        return self._mismatch(path, value, name)

    def _union(self, shape: shapes.UnionType, value: Any, path: str) -> Any:
        options = [option for option in shape.types if not isinstance(option, shapes.NoneType)]
        if value is None and len(options) < len(shape.types):
            return None
        tagged = tuple(option for option in options if isinstance(option, shapes.StructType) and option.tag)
        if tagged:
            return self._tagged(tagged, value, path)
        # Text or anything is a reference or, in memory, what it refers to: by now it is a reference.
        return self.read(options[0], value, path)

    def _tagged(self, options: tuple[shapes.StructType, ...], value: Any, path: str) -> Any:
        """Read a table whose `kind` says which of `options` it is."""
        if not isinstance(value, dict):
            return self._mismatch(path, value, "a table")
        by_kind = {str(option.tag): option for option in options}
        field = str(options[0].tag_field)
        place = _joined(path, field)
        if field not in value:
            self.unsure.add(place)
            return self._refuse(place, "is missing", possible("", by_kind))
        kind = value[field]
        if not isinstance(kind, str) or kind not in by_kind:
            self.unsure.add(place)
            return self._refuse(place, f"is {_shown(kind)}", possible(str(kind), by_kind))
        body = {key: entry for key, entry in value.items() if key != field}
        return self._struct(by_kind[kind], body, path, also=(field,))

    def _struct(self, shape: shapes.StructType, value: Any, path: str, also: tuple[str, ...] = ()) -> Any:
        if not isinstance(value, dict):
            return self._mismatch(path, value, "a table")
        fields = {field.encode_name: field for field in shape.fields}
        for key in value:
            if key not in fields:
                self._unknown(shape, value, path, str(key), also)
        found: dict[str, Any] = {}
        for key, field in fields.items():
            place = _joined(path, key)
            if key in value:
                read = self.read(field.type, value[key], place)
                if read is not BAD:
                    found[field.name] = read
                    continue
                self.unsure.add(place)
            elif field.required:
                self._refuse(place, "is missing", f"expected {_described(field.type)}")
            if field.required:
                found[field.name] = self._stand_in(field.type, place)
        return self._made(shape, found, path)

    def _made(self, shape: shapes.StructType, found: dict[str, Any], path: str) -> Any:
        try:
            return shape.cls(**found)
        except SchedulingMetadataError as error:
            if not any(_joined(path, field) in self.unsure for field in _RESTS_ON[error.code]):
                self._refuse(path, error.message, "")
            return BAD

    def _unknown(
        self, shape: shapes.StructType, value: dict[str, Any], path: str, key: str, also: tuple[str, ...]
    ) -> None:
        """Refuse a key, and note for which known one it may have been meant."""
        fields = {field.encode_name: field for field in shape.fields}
        self._refuse(_joined(path, key), "is not a known key", possible(key, (*also, *fields)))
        meant = nearest(key, (*also, *fields))
        if meant in fields and meant not in value:
            self.unsure.add(_joined(path, meant))
        elif meant in fields and isinstance(fields[meant].type, shapes.DictType):
            self.unsure.add(f"{_joined(path, meant)}.*")

    def _table(self, shape: shapes.DictType, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            return self._mismatch(path, value, "a table")
        found: dict[str, Any] = {}
        for key, entry in value.items():
            if not isinstance(key, str):
                self._mismatch(f"{path}.{key!r}", key, "text as a name")
                continue
            place = _joined(path, key)
            read = self.read(shape.value_type, entry, place)
            # The entry's name stands even where nothing of the entry does.
            found[key] = self._stand_in(shape.value_type, place) if read is BAD else read
        return found

    def _list(self, shape: shapes.VarTupleType, value: Any, path: str) -> Any:
        if not isinstance(value, list | tuple):
            return self._mismatch(path, value, "a list")
        items: list[Any] = []
        for index, entry in enumerate(value):
            place = f"{path}[{index}]"
            read = self.read(shape.item_type, entry, place)
            if read is not BAD:
                items.append(read)
            elif isinstance(shape.item_type, shapes.StrType):
                self.unsure.add(path)
            else:
                items.append(self._stand_in(shape.item_type, place))
        return tuple(items)

    def _stand_in(self, shape: shapes.Type, path: str) -> Any:
        """Return the most neutral value of a type, for what could not be read at `path`."""
        match shape:
            case shapes.UnionType():
                structs = [option for option in shape.types if isinstance(option, shapes.StructType)]
                least = min(structs, key=_required, default=shape.types[0])
                return self._stand_in(least, path)
            case shapes.StructType():
                required = [field for field in shape.fields if field.required]
                self.unsure.update(_joined(path, f.encode_name) for f in shape.fields if not f.required)
                return shape.cls(
                    **{f.name: self._stand_in(f.type, _joined(path, f.encode_name)) for f in required}
                )
            case shapes.VarTupleType():
                made: Any = ()
            case shapes.IntType() | shapes.FloatType():
                made = 1
            case _:
                made = ""
        self.unsure.add(path)
        return made

    def _mismatch(self, path: str, value: Any, expected: str) -> _Missing:
        return self._refuse(path, f"found {_shown(value)}", f"expected {expected}")

    def _refuse(self, path: str, message: str, remedy: str) -> _Missing:
        self.problems.append(Problem(path, message, remedy))
        return BAD


def _required(shape: shapes.StructType) -> int:
    return sum(field.required for field in shape.fields)


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _described(shape: shapes.Type) -> str:
    match shape:
        case shapes.UnionType():
            return _described(shape.types[0])
        case shapes.VarTupleType():
            return "a list"
        case shapes.DictType() | shapes.StructType():
            return "a table"
        case shapes.LiteralType():
            return " or ".join(map(repr, shape.values))
        case shapes.FloatType():
            return "a number"
        case _:
            return _SCALARS[type(shape)][1] if type(shape) in _SCALARS else "a value"


def _shown(value: Any) -> str:
    """Return what kind of thing `value` is, and the value itself where it is short."""
    kind = _FOUND.get(type(value), f"a {type(value).__name__}")
    if isinstance(value, str | int | float):
        text = repr(value)
        return f"{kind} {text if len(text) <= 60 else text[:57] + '...'}"
    return kind
