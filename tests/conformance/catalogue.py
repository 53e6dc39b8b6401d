"""What needs no ride: products, quotes, the state table, the description."""

import re

import shape
from client import need
from passenger import DROPOFF, PICKUP, Passenger

PATHS = {"/v1/auth/otp": "post", "/v1/auth/token": "post", "/v1/auth/refresh": "post", "/v1/auth/logout": "post",
         "/v1/me": "get patch delete", "/v1/products": "get", "/v1/quotes": "post", "/v1/quotes/{id}": "get",
         "/v1/rides": "get post", "/v1/rides/current": "get", "/v1/rides/{id}": "get", "/v1/rides/{id}/events": "get",
         "/v1/rides/{id}/cancel": "post", "/v1/rides/{id}/receipt": "get", "/v1/rides/{id}/rating": "post",
         "/v1/ride-states": "get"}
OPEN = ["/v1/auth/otp", "/v1/auth/token", "/v1/auth/refresh", "/v1/products", "/v1/ride-states"]
PARTIES = {("requested", "accepted"), ("accepted", "arrived"), ("arrived", "in_progress"), ("in_progress", "completed"),
           ("requested", "cancelled"), ("accepted", "cancelled"), ("arrived", "cancelled"), ("requested", "expired"),
           ("accepted", "requested"), ("arrived", "requested"), ("in_progress", "cancelled")}


def secured():
    """Method and path of every call that needs a token."""
    return [(method.upper(), path) for path, methods in PATHS.items() if path not in OPEN for method in methods.split()]


def walk(world):
    promise, server = world.report.promise, world.server
    here = f"/v1/products?lat={PICKUP['lat']}&lng={PICKUP['lng']}"
    with promise("GET /v1/products: what is on offer here, without a token"):
        products = server.send("GET", here).expect(200)
        shape.check({"products": shape.list_of(shape.PRODUCT)}, products)
        need("economy" in [product["id"] for product in products["products"]], "no economy")
    with promise("GET /v1/products: missing, not a number, out of range and out of area are told apart"):
        server.send("GET", "/v1/products?lat=40.75").problem(422, "invalid-field")
        server.send("GET", "/v1/products?lat=x&lng=-73.9").problem(400, "malformed")
        server.send("GET", "/v1/products?lat=91&lng=-73.9").problem(422, "invalid-field")
        server.send("GET", "/v1/products?lat=0&lng=0").problem(422, "out-of-area")
    with promise("GET /v1/ride-states: exactly the moves of the contract; in_progress is cancelled by system only"):
        table = server.send("GET", "/v1/ride-states").expect(200)
        shape.check({"transitions": shape.list_of(shape.TRANSITION)}, table)
        moves = {(row["from"], row["to"]): row for row in table["transitions"]}
        need(moves.keys() == PARTIES, f"differs: {moves.keys() ^ PARTIES}")
        need(moves["in_progress", "cancelled"]["by"] == ["system"], "somebody else may")
        need("passenger" in moves["requested", "cancelled"]["by"], "a passenger may not cancel")
        need(moves["requested", "expired"]["timeout_s"], "no time-out of matching")
    quotes(world)
    described(world)
    headers(world)


def quotes(world):
    promise, server = world.report.promise, world.server
    p = Passenger(server).sign_in()
    with promise("POST /v1/quotes: 201; every fare is the sum of its breakdown"):
        answer = p.call("POST", "/v1/quotes", {"pickup": PICKUP, "dropoff": DROPOFF})
        quote = answer.expect(201)
        shape.check(shape.QUOTE, quote)
        need(quote["options"] and quote["distance_m"] > 0 and quote["duration_s"] > 0, "nothing is offered")
        for option in quote["options"]:
            shape.adds_up(option["breakdown"], option["fare"])
        need(shape.from_now(quote["expires_at"]) > -5, "expires_at is past")
    with promise("GET /v1/quotes/{id}: the same quote; somebody else's, or no id at all, is 404 not-found"):
        path = f"/v1/quotes/{quote['quote_id']}"
        need(p.call("GET", path).expect(200) == quote, "another quote")
        world.stranger.call("GET", path).problem(404, "not-found")
        for nothing in ["1", "x", "-1", "99999999999999999999999", "%00"]:
            p.call("GET", f"/v1/quotes/{nothing}").problem(404, "not-found")
    with promise("POST /v1/quotes: a bad body names its field (422 invalid-field)"):
        for body, field in [({}, "pickup"), ({"pickup": PICKUP}, "dropoff"), ({"pickup": 1, "dropoff": DROPOFF}, "pickup"),
                            ({"pickup": {"lat": 40.7}, "dropoff": DROPOFF}, "pickup.lng"),
                            ({"pickup": {"lat": "40", "lng": -73.9}, "dropoff": DROPOFF}, "pickup.lat"),
                            ({"pickup": {"lat": 91, "lng": -73.9}, "dropoff": DROPOFF}, "pickup.lat"),
                            ({"pickup": {"lat": 40.7, "lng": -181}, "dropoff": DROPOFF}, "pickup.lng"),
                            ({"pickup": PICKUP, "dropoff": DROPOFF, "x": 1}, "x")]:
            problem = p.call("POST", "/v1/quotes", body).problem(422, "invalid-field")
            need(problem["field"] == field, f"{body}: named {problem['field']}, not {field}")
    with promise("POST /v1/quotes: outside the served area is 422 out-of-area"):
        p.call("POST", "/v1/quotes", {"pickup": PICKUP, "dropoff": {"lat": 0, "lng": 0}}).problem(422, "out-of-area")
    name = "POST /v1/rides: 410 quote-expired; GET still shows the quote"
    life = shape.from_now(quote["expires_at"])
    if life <= 10:
        with promise(name):
            world.sleep(life + 1.5)
            p.request(quote["quote_id"]).problem(410, "quote-expired")
            need(p.call("GET", path).expect(200) == quote, "another quote")
    else:
        world.report.skip(name, f"it lives {life:.0f} s here; lower quotes.ttl_s to 10 to see it")


def described(world):
    promise, server = world.report.promise, world.server
    with promise("GET /openapi.json: OpenAPI 3.1 of every call of the contract, each operationId once"):
        description = server.send("GET", "/openapi.json").expect(200)
        need(description["openapi"].startswith("3.1"), "not 3.1")
        missing = [f"{method} {path}" for path, methods in PATHS.items() for method in methods.split()
                   if method not in description["paths"].get(path, {})]
        need(not missing, f"not described: {missing}")
        names = [call["operationId"] for path in description["paths"].values() for call in path.values()
                 if isinstance(call, dict) and "operationId" in call]
        twice = sorted({name for name in names if names.count(name) > 1})
        need(not twice, f"used for several calls: {twice}")
    with promise("GET /docs: a page that loads nothing from elsewhere"):
        path = "/docs"
        for _ in range(3):
            answer = server.send("GET", path)
            if answer.status not in (301, 302, 307, 308):
                break
            path = answer.header("Location")
        need(answer.status == 200 and b"<html" in answer.body.lower(), "no page")
        away = re.findall(rb"(?:src|href)=[\"']((?:https?:)?//[^\"']+)", answer.body)
        need(not away, f"loads {away}")


def headers(world):
    promise, server = world.report.promise, world.server
    with promise("X-Request-Id: the caller's is returned, else a new one each time; traceparent is accepted"):
        trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
        answer = server.send("GET", "/v1/ride-states", headers={"X-Request-Id": "conformance-1", **trace})
        answer.expect(200)
        need(answer.header("X-Request-Id") == "conformance-1", "another id")
        ids = {server.send("GET", "/v1/ride-states").header("X-Request-Id") for _ in range(2)}
        need(len(ids) == 2, "the same id twice")
    with promise("RateLimit-Policy and RateLimit name the same policies, on success and refusal alike"):
        p = Passenger(server).sign_in()
        for answer in [p.call("GET", "/v1/me"), p.call("GET", "/v1/rides/1"), server.send("GET", "/v1/me")]:
            policies = re.findall(r'"([^"]+)";q=\d+(?:;w=\d+)?', answer.header("RateLimit-Policy") or "")
            limits = re.findall(r'"([^"]+)";r=\d+(?:;t=\d+)?', answer.header("RateLimit") or "")
            need(policies and policies == limits, f"policies {policies}, limits {limits}")
