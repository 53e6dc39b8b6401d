"""Refusals that belong to no single call, and partners that fail."""

from client import Answer, need
from passenger import DROPOFF, PICKUP, Passenger, new_key


def walk(world):
    promise, server = world.report.promise, world.server
    p = Passenger(server).sign_in()
    merge = p.headers({"Content-Type": "application/json"})
    with promise("404 not-found for a path that is not there"):
        server.send("GET", "/v1/nothing").problem(404, "not-found")
        server.send("GET", "/nothing").problem(404, "not-found")
    with promise("405 method-not-allowed with Allow, for a method that a path does not have"):
        for method, path, allowed in [("PUT", "/v1/me", {"GET", "PATCH", "DELETE"}), ("DELETE", "/v1/rides", {"GET", "POST"}),
                                      ("GET", "/v1/auth/otp", {"POST"}), ("POST", "/v1/rides/1", {"GET"})]:
            answer = server.send(method, path)
            answer.problem(405, "method-not-allowed")
            said = {name.strip() for name in (answer.header("Allow") or "").split(",")}
            need(allowed <= said, f"Allow: {said}, expected {allowed}")
    with promise("400 malformed for what is not JSON, 422 for JSON that is no object"):
        for raw in [b"", b"{", b"nonsense", b'{"phone":"+12125550123"} x', b"\xff\xfe"]:
            server.send("POST", "/v1/quotes", raw=raw, headers=merge).problem(400, "malformed")
        for raw in [b"[]", b"null", b"7", b'"text"']:
            server.send("POST", "/v1/quotes", raw=raw, headers=merge).problem(422, "invalid-field")
    with promise("415 unsupported-media-type for another content type, and for none"):
        for kind in ["text/plain", "application/xml", "application/x-www-form-urlencoded"]:
            server.send("POST", "/v1/quotes", raw=b"{}", headers=p.headers({"Content-Type": kind})).problem(
                415, "unsupported-media-type")
        server.send("POST", "/v1/quotes", raw=b"{}", headers=p.headers()).problem(415, "unsupported-media-type")
    with promise("413 body-too-large before the body is sent"):
        connection = server.connect()
        try:
            connection.putrequest("POST", server.prefix + "/v1/quotes")
            for name, value in {**merge, "Content-Length": str(64 * 1024 * 1024)}.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            Answer("POST /v1/quotes of 64 MiB", response.status, response.getheaders(), response.read()).problem(
                413, "body-too-large")
        finally:
            connection.close()
    with promise("422 invalid-field names what is wrong with a phone or a device"):
        for body, field in [({}, "phone"), ({"phone": "12"}, "phone"), ({"phone": 12}, "phone"), ({"phone": None}, "phone"),
                            ({"phone": p.phone, "device_id": ""}, "device_id"), ({"phone": p.phone, "x": 1}, "x")]:
            need(server.send("POST", "/v1/auth/otp", body).problem(422, "invalid-field")["field"] == field, f"{body}")
    with promise("cancel: an over-long confirmation_token is 422 invalid-field, as the description says"):
        ride_id = p.ride()["id"]
        try:
            p.cancel(ride_id, "t" * 10_000).problem(422, "invalid-field")
        finally:
            p.leave(ride_id)
    name = "429 quota-exceeded with Retry-After and violated-policies: codes for one phone"
    q = Passenger(server)
    for _ in range(60):
        answer = server.send("POST", "/v1/auth/otp", {"phone": q.phone})
        if answer.status != 202:
            break
    if answer.status == 202:
        world.report.skip(name, "60 codes were sent: auth.otp_per_phone is higher here")
    else:
        with promise(name):
            problem = server.send("POST", "/v1/auth/otp", {"phone": q.phone}).problem(429, "quota-exceeded")
            need(problem["violated-policies"], "no violated-policies")
    if world.gentle:
        for name in ["503 unavailable while a partner fails", "accept before authorised"]:
            world.report.skip(name, "--gentle")
        return
    failing_partners(world, p)


def failing_partners(world, p):
    promise, server = world.report.promise, world.server

    def script(partner, failure_rate=0.0, delay_ms=0):
        body = {"failure_rate": failure_rate, "delay_ms": delay_ms}
        server.send("PUT", f"/sandbox/partners/{partner}", body).expect(204)
    try:
        with promise("503 unavailable while the SMS partner fails, and while routing is slower than 2 s"):
            script("sms", failure_rate=1.0)
            server.send("POST", "/v1/auth/otp", {"phone": p.phone}).problem(503, "unavailable")
            script("sms")
            server.send("POST", "/v1/auth/otp", {"phone": p.phone}).expect(202)
            script("routing", delay_ms=4000)
            p.call("POST", "/v1/quotes", {"pickup": PICKUP, "dropoff": DROPOFF}).problem(503, "unavailable")
            script("routing")
            quote = p.quote()
        with promise("a payment partner that fails is asked again: the ride goes on"):
            script("payment", failure_rate=1.0)
            ride = p.request(quote["quote_id"], new_key()).expect(201)
            need(p.look(ride["id"])["payment_status"] == "pending", "authorised by a partner that fails")
            script("payment")
            need(p.authorised(ride["id"])["payment_status"] == "authorised", "not authorised")
            p.leave(ride["id"])
        if world.internal:
            with promise("accept before authorised is 409 illegal-transition"):
                script("payment", delay_ms=1500)
                ride = p.ride()
                world.driver("early").accept(ride["id"]).problem(409, "illegal-transition")
                script("payment")
                p.authorised(ride["id"])
                p.leave(ride["id"])
    finally:
        for partner in ["sms", "routing", "payment"]:
            script(partner)
