"""Rides that are driven by hand, through the internal listener."""

import concurrent.futures
import datetime

import shape
from client import need
from passenger import Passenger, follow_to_end


def walk(world):
    promise, internal = world.report.promise, world.internal
    with promise("internal: health is open, everything else wants the service token"):
        for path in ["/health/live", "/health/ready"]:
            need(internal.send("GET", path).status == 200, f"{path} is not 200")
        internal.send("GET", "/internal/v1/drivers/x/rides").problem(401, "token-missing")
        bad = {"Authorization": "Bearer nonsense"}
        internal.send("GET", "/metrics", headers=bad).problem(401, "token-invalid")
        need(internal.send("GET", "/metrics", headers=world.driver("m").headers).status == 200, "no metrics")
    by_hand(world)
    fees(world)
    driver_cancels(world)


def authorised(world):
    p = Passenger(world.server).sign_in()
    ride_id = p.ride()["id"]
    need(p.authorised(ride_id)["payment_status"] == "authorised", "not authorised")
    return p, ride_id


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def by_hand(world):
    promise = world.report.promise
    p, ride_id = authorised(world)
    ana, ben = world.driver("ana"), world.driver("ben")
    told = concurrent.futures.ThreadPoolExecutor(1).submit(lambda: follow_to_end(p.follow(ride_id), ride_id))
    with promise("accept: 200 the ride without pickup_code; a repeat is 200; another driver 409 already-accepted"):
        taken = ana.accept(ride_id).expect(200)
        shape.check(shape.RIDE_FOR_DRIVER, taken)
        need(taken["status"] == "accepted" and taken["driver"]["id"] == ana.id, "not accepted by her")
        need(taken["pickup_eta_s"] == 240, "another pickup_eta_s")
        need(ana.accept(ride_id).expect(200)["version"] == taken["version"], "a repeat moved the ride")
        ben.accept(ride_id).problem(409, "already-accepted")
        ben.step(ride_id, "arrive").problem(409, "already-accepted")
    with promise("a step out of order is 409 illegal-transition"):
        ana.step(ride_id, "complete").problem(409, "illegal-transition")
    with promise("the driver's position: 204, shown in the ride, fresh"):
        ana.report(40.7501, -73.9902, now()).expect(204)
        place = p.look(ride_id)["driver"]["location"]
        need(place and (place["lat"], place["lng"]) == (40.7501, -73.9902), "another place")
        need(place["stale"] is False, "stale at once")
        ana.report(91, 0, now()).problem(422, "invalid-field")
        ana.report(40.7, -73.9, "yesterday").problem(422, "invalid-field")
    with promise("release: the ride is requested again, without a driver; another may accept"):
        released = ana.step(ride_id, "release").expect(200)
        need(released["status"] == "requested" and released["driver"] is None, "not free")
        ben.accept(ride_id).expect(200)
    with promise("start: needs the right pickup code if one is sent (422)"):
        ben.step(ride_id, "arrive").expect(200)
        code = p.look(ride_id)["pickup_code"]
        wrong = "0000" if code != "0000" else "1111"
        need(ben.step(ride_id, "start", pickup_code=wrong).problem(422, "invalid-field")["field"] == "pickup_code", "field")
        need(ben.step(ride_id, "start", pickup_code=code).expect(200)["status"] == "in_progress", "not started")
    with promise("a ride in progress is not cancelled by its passenger: 409 illegal-transition"):
        problem = p.cancel(ride_id).problem(409, "illegal-transition")
        need((problem["from"], problem["to"]) == ("in_progress", "cancelled"), "another from or to")
    with promise("complete: 200, a repeat too; every step was told, and the position without an id"):
        ben.report(40.7600, -73.9700, now()).expect(204)
        done = ben.step(ride_id, "complete").expect(200)
        need(ben.step(ride_id, "complete").expect(200)["version"] == done["version"], "a repeat moved the ride")
        rides, locations = told.result()
        need(ordered(rides) == ["requested", "accepted", "requested", "accepted", "arrived", "in_progress", "completed"],
             f"told {ordered(rides)}")
        need(any(place["lat"] == 40.7501 for place in locations), "the position was not told")
    with promise("GET drivers/{id}/rides: both drivers find the ride, without pickup_code"):
        for driver in (ana, ben):
            page = driver.call("GET", f"/drivers/{driver.id}/rides").expect(200)
            need([ride["id"] for ride in page["rides"]] == [ride_id], "another list")
            shape.check(shape.RIDE_FOR_DRIVER, page["rides"][0])


def ordered(rides):
    """Statuses, each once for as long as it lasts."""
    statuses = [ride["status"] for ride in rides]
    return [status for i, status in enumerate(statuses) if i == 0 or statuses[i - 1] != status]


def fees(world):
    promise = world.report.promise
    name = "cancel: free soon after accept"
    p, ride_id = authorised(world)
    world.driver("ana").accept(ride_id).expect(200)
    answer = p.cancel(ride_id)
    if answer.status == 409:
        world.report.skip(name, "rides.cancel_free_s is lowered here")
        p.cancel(ride_id, answer.json()["confirmation_token"])
    else:
        with promise(name):
            need(answer.expect(200)["cancellation"]["fee"]["amount"] == 0, "not free")

    p, ride_id = authorised(world)
    ana = world.driver("ana")
    with promise("cancel: once the driver waits, 409 cancellation-fee shows min(fare, 500) and changes nothing"):
        ana.accept(ride_id).expect(200)
        ana.step(ride_id, "arrive").expect(200)
        shown = p.cancel(ride_id).problem(409, "cancellation-fee")
        ride = p.look(ride_id)
        need(shown["fee"] == {**ride["fare"], "amount": min(ride["fare"]["amount"], 500)}, "another fee")
        need(-5 < shape.from_now(shown["expires_at"]) <= 65, "expires_at is not within a minute")
        need(ride["status"] == "arrived", "a preview moved the ride")
    with promise("cancel: a token that is nonsense or of another ride is 409 cancellation-fee with a fresh one"):
        other, other_id = authorised(world)
        ben = world.driver("ben")
        ben.accept(other_id).expect(200)
        ben.step(other_id, "arrive").expect(200)
        for wrong in ["nonsense", "", shown["confirmation_token"]]:
            fresh = other.cancel(other_id, wrong).problem(409, "cancellation-fee")
        need(other.look(other_id)["status"] == "arrived", "it was cancelled")
        other.cancel(other_id, fresh["confirmation_token"]).expect(200)
    with promise("cancel: with the token 200 and the fee; again 200 the same"):
        ride = p.cancel(ride_id, shown["confirmation_token"]).expect(200)
        need(ride["status"] == "cancelled" and ride["cancellation"]["fee"] == shown["fee"], "another fee")
        need(p.cancel(ride_id).expect(200)["version"] == ride["version"], "a repeat moved the ride")
    with promise("receipt of a fee: one line cancellation_fee, captured"):
        receipt = p.settled(ride_id, "captured")
        need(receipt["lines"] == [{"kind": "cancellation_fee", "amount": shown["fee"]}], "another line")
        need(receipt["total"] == shown["fee"], "another total")


def driver_cancels(world):
    promise = world.report.promise
    with promise("internal cancel by driver: the passenger pays nothing; by somebody else 422"):
        p, ride_id = authorised(world)
        ana = world.driver("ana")
        ana.accept(ride_id).expect(200)
        cancel = f"/rides/{ride_id}/cancel"
        ana.call("POST", cancel, {"by": "passenger", "reason": "x"}).problem(422, "invalid-field")
        ana.call("POST", cancel, {"by": "driver", "reason": "flat tyre"}).expect(200)
        ride = p.look(ride_id)
        need((ride["status"], ride["cancellation"]["by"]) == ("cancelled", "driver"), "not cancelled by the driver")
        need(p.settled(ride_id, "voided")["total"]["amount"] == 0, "something is charged")
    with promise("internal cancel by system ends a ride in progress, free"):
        p, ride_id = authorised(world)
        ana = world.driver("ana")
        ana.accept(ride_id).expect(200)
        ana.step(ride_id, "arrive").expect(200)
        ana.step(ride_id, "start").expect(200)
        ana.call("POST", f"/rides/{ride_id}/cancel", {"by": "system", "reason": "accident"}).expect(200)
        need(p.look(ride_id)["cancellation"]["by"] == "system", "not by system")
        need(p.settled(ride_id, "voided")["total"]["amount"] == 0, "something is charged")
    with promise("internal: a ride that is not there is 404"):
        world.driver("ana").accept("1").problem(404, "not-found")
