"""What schemathesis loads for a fuzz run of the gateway: sign-ins, real ids, two checks of our own, a tally.

Reads FUZZ_URL, FUZZ_SEED and FUZZ_TALLY (the file to leave the tally in) from the environment.
"""

import atexit
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import jsonschema_rs  # noqa: E402
import schemathesis  # noqa: E402
from schemathesis.generation.meta import CoverageScenario, coverage_scenario  # noqa: E402

import excused  # noqa: E402
from plans import Casting  # noqa: E402
from tally import Tally  # noqa: E402
from world import World  # noqa: E402

world = World(os.environ["FUZZ_URL"], int(os.environ["FUZZ_SEED"]))
tally = Tally()
# Cases that carry a token (it was not left out on purpose), and those that ask for what is somebody else's.
seated, somebody_elses = set(), set()


def operation_id(case):
    return case.operation.definition.raw["operationId"]


@schemathesis.auth(refresh_interval=None)
class SignedIn:
    """Whoever the case is cast with; until then, nobody in particular."""

    def get(self, case, context):
        return world.scene("nothing").passenger.access if case.operation.definition.raw.get("security") else None

    def set(self, case, data, context):
        if data is not None:
            case.headers["Authorization"] = f"Bearer {data}"
            seated.add(case.id)


@schemathesis.hook
def before_call(context, case, kwargs):
    has_token = case.id in seated
    if case.operation.definition.raw.get("security") and not has_token:
        return
    casting = Casting(world, case)
    casting.run()
    if has_token and casting.passenger is not None:
        case.headers["Authorization"] = f"Bearer {casting.passenger.access}"
        if casting.is_somebody_elses:
            somebody_elses.add(case.id)


@schemathesis.hook
def after_call(context, case, response):
    if coverage_scenario(case) == CoverageScenario.UNSPECIFIED_HTTP_METHOD:
        tally.other_method(response)
        return
    tally.answer(case.operation.label, response)
    if response.status_code == 201 and operation_id(case) in ("create_quote", "request_ride"):
        answer = response.json()
        token = case.headers.get("Authorization", "").removeprefix("Bearer ")
        world.remember(token, answer.get("id"), answer.get("quote_id"))


@schemathesis.hook
def filter_failure(context, failure, case, response):
    try:
        code = response.json().get("code")
    except (ValueError, AttributeError):
        code = None
    why = excused.reason(operation_id(case), failure, code)
    if why is not None:
        tally.excuse(case.operation.label, why)
    return why is None


@schemathesis.check
def not_found_for_others(ctx, response, case):
    """What belongs to somebody else is never shown or changed."""
    if case.id in somebody_elses:
        assert response.status_code >= 400, f"{response.status_code} for somebody else's"


@schemathesis.check
def event_stream(ctx, response, case):
    """Events of a ride's stream: rides as described, versions in order, positions without an id."""
    if operation_id(case) != "follow_ride" or response.status_code != 200 or case.method != "GET":
        return
    last = -1
    for event in events(response.text):
        data = json.loads(event["data"])
        if event["event"] == "ride":
            valid("Ride", data, case)
            assert event["id"] == str(data["version"]), f"id {event['id']} of version {data['version']}"
            assert data["version"] > last, f"version {data['version']} after {last}"
            last = data["version"]
        else:
            assert event["event"] == "location" and "id" not in event, f"an unknown event: {event}"
            valid("Location", data, case)


def events(text):
    """The stream's events that carry data. The gateway ends lines with LF and writes data on one line."""
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            yield fields


def valid(name, data, case):
    raw = case.operation.schema.raw_schema
    schema = {"$ref": f"#/components/schemas/{name}", "components": raw["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    wrong = [error.message for error in validator.iter_errors(data)]
    assert not wrong, f"{name}: {wrong}"


atexit.register(lambda: tally.write(os.environ["FUZZ_TALLY"], excused.WITHOUT_SUCCESS))
