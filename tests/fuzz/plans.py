"""What a case is given before it is sent: somebody's token, and real ids in place of generated ones.

Only parts that were generated as valid are touched, and only most of the time: the rest of the cases, and every
invalid part, go out as they were generated.
"""

from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

REAL = 0.8  # of the ids
KEPT = 0.3  # of the ids that the tool took from earlier answers, outside chains of calls
SOMEBODY_ELSES = 0.06  # of the real ids, asked for by another passenger
AREA = {"lat": (40.69, 40.89), "lng": (-74.04, -73.90)}


class Casting:
    """Casts one case into a scene of the world."""

    def __init__(self, world, case):
        self.world, self.dice, self.case = world, world.dice, case
        self.passenger, self.is_somebody_elses = None, False

    def run(self):
        """Gives the case its scene. `passenger` is whose token it has to carry afterwards."""
        plan = getattr(self, self.case.operation.definition.raw["operationId"], self.anybody)
        plan()

    # One method an operation, by its operationId.

    def anybody(self):
        self.passenger = self.pick("nothing", "riding", "over").passenger

    def sign_in(self):
        if self.may():
            _, challenge, code = self.world.challenge()
            self.body(challenge_id=challenge, **({"code": code} if self.may() else {}))

    def refresh(self):
        if self.may():
            self.body(refresh_token=self.world.scene("nothing", fresh=True).passenger.refresh)

    def sign_out(self):
        self.passenger = self.world.scene("nothing", fresh=True).passenger

    def delete_profile(self):
        kind = "riding" if self.dice.random() < 0.3 else "nothing"
        self.passenger = self.world.scene(kind, fresh=True).passenger

    def list_products(self):
        if self.may() and self.is_valid(ParameterLocation.QUERY):
            self.case.query.update(self.point())

    def create_quote(self):
        self.anybody()
        if self.may():
            self.body(pickup=self.point(), dropoff=self.point())

    def show_quote(self):
        self.own("quote_id", self.pick("quote", "riding"))

    def request_ride(self):
        fresh = self.dice.random() < 0.4
        scene = self.world.scene("quote", fresh=True) if fresh else self.pick("quote", "riding", "over")
        self.passenger = scene.passenger
        if self.may():
            product = self.dice.choice(["economy", "comfort", "xl", "economy", "hovercraft"])
            self.body(quote_id=scene.quote_id, product=product)
        if not fresh and self.dice.random() < 0.2 and self.is_valid(ParameterLocation.HEADER):
            self.case.headers["Idempotency-Key"] = f"scene-{scene.quote_id}"

    def list_rides(self):
        scene = self.pick("riding", "over")
        self.passenger = scene.passenger
        if self.dice.random() < 0.6 and self.is_valid(ParameterLocation.QUERY):
            self.case.query.pop("cursor", None)

    def show_ride(self):
        scene = self.pick("riding", "over")
        self.own("ride", scene)
        self.condition("If-None-Match", scene)

    def cancel_ride(self):
        fresh = self.dice.random() < 0.6
        scene = self.world.scene("waiting", fresh=True) if fresh else self.pick("riding", "over")
        self.own("ride", scene)
        self.condition("If-Match", scene)
        if self.dice.random() < 0.3:
            path = f"/v1/rides/{scene.ride['id']}/cancel"
            headers = {"Authorization": f"Bearer {scene.passenger.access}"}
            token = self.world.send("POST", path, {"reason": "fee"}, headers).json().get("confirmation_token")
            if token:
                self.body(confirmation_token=token)

    def follow_ride(self):
        scene = self.pick("riding", "over", "over")
        self.own("ride", scene)
        if self.dice.random() < 0.5 and self.is_valid(ParameterLocation.HEADER):
            self.case.headers["Last-Event-ID"] = str(self.dice.randrange(9))

    def show_receipt(self):
        self.own("ride", self.pick("over", "over", "riding"))

    def rate_ride(self):
        fresh = self.dice.random() < 0.5
        self.own("ride", self.world.scene("over", fresh=True) if fresh else self.pick("over", "over", "riding"))

    # What they are made of.

    def pick(self, *kinds):
        return self.world.scene(self.dice.choice(kinds))

    def may(self):
        return self.dice.random() < REAL

    def point(self):
        return {name: round(self.dice.uniform(*bounds), 5) for name, bounds in AREA.items()}

    def is_chained(self):
        """Whether the case goes on where an earlier one of its chain ended."""
        return self.case.meta is not None and self.case.meta.phase.name == TestPhase.STATEFUL

    def is_valid(self, location):
        """Whether this part of the case was generated as valid."""
        part = self.case.meta.components.get(location) if self.case.meta else None
        return part is None or part.mode.is_positive

    def body(self, **members):
        if self.is_valid(ParameterLocation.BODY) and isinstance(self.case.body, dict):
            self.case.body.update(members)

    def condition(self, header, scene):
        """Now and then a condition that may hold."""
        if self.dice.random() < 0.4 and self.is_valid(ParameterLocation.HEADER):
            version = scene.ride["version"] + self.dice.randrange(6)
            self.case.headers[header] = self.dice.choice([f'"{version}"', "*", f'"{version}", "7"'])

    def own(self, what, scene):
        """Puts the scene's id into the path; its owner asks, and sometimes somebody else."""
        self.passenger = scene.passenger
        linked = self.world.owners.get(str((self.case.path_parameters or {}).get("id")))
        if linked is not None and (self.is_chained() or self.dice.random() < KEPT):
            # The id of an earlier answer: its owner asks.
            self.passenger = linked
        elif self.may() and self.is_valid(ParameterLocation.PATH):
            self.case.path_parameters["id"] = scene.ride["id"] if what == "ride" else scene.quote_id
            if self.dice.random() < SOMEBODY_ELSES:
                self.passenger, self.is_somebody_elses = self.world.scene("nothing").passenger, True
