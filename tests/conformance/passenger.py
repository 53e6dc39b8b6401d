"""Passengers and drivers as the walk needs them."""

import secrets
import time
import urllib.parse

import shape
from client import Broken, Stream, need

PICKUP, DROPOFF = {"lat": 40.7484, "lng": -73.9857}, {"lat": 40.7794, "lng": -73.9632}
REASON = {"reason": "changed-my-mind"}


def eventually(what, look, seconds=15.0):
    """The first value that is not None; asks again until then."""
    end = time.monotonic() + seconds
    while True:
        value = look()
        if value is not None:
            return value
        need(time.monotonic() < end, f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)


def new_phone():
    """A number at random: most likely one that nobody used before."""
    return f"+1917{secrets.randbelow(10**7):07d}"


def new_key():
    """An idempotency key."""
    return secrets.token_hex(16)


class Passenger:
    """Somebody with a phone and, once signed in, tokens."""

    def __init__(self, server, phone=None):
        self.server, self.phone = server, phone or new_phone()
        self._tokens, self.renew_at = None, 0.0

    def code(self):
        """Asks for a code and reads it in the sandbox's inbox: the challenge and the code."""
        challenge = self.server.send("POST", "/v1/auth/otp", {"phone": self.phone}).expect(202)
        inbox = self.server.send("GET", f"/sandbox/sms/{urllib.parse.quote(self.phone, safe='')}").expect(200)
        return challenge, inbox["code"]

    def sign_in(self):
        """Signs in; gives the passenger itself."""
        challenge, code = self.code()
        body = {"challenge_id": challenge["challenge_id"], "code": code, "device_id": "conformance"}
        self.tokens = self.server.send("POST", "/v1/auth/token", body).expect(200)
        return self

    @property
    def tokens(self):
        return self._tokens

    @tokens.setter
    def tokens(self, tokens):
        # Where access tokens live for seconds only, half of that is left for the call.
        self._tokens, self.renew_at = tokens, time.monotonic() + tokens["expires_in"] / 2

    @property
    def id(self):
        return self.tokens["passenger"]["id"]

    def headers(self, more=None):
        """Headers with an access token that is good for a while yet."""
        if time.monotonic() > self.renew_at:
            self.tokens = self.server.send(
                "POST", "/v1/auth/refresh", {"refresh_token": self.tokens["refresh_token"]}).expect(200)
        return {"Authorization": f"Bearer {self.tokens['access_token']}", **(more or {})}

    def call(self, method, path, body=None, headers=None):
        """A call with the access token."""
        return self.server.send(method, path, body, self.headers(headers))

    def quote(self, pickup=None, dropoff=None):
        return self.call("POST", "/v1/quotes", {"pickup": pickup or PICKUP, "dropoff": dropoff or DROPOFF}).expect(201)

    def request(self, quote_id, key=None, product="economy"):
        """The answer to a ride request."""
        body = {"quote_id": quote_id, "product": product}
        return self.call("POST", "/v1/rides", body, {"Idempotency-Key": key or new_key()})

    def ride(self, pickup=None, dropoff=None):
        """A new ride."""
        return self.request(self.quote(pickup, dropoff)["quote_id"]).expect(201)

    def look(self, ride_id):
        return self.call("GET", f"/v1/rides/{ride_id}").expect(200)

    def cancel(self, ride_id, token=None, headers=None):
        """The answer to a cancellation."""
        body = REASON if token is None else {**REASON, "confirmation_token": token}
        return self.call("POST", f"/v1/rides/{ride_id}/cancel", body, headers)

    def leave(self, ride_id):
        """Ends a ride whatever it costs: somebody may have come for it by now."""
        answer = self.cancel(ride_id)
        if answer.status == 409 and answer.json()["code"] == "cancellation-fee":
            answer = self.cancel(ride_id, answer.json()["confirmation_token"])
        answer.expect(200)

    def receipt(self, ride_id):
        return self.call("GET", f"/v1/rides/{ride_id}/receipt").expect(200)

    def follow(self, ride_id, after=None, patience=90.0):
        """The event stream of a ride."""
        more = {} if after is None else {"Last-Event-ID": str(after)}
        return Stream(self.server, f"/v1/rides/{ride_id}/events", self.headers(more), patience)

    def until(self, ride_id, accept, what, seconds=30.0):
        """The ride as soon as it is as wanted."""
        def look():
            ride = self.look(ride_id)
            return ride if accept(ride) else None
        return eventually(what, look, seconds)

    def authorised(self, ride_id):
        return self.until(ride_id, lambda ride: ride["payment_status"] != "pending", "the payment is authorised")

    def settled(self, ride_id, status):
        """The receipt, once its payment has this status."""
        def look():
            receipt = self.receipt(ride_id)
            return receipt if receipt["payment_status"] == status else None
        return eventually(f"the payment is {status}", look)

    def push(self, ride_id, status):
        """Makes the sandbox take a step; the fleet may be there first."""
        def step():
            now = self.look(ride_id)["status"]
            if ORDER.index(now) >= ORDER.index(status):
                return now
            self.server.send("PUT", f"/sandbox/rides/{ride_id}", {"status": status})
            return None
        return eventually(f"the ride is {status}", step, 30.0)

    def complete(self):
        """A ride from request to completion, as the sandbox drives it."""
        ride_id = self.ride()["id"]
        self.authorised(ride_id)
        for status in ORDER[1:]:
            self.push(ride_id, status)
        return self.look(ride_id)


ORDER = ["requested", "accepted", "arrived", "in_progress", "completed"]


class Driver:
    """Somebody behind the internal listener, driven by hand."""

    def __init__(self, server, token, name):
        self.server, self.id = server, f"conformance-{name}-{secrets.token_hex(4)}"
        self.headers = {"Authorization": f"Bearer {token}"}

    def call(self, method, path, body=None):
        return self.server.send(method, f"/internal/v1{path}", body, self.headers)

    def accept(self, ride_id):
        driver = {"id": self.id, "name": "Ana", "rating": 4.9, "contact": "+12125550100",
                  "vehicle": {"plate": "T123456C", "model": "Toyota Camry", "color": "black"}}
        return self.call("POST", f"/rides/{ride_id}/accept", {"driver": driver, "pickup_eta_s": 240})

    def step(self, ride_id, step, **more):
        return self.call("POST", f"/rides/{ride_id}/{step}", {"driver_id": self.id, **more})

    def report(self, lat, lng, at):
        body = {"lat": lat, "lng": lng, "observed_at": at}
        return self.call("PUT", f"/drivers/{self.id}/location", body)


def follow_to_end(stream, ride_id):
    """Every event of a stream up to its end, each checked for its form; the versions lie without a gap."""
    need(stream.status == 200, f"expected a stream, got {stream.status}")
    rides, locations = [], []
    for event in stream:
        if event.name == "location":
            need(not event.has_id, "a location event has an id")
            shape.check(shape.LOCATION, event.data(), "location")
            locations.append(event.data())
            continue
        need(event.name == "ride", f"an unknown event: {event.name}")
        ride = event.data()
        shape.check(shape.RIDE, ride, "ride")
        need(ride["id"] == ride_id, "an event of another ride")
        need(event.has_id and event.id == str(ride["version"]), f"id {event.id} of version {ride['version']}")
        need(not rides or ride["version"] == rides[-1]["version"] + 1,
             f"version {ride['version']} after {rides[-1]['version'] if rides else None}")
        rides.append(ride)
    if not rides:
        raise Broken("the stream ended without an event")
    return rides, locations
