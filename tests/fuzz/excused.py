"""Every finding that is not held against the gateway, and why. Nothing else is left out of any check."""

from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import JsonSchemaError, RejectedPositiveData

# Refusals of well-formed requests that a schema cannot foresee: (operationId, problem code) → why. Any other refusal
# of such a request counts; 401, 403, 404, 409 and 429 are expected of any operation.
REFUSALS = {
    ("list_products", "out-of-area"): "the served area is a setting; the schema knows the globe",
    ("create_quote", "out-of-area"): "the served area is a setting; the schema knows the globe",
    ("list_rides", "invalid-cursor"): "a cursor is opaque: only what an answer gave is one",
    ("sign_in", "otp-expired"): "whether a challenge is still open is known to the server alone",
    ("follow_ride", "malformed"): "which events a ride has had is known to the server alone",
    ("request_ride", "quote-expired"): "time passes",
    ("request_ride", "product"): "which products a quote has is known from the quote",
    ("request_ride", "idempotency-key-reused"): "a key belongs to the request that it came with first",
    ("cancel_ride", "precondition-failed"): "If-Match is there to be refused when the ride has moved on",
}

# The document describes the stream as OpenAPI 3.1 can: text. The tool holds each decoded event against that schema,
# which only OpenAPI 3.2 (`itemSchema`) can describe. The check `event_stream` of hooks.py judges events instead.
STREAM = ("follow_ride", "SSE event violates schema", "OpenAPI 3.1 cannot describe single events; event_stream does")

# Operations that need not have been answered with 2xx in a run: label → why.
WITHOUT_SUCCESS = {}


def reason(operation_id: str, failure: Failure, code: str | None) -> str | None:
    """Why this failure is excused; `None` when it is not."""
    if isinstance(failure, RejectedPositiveData):
        return REFUSALS.get((operation_id, code))
    if isinstance(failure, JsonSchemaError) and (operation_id, failure.title) == STREAM[:2]:
        return STREAM[2]
    return None
