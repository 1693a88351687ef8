"""What the server says of itself in OpenAPI 3.1, for tools that read it: documentation, fuzzers, gateways.

The schemas of headers are those by which messages are read (:mod:`privaudit.wire.messages`).
"""

from __future__ import annotations

from typing import Any, Final

from pydantic.json_schema import models_json_schema

from privaudit.wire.messages import BINARY_TYPE, LENGTH_HEADER, Answer, Request

REFUSALS: Final = {
    400: "the message is not what the protocol says, or not what the network takes",
    404: "there is no such model here",
    408: "the body came too slowly",
    411: "nobody said how long the body is",
    413: "the body is too long",
    415: "the body is compressed",
    429: "the server is busy; come again after the seconds in Retry-After",
    500: "the server could not compute this",
}
"""Statuses of an inference that is not answered, and what each means."""


def description(name: str, version: str) -> dict[str, Any]:
    """The OpenAPI description of a server.

    Args:
        name: of its model.
        version: of the model.
    """
    _, definitions = models_json_schema(
        [(Request, "validation"), (Answer, "serialization")], ref_template="#/components/schemas/{model}"
    )
    error = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    schemas = {**definitions["$defs"], "Error": error}
    model = [_parameter("name", [name])]
    paths: dict[str, Any] = {
        "/v2": {"get": _asked("metadata of the server", ["name", "version", "extensions"])},
        "/v2/health/live": {"get": _asked("whether the process answers", ["live"])},
        "/v2/health/ready": {"get": _asked("whether it can compute", ["ready"], 503)},
        "/metrics": {"get": _plain("counts and seconds, as Prometheus reads them")},
    }
    for path, given in (
        ("/v2/models/{name}", model),
        ("/v2/models/{name}/versions/{version}", [*model, _parameter("version", [version])]),
    ):
        told = _asked("metadata of the model", ["name", "versions", "platform", "inputs", "outputs"], 404)
        paths[path] = {"parameters": given, "get": told}
        ready = _asked("whether the model can be asked", ["ready"], 404, 503)
        paths[f"{path}/ready"] = {"parameters": given, "get": ready}
        paths[f"{path}/infer"] = {"parameters": given, "post": _inference()}
    info = {"title": "Open Inference Protocol v2, one segmentation network", "version": "2"}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _parameter(name: str, allowed: list[str]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": allowed}}


def _content(schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    return {"content": {kind: {"schema": schema}}}


def _refused(*statuses: int) -> dict[str, Any]:
    error = _content({"$ref": "#/components/schemas/Error"})
    return {str(status): {"description": REFUSALS[status], **error} for status in statuses}


def _asked(what: str, fields: list[str], *otherwise: int) -> dict[str, Any]:
    """A page of JSON; 503 where it is not ready, in the same words."""
    schema = {"type": "object", "required": fields}
    answers: dict[str, Any] = {"200": {"description": what, **_content(schema)}}
    if 503 in otherwise:
        answers["503"] = {"description": "not yet", **_content(schema)}
    return {"summary": what, "responses": answers | _refused(*(status for status in otherwise if status != 503))}


def _plain(what: str) -> dict[str, Any]:
    return {"summary": what, "responses": {"200": {"description": what, **_content({"type": "string"}, "text/plain")}}}


def _inference() -> dict[str, Any]:
    """Patches in, maps out; tensors in the JSON, or as bytes behind it."""
    behind = {"type": "string", "contentMediaType": BINARY_TYPE}
    length = {"type": "integer", "minimum": 0}
    where = "how many bytes of the body are its JSON header; the tensors' bytes lie behind it. Without: all is JSON"
    both = {
        "application/json": {"schema": {"$ref": "#/components/schemas/Request"}},
        BINARY_TYPE: {"schema": behind},
    }
    answer = {
        "application/json": {"schema": {"$ref": "#/components/schemas/Answer"}},
        BINARY_TYPE: {"schema": behind},
    }
    return {
        "summary": "segment patches",
        "parameters": [{"name": LENGTH_HEADER, "in": "header", "schema": length, "description": where}],
        "requestBody": {"required": True, "content": both},
        "responses": {"200": {"description": "maps of probabilities", "content": answer}, **_refused(*REFUSALS)},
    }
