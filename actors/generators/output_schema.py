"""Replies that have to be JSON of a certain form: judged, and asked for again where they are not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from actors.generators.base import GeneratorError, ModelCalls, Turn
from actors.generators.json_values import NotJsonError, json_value
from actors.generators.seeds import correction_seed
from messages.job import Problem

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_FENCED = re.compile(r"```[^\n`]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_LONGEST_TOLD = 400
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NOT_A_SCHEMA = "expected a JSON Schema"


class SchemaError(ValueError):
    """What was given is no JSON Schema that replies can be judged by. `place` is where inside it."""

    def __init__(self, place: str, message: str, remedy: str = _NOT_A_SCHEMA) -> None:
        super().__init__(f"output_schema{place}: {message} ({remedy})")
        self.place = place
        self.message = message
        self.remedy = remedy


class UnfitReplyError(ValueError):
    """A reply is not the JSON that was asked for. The message, bounded, says where and why."""


class OutputSchema:
    """One JSON Schema, ready to judge replies by. `definition` is the schema itself.

    References lead to places within the schema alone: nothing is fetched.
    """

    def __init__(self, definition: dict[str, Any]) -> None:
        try:
            self.definition: dict[str, Any] = json_value(definition)
        except NotJsonError as error:
            raise SchemaError(error.place, error.message) from error
        self._validator = _validator_of(self.definition)

    def read(self, reply: str) -> Any:
        """Return what a reply decodes to. It may stand in a Markdown code fence.

        Raises:
            UnfitReplyError: it is no JSON, none that a row can hold, or not as the schema wants it.
        """
        text = reply.strip()
        fenced = _FENCED.fullmatch(text)
        try:
            found = json_value(msgspec.json.decode(fenced[1] if fenced is not None else text))
        except NotJsonError as error:
            raise UnfitReplyError(_bounded(f"at ${error.place}: {error.message}")) from error
        except (ValueError, RecursionError) as error:
            raise UnfitReplyError(_bounded(f"it is not JSON: {error}")) from error
        from jsonschema.exceptions import best_match  # noqa: PLC0415 - as where the validator is made

        try:
            unfit = best_match(self._validator.iter_errors(found))
        except Exception as error:  # a schema can make its validation fail, by endless recursion say
            raise UnfitReplyError(f"it cannot be judged: {type(error).__name__}") from error
        if unfit is not None:
            raise UnfitReplyError(_bounded(f"at {unfit.json_path}: {unfit.message}"))
        return found


def compile_output_schema(
    path: str, definition: dict[str, Any] | None, max_corrections: int
) -> OutputSchema | tuple[Problem, ...] | None:
    """Return the schema of the column at `path`, None where it has none, or everything that is wrong."""
    problems = []
    schema = None
    if definition is not None:
        try:
            schema = OutputSchema(definition)
        except SchemaError as error:
            problems.append(Problem(f"{path}.output_schema{error.place}", error.message, error.remedy))
    if max_corrections < 0:
        problems.append(Problem(f"{path}.max_corrections", f"is {max_corrections}", "expected at least 0"))
    return tuple(problems) or schema


async def fitting_reply(
    models: ModelCalls,
    *,
    model: str,
    messages: Sequence[Turn],
    seed: int,
    schema: OutputSchema,
    max_corrections: int,
    parameters: dict[str, Any] | None = None,
) -> Any:
    """Return what the model's reply decodes to, after as many corrections as it takes.

    Each correction is a call of its own, which continues the conversation.

    Raises:
        GeneratorError: `invalid_output`: no reply fits, with what is wrong with the last one.
    """
    conversation = tuple(messages)
    wrong = ""
    for number in range(max_corrections + 1):
        reply = await models.chat(
            model=model,
            messages=conversation,
            seed=correction_seed(seed, number) if number else seed,
            output_schema=schema.definition,
            parameters=parameters,
        )
        try:
            return schema.read(reply)
        except UnfitReplyError as error:
            wrong = str(error)
        conversation = (*conversation, ("assistant", reply), ("user", _correction(wrong, schema)))
    tries = f"{max_corrections + 1} tries" if max_corrections else "1 try"
    raise GeneratorError(
        "invalid_output",
        f"model {model!r} gave no reply that fits its output_schema in {tries}; last, {wrong}",
    )


def _correction(wrong: str, schema: OutputSchema) -> str:
    definition = msgspec.json.encode(schema.definition).decode()
    return (
        f"That reply cannot be used: {wrong}\n"
        "Reply again with JSON only, nothing before it and nothing after it. "
        f"It has to fit this JSON Schema: {definition}"
    )


def _validator_of(definition: dict[str, Any]) -> Validator:
    """Return what judges replies by a schema that has been found to be one."""
    import jsonschema  # noqa: PLC0415 - slow to import, and seldom wanted
    import referencing.jsonschema  # noqa: PLC0415 - as above
    from jsonschema.validators import validator_for  # noqa: PLC0415 - as above

    dialect = definition.get("$schema", _DIALECT)
    try:
        referencing.jsonschema.specification_with(str(dialect))
    except referencing.jsonschema.UnknownDialect as error:
        found = f"names the dialect {dialect!r}, which is not known"
        raise SchemaError("['$schema']", found, f"leave it out, or give {_DIALECT!r}") from error
    kind = validator_for(definition, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(definition)
    except jsonschema.SchemaError as error:
        raise SchemaError(error.json_path.removeprefix("$"), _bounded(error.message)) from error
    for reference in _dangling(definition):
        remedy = "put it under '$defs' and refer to '#/$defs/...'"
        raise SchemaError("", f"refers to {reference!r}, which is not within it", remedy)
    # Without a registry of its own it would fetch what references name from the network.
    validator = kind(definition, registry=referencing.Registry())
    try:
        validator.is_valid(None)
    except RecursionError as error:
        raise SchemaError("", "refers to itself without end", "let it describe a value in between") from error
    return validator


def _dangling(definition: dict[str, Any]) -> Iterator[str]:
    """Yield every reference that leads to no place within the schema."""
    import referencing.jsonschema  # noqa: PLC0415 - as above

    whole = referencing.Resource.from_contents(
        definition, default_specification=referencing.jsonschema.DRAFT202012
    )
    registry: referencing.Registry[Any] = referencing.Registry().with_resource("", whole)
    pending = [(whole, registry.resolver_with_root(whole))]
    while pending:
        resource, resolver = pending.pop()
        contents = resource.contents
        reference = contents.get("$ref") if isinstance(contents, dict) else None
        if reference is not None:
            try:
                resolver.lookup(str(reference))
            except referencing.exceptions.Unresolvable:
                yield str(reference)
        pending += ((each, resolver.in_subresource(each)) for each in resource.subresources())


def _bounded(text: str) -> str:
    """Return `text` without its middle if it is long: its end says what is wrong with its beginning."""
    half = _LONGEST_TOLD // 2
    return text if len(text) <= _LONGEST_TOLD else f"{text[:half]} ... {text[-half:]}"
