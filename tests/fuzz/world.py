"""Passengers with real sign-ins, quotes and rides, so that cases get past "not found"."""

import random
import threading
import time
from urllib.parse import quote

import requests

# Inside the served area, where a trip takes drivers some seconds, and one that is over at once.
TIMES_SQUARE, TRADE_CENTER = {"lat": 40.758, "lng": -73.9855}, {"lat": 40.7127, "lng": -74.0134}
LONG_TRIP = {"pickup": TIMES_SQUARE, "dropoff": TRADE_CENTER}
SHORT_TRIP = {"pickup": TIMES_SQUARE, "dropoff": {"lat": 40.7585, "lng": -73.985}}
# An access token lives 600 s; a scene is left well before.
SCENE_LIVES_S = 240
# How many cases meet in one scene, and how many scenes of a kind there are at a time.
CASES_A_SCENE, SCENES_A_KIND = 12, 5


class Passenger:
    """Somebody who signed in."""

    def __init__(self, phone, tokens):
        self.phone, self.id = phone, tokens["passenger"]["id"]
        self.access, self.refresh = tokens["access_token"], tokens["refresh_token"]


class Scene:
    """A passenger and what they have: a quote, a ride."""

    def __init__(self, passenger):
        self.passenger, self.quote_id, self.ride = passenger, None, None
        self.born, self.cases = time.monotonic(), 0

    def worn(self):
        return self.cases >= CASES_A_SCENE or time.monotonic() - self.born > SCENE_LIVES_S


class World:
    """Makes scenes on the gateway under test; the same seed makes the same choices."""

    def __init__(self, url, seed):
        self.url, self.dice = url, random.Random(seed)
        self.lock = threading.RLock()
        self.shelves = {}
        # Ids that answers gave → the passenger whose they are; access tokens → passenger.
        self.owners, self.signed_in = {}, {}
        self.session = requests.Session()
        self.session.trust_env = False

    def scene(self, kind, fresh=False):
        """A scene of a kind: `nothing`, `quote`, `waiting`, `riding` or `over`; a fresh one is this case's alone."""
        with self.lock:
            if fresh:
                return self.make(kind)
            shelf = self.shelves.setdefault(kind, [])
            shelf[:] = [scene for scene in shelf if not scene.worn()]
            if len(shelf) < SCENES_A_KIND:
                shelf.append(self.make(kind))
            scene = self.dice.choice(shelf)
            scene.cases += 1
            return scene

    def make(self, kind):
        scene = Scene(self.sign_in())
        if kind == "nothing":
            return scene
        trip = SHORT_TRIP if kind == "over" else LONG_TRIP
        scene.quote_id = self.call(scene, "POST", "/v1/quotes", trip)["quote_id"]
        self.owners[scene.quote_id] = scene.passenger
        if kind == "quote":
            return scene
        key = {"Idempotency-Key": f"scene-{scene.quote_id}"}
        scene.ride = self.call(scene, "POST", "/v1/rides", {"quote_id": scene.quote_id, "product": "economy"}, key)
        self.owners[scene.ride["id"]] = scene.passenger
        if kind == "riding":
            self.drive(scene, ["accepted", "arrived", "in_progress"][: self.dice.randrange(4)])
        elif kind == "over":
            self.drive(scene, self.dice.choice([["cancelled"], ["accepted", "arrived", "in_progress", "completed"]]))
        return scene

    def drive(self, scene, steps):
        """Takes the ride on by hand. The fleet drives it too, and may be there first."""
        path = f"/sandbox/rides/{scene.ride['id']}"
        for step in steps:
            self.until(lambda step=step: self.send("PUT", path, {"status": step}).status_code == 204
                       or self.past(scene, step))

    def past(self, scene, step):
        """Whether the ride is where `step` leads to, or further, or over in another way."""
        order = ["requested", "accepted", "arrived", "in_progress"]
        status = self.call(scene, "GET", f"/v1/rides/{scene.ride['id']}")["status"]
        return status not in order or (step in order and order.index(status) >= order.index(step))

    def until(self, look, seconds=30.0):
        end = time.monotonic() + seconds
        while not look():
            if time.monotonic() > end:
                raise AssertionError("a ride did not come to its next step")
            time.sleep(0.02)

    def challenge(self):
        """A phone that was sent a code: the challenge and the code."""
        with self.lock:
            phone = f"+1917{self.dice.randrange(10**7):07d}"
            challenge = self.ok("POST", "/v1/auth/otp", {"phone": phone})["challenge_id"]
            return phone, challenge, self.ok("GET", f"/sandbox/sms/{quote(phone, safe='')}")["code"]

    def sign_in(self):
        phone, challenge, code = self.challenge()
        body = {"challenge_id": challenge, "code": code, "device_id": "fuzz"}
        passenger = Passenger(phone, self.ok("POST", "/v1/auth/token", body))
        self.signed_in[passenger.access] = passenger
        return passenger

    def remember(self, token, *ids):
        """These ids are of the passenger who has the token."""
        passenger = self.signed_in.get(token)
        if passenger is not None:
            self.owners.update((each, passenger) for each in ids if each)

    def call(self, scene, method, path, body=None, headers=None):
        headers = {"Authorization": f"Bearer {scene.passenger.access}", **(headers or {})}
        return self.ok(method, path, body, headers)

    def ok(self, method, path, body=None, headers=None):
        answer = self.send(method, path, body, headers)
        if not answer.ok:
            raise AssertionError(f"the scene could not be set: {method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def send(self, method, path, body=None, headers=None):
        return self.session.request(method, self.url + path, json=body, headers=headers, timeout=10)
