"""One JSON Schema for the job file and for every message."""

from __future__ import annotations

import msgspec

from actors.cli.schema import schema_document
from messages import codec
from messages.job import Job, ModelConfig, ScriptStep


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_root_is_the_job_file_and_every_message_is_defined():
    document = schema_document()

    assert document["$ref"] == "#/$defs/Job"
    assert set(codec.message_types()) <= document["$defs"].keys()
    assert len(document["$defs"]["Message"]["anyOf"]) == len(codec.message_types())


def test_every_reference_leads_somewhere():
    document = schema_document()

    assert {target.removeprefix("#/$defs/") for target in references(document)} <= document["$defs"].keys()


def test_the_job_file_has_the_fields_that_load_job_takes_and_no_others():
    job = schema_document()["$defs"]["Job"]

    assert job["properties"].keys() == set(Job.__struct_fields__)
    assert job["required"] == ["name"]
    assert job["additionalProperties"] is False


def test_a_function_is_written_as_a_reference():
    parts = schema_document()["$defs"]

    for table, key in (("PythonColumn", "function"), ("Processor", "function"), ("PythonProvider", "client")):
        assert parts[table]["properties"][key]["type"] == "string"


def test_it_says_all_that_a_job_file_may_say_of_providers_and_models():
    parts = schema_document()["$defs"]

    kinds = parts["Job"]["properties"]["providers"]["additionalProperties"]
    assert kinds["discriminator"]["mapping"] == {
        "simulated": "#/$defs/SimulatedProvider",
        "openai": "#/$defs/OpenAIProvider",
        "python": "#/$defs/PythonProvider",
    }
    assert parts["SimulatedProvider"]["properties"]["script"]["items"] == {"$ref": "#/$defs/ScriptStep"}
    assert set(parts["ScriptStep"]["properties"]) == set(ScriptStep.__struct_fields__)
    assert set(parts["ModelConfig"]["properties"]) == set(ModelConfig.__struct_fields__)
    assert set(parts["RequestAdmissionTuning"]["properties"]["algorithm"]["enum"]) == {
        "aimd",
        "fixed",
        "gradient",
    }
    assert set(parts["Job"]["properties"]["on_provider_exhausted"]["enum"]) == {"wait", "stop"}
    for name in ("ScriptStep", "OpenAIProvider", "ModelConfig", "RequestAdmissionTuning"):
        assert parts[name]["additionalProperties"] is False
        assert parts[name]["description"]


def test_the_document_is_plain_json_and_the_same_every_time():
    assert msgspec.json.encode(schema_document()) == msgspec.json.encode(schema_document())
