"""Columns of a job, compiled: what the worker runs. Knows no actor, no admission, no provider."""

from actors.generators.base import (
    BlockingModelCalls,
    Generator,
    GeneratorError,
    GeneratorErrorKind,
    Mode,
    ModelCalls,
    Turn,
)
from actors.generators.compile import compile_generator, declared_columns, declared_outputs
from actors.generators.functions import FunctionTable
from actors.generators.processor import compile_processor

__all__ = [
    "BlockingModelCalls",
    "FunctionTable",
    "Generator",
    "GeneratorError",
    "GeneratorErrorKind",
    "Mode",
    "ModelCalls",
    "Turn",
    "compile_generator",
    "compile_processor",
    "declared_columns",
    "declared_outputs",
]
