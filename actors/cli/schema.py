"""`leasehold schema`: one JSON Schema for the job file and for every message."""

from __future__ import annotations

from typing import Any

from messages import codec

_FUNCTION = {
    "type": "string",
    "pattern": "^[^:]+:.+$",
    "description": "`module:function`, a module beside the job file or an importable one.",
}
_CLIENT = {
    "type": "string",
    "pattern": "^[^:]+:.+$",
    "description": "`module:Class`, a module beside the job file or an importable one.",
}
_BASE_DIR = "Where relative paths and modules are looked up, relative to the job file; default, its folder."


def schema_document() -> dict[str, Any]:
    """Return the schema: a job file matches its root, any message `#/$defs/Message`.

    Every message stands under `$defs` by its type, the job file as `Job`.
    """
    definitions = codec.json_schema()
    # In memory a function may be a callable; in a file, and wherever messages travel, it is a reference.
    definitions["PythonColumn"]["properties"]["function"] = _FUNCTION
    definitions["Processor"]["properties"]["function"] = _FUNCTION
    definitions["PythonProvider"]["properties"]["client"] = _CLIENT
    definitions["Job"]["properties"]["base_dir"]["description"] = _BASE_DIR
    definitions["Message"] = {
        "description": "Any message that crosses an actor boundary.",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in codec.message_types()],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Leasehold: a job file, and the messages of its actors",
        "$ref": "#/$defs/Job",
        "$defs": dict(sorted(definitions.items())),
    }
