"""What schemathesis is told of the service beyond its contract; SCHEMATHESIS_HOOKS names this module."""

from typing import Any

import schemathesis
from schemathesis.hooks import HookContext

UPLOAD = {"upload_id": "$response.header.Location#regex:/uploads/([^/]+)"}
KINDS = ["started", "stage", "point", "waiting", "progress", "end", "deleted"]
# The contract has a stream of events as a string. Each of its events is looked at here, which says more.
EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {"event": {"enum": KINDS}, "data": {"type": "string"}},
}


@schemathesis.hook
def before_load_schema(context: HookContext, raw_schema: dict[str, Any]) -> None:
    """Links from an upload that is begun to what can be done with it: no expression of OpenAPI's takes a Location apart."""
    paths = raw_schema["paths"]
    begun = paths["/uploads"]["post"]["responses"]["201"]
    begun["links"] = {
        operation: {"operationId": operation, "parameters": UPLOAD | more}
        for operation, more in {
            "look_at_upload": {},
            "continue_upload": {"header.upload-offset": "0"},
            "delete_upload": {},
        }.items()
    }
    stream = paths["/jobs/{job_id}/events"]["get"]["responses"]["200"]
    stream["content"]["text/event-stream"]["schema"] = EVENT


@schemathesis.serializer("application/offset+octet-stream")
def piece(context: Any, value: Any) -> bytes:
    """A piece of a file is what it is."""
    return value.data if hasattr(value, "data") else str(value).encode()


@schemathesis.hook
def filter_case(context: HookContext, case: Any) -> bool:
    """A header more is no violation: whoever does not know it passes it by (RFC 9110, section 5.1)."""
    return "x-schemathesis-unknown-property" not in (case.headers or {})
