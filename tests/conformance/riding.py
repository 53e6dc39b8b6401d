"""Requesting a ride, following it, calling it off, and what comes after. The sandbox drives."""

import concurrent.futures

import catalogue
import shape
from client import need
from passenger import DROPOFF, PICKUP, Passenger, eventually, follow_to_end, new_key


def walk(world):
    requesting(world)
    a_whole_ride(world)
    cancelling(world)
    endings(world)
    history(world)


def requesting(world):
    promise, server = world.report.promise, world.server
    p = Passenger(server).sign_in()
    with promise("GET /v1/rides/current: 204 without an active ride"):
        p.call("GET", "/v1/rides/current").expect(204)
    with promise("POST /v1/rides: 400 idempotency-key-missing without a key; a key of 256 characters is refused"):
        quote = p.quote()
        body = {"quote_id": quote["quote_id"], "product": "economy"}
        p.call("POST", "/v1/rides", body).problem(400, "idempotency-key-missing")
        need(400 <= p.request(quote["quote_id"], "k" * 256).status < 500, "a key of 256 characters was taken")
    with promise("POST /v1/rides: 404 for no quote and for somebody else's, 422 product for one that is not offered"):
        for nothing in ["1", "nonsense", ""]:
            p.request(nothing).problem(404, "not-found")
        world.stranger.request(quote["quote_id"]).problem(404, "not-found")
        p.request(quote["quote_id"], product="submarine").problem(422, "product")
    key = new_key()
    with promise("POST /v1/rides: only a success is kept: the same key works after a refusal"):
        p.request(quote["quote_id"], key, "submarine").problem(422, "product")
        first = p.request(quote["quote_id"], key)
        ride = first.expect(201)
    with promise("POST /v1/rides: 201 ride with Location and ETag, priced as quoted"):
        shape.check(shape.RIDE, ride)
        need(first.header("Location").endswith(f"/v1/rides/{ride['id']}"), "Location is not the ride's")
        need(first.header("ETag") == f'"{ride["version"]}"', "ETag is not the version")
        need(ride["version"] == 1 and ride["status"] == "requested" and ride["driver"] is None, "not a new ride")
        fare = {option["product"]: option["fare"] for option in quote["options"]}["economy"]
        need(ride["fare"] == fare and ride["product"] == "economy", "another fare or product")
        need(ride["pickup"] == PICKUP and ride["dropoff"] == DROPOFF, "another way")
        need(first.header("Idempotency-Replayed") is None, "a first answer says that it is a replay")
    with promise("POST /v1/rides: the same key again is the same answer, byte for byte, and says so; quoted is bare"):
        for again in [p.request(quote["quote_id"], key), p.request(quote["quote_id"], f'"{key}"')]:
            need(again.status == 201 and again.body == first.body, "another answer")
            need(again.header("Idempotency-Replayed") == "true", "no Idempotency-Replayed: true")
            for name in ["Location", "ETag", "Content-Type"]:
                need(again.header(name) == first.header(name), f"another {name}")
    with promise("POST /v1/rides: the same key with another body is 422 idempotency-key-reused"):
        p.request(quote["quote_id"], key, "xl").problem(422, "idempotency-key-reused")
    with promise("POST /v1/rides: a key belongs to its passenger"):
        world.stranger.request("1", key).problem(404, "not-found")
    with promise("POST /v1/rides: 409 already-riding, with the ride, comes before everything about the quote"):
        for other in [p.quote()["quote_id"], quote["quote_id"], "nonsense"]:
            need(p.request(other, product="submarine").problem(409, "already-riding")["ride_id"] == ride["id"], "another")
    with promise("GET /v1/rides/current and /v1/rides/{id} show it; If-None-Match gives 304 for what is held"):
        need(p.call("GET", "/v1/rides/current").expect(200)["id"] == ride["id"], "another ride")

        def unchanged():
            held = p.call("GET", f"/v1/rides/{ride['id']}")
            shape.check(shape.RIDE, held.expect(200))
            need(held.header("ETag") == f'"{held.json()["version"]}"', "ETag is not the version")
            again = p.call("GET", f"/v1/rides/{ride['id']}", headers={"If-None-Match": held.header("ETag")})
            return again if again.status == 304 else None
        eventually("no change between two calls, and a 304", unchanged)
        p.call("GET", f"/v1/rides/{ride['id']}", headers={"If-None-Match": '"999999"'}).expect(200)
    with promise("somebody else's ride is 404 not-found on every call"):
        for method, path in catalogue.secured():
            body = {"reason": "x"} if path.endswith("/cancel") else {"stars": 5} if path.endswith("/rating") else None
            if path.startswith("/v1/rides/{id}"):
                world.stranger.call(method, path.replace("{id}", ride["id"]), body).problem(404, "not-found")
    with promise("a used quote is 409 quote-used"):
        p.leave(ride["id"])
        p.request(quote["quote_id"]).problem(409, "quote-used")
    with promise("one of many requests at once opens the ride, whatever the keys"):
        racers = [p.quote()["quote_id"] for _ in range(6)]
        answers = at_once(lambda other: p.request(other), racers)
        opened = [answer.json()["id"] for answer in answers if answer.status == 201]
        need(len(opened) == 1, f"{len(opened)} rides were opened")
        for answer in answers:
            if answer.status != 201:
                need(answer.problem(409, "already-riding")["ride_id"] == opened[0], "another ride_id")
        p.leave(opened[0])
    with promise("many requests with one key at once get one ride, byte for byte"):
        quote, key = p.quote(), new_key()
        answers = at_once(lambda _: p.request(quote["quote_id"], key), range(6))
        for answer in answers:
            if answer.status == 409:
                answer.problem(409, "idempotency-in-progress")
        made = [answer for answer in answers if answer.status == 201]
        need(len({answer.body for answer in made}) == 1, "several answers")
        need(len([a for a in made if a.header("Idempotency-Replayed") is None]) == 1, "not exactly one was the first")
        p.leave(made[0].json()["id"])


def at_once(call, items):
    with concurrent.futures.ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(call, items))


def a_whole_ride(world):
    promise, server = world.report.promise, world.server
    p = Passenger(server).sign_in()
    ride = p.ride()
    ride_id = ride["id"]
    with promise("no receipt (409 ride-not-completed) and no rating before the ride is over"):
        p.call("GET", f"/v1/rides/{ride_id}/receipt").problem(409, "ride-not-completed")
        p.call("POST", f"/v1/rides/{ride_id}/rating", {"stars": 5}).problem(409, "ride-not-completed")
    with promise("a ride goes from requested to completed on one stream: no gap, no repeat, legal moves only"):
        stream = p.follow(ride_id)
        need((stream.answer.header("Content-Type") or "").startswith("text/event-stream"), "not text/event-stream")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            told = pool.submit(follow_to_end, stream, ride_id)
            p.authorised(ride_id)
            for status in ["accepted", "arrived", "in_progress", "completed"]:
                p.push(ride_id, status)
            live, _ = told.result()
        need(live[-1]["status"] == "completed" and live[-1]["payment_status"] != "pending", "not completed and paid")
        legal = {(row["from"], row["to"]) for row in server.send("GET", "/v1/ride-states").expect(200)["transitions"]}
        for before, after in zip(live, live[1:]):
            move = (before["status"], after["status"])
            need(move in legal or before["status"] == after["status"], f"{move} is not legal")
        need(stream.retry and stream.retry > 0, "no retry:")
        need(live[-1]["driver"] and live[-1]["driver"]["location"] is None, "no driver, or a position after the end")
    with promise("GET /v1/rides/{id}: the final ride is the last event"):
        need(p.look(ride_id) == live[-1], "they differ")
    with promise("Last-Event-ID N: every event after N, as it was then; location is null in replays"):
        last, seen = live[-1]["version"], {event["version"]: event for event in live}
        for after in range(0, last):
            replay, locations = follow_to_end(p.follow(ride_id, after), ride_id)
            need([event["version"] for event in replay] == list(range(after + 1, last + 1)), f"after {after}: a gap")
            need(not locations, "a position was replayed")
            for event in replay:
                need(event["driver"] is None or event["driver"]["location"] is None, "a replay with a position")
                then = seen.get(event["version"])
                need(then is None or bare(then) == bare(event), f"version {event['version']} is told differently")
    with promise("Last-Event-ID at the end or past it: 204; without one: the ride as it ended"):
        for after in [last, last + 1, last + 1000]:
            follow = p.follow(ride_id, after)
            need(follow.status == 204 and follow.answer.body == b"", f"after {after}: {follow.status}")
        need([event["version"] for event in follow_to_end(p.follow(ride_id), ride_id)[0]] == [last], "not only the last")
    with promise("a Last-Event-ID that is no number is 400 malformed"):
        for bad in ["x", "-1", "1.5", "99999999999999999999"]:
            p.follow(ride_id, bad).answer.problem(400, "malformed")
    with promise("receipt: its lines add up to the total, which is the fare; the money is captured"):
        receipt = p.settled(ride_id, "captured")
        shape.check(shape.RECEIPT, receipt)
        shape.adds_up(receipt["lines"], receipt["total"])
        need(receipt["total"] == ride["fare"] and receipt["ride_id"] == ride_id, "another total or ride")
        quote = p.call("GET", f"/v1/quotes/{ride['quote_id']}").expect(200)
        lines = {option["product"]: option["breakdown"] for option in quote["options"]}["economy"]
        need(receipt["lines"] == lines, "not the lines of the quote")
    with promise("rating: refused when out of form (422), taken once (201), then 409 already-rated"):
        path = f"/v1/rides/{ride_id}/rating"
        for bad in [{}, {"stars": 0}, {"stars": 6}, {"stars": "5"}, {"stars": 4.5}, {"stars": 5, "tags": "clean"}]:
            p.call("POST", path, bad).problem(422, "invalid-field")
        p.call("POST", path, {"stars": 5, "tags": ["clean"], "comment": "Thank you"}).expect(201)
        p.call("POST", path, {"stars": 1}).problem(409, "already-rated")
    with promise("a completed ride is not cancelled: 409 illegal-transition with from and to"):
        problem = p.cancel(ride_id).problem(409, "illegal-transition")
        need((problem["from"], problem["to"]) == ("completed", "cancelled"), "another from or to")


def bare(ride):
    """A ride without its driver's position."""
    return {**ride, "driver": ride["driver"] and {**ride["driver"], "location": None}}


def cancelling(world):
    promise, server = world.report.promise, world.server
    p = Passenger(server).sign_in()
    with promise("cancel: needs a reason (422)"):
        ride_id = p.ride()["id"]
        p.call("POST", f"/v1/rides/{ride_id}/cancel", {}).problem(422, "invalid-field")
        p.call("POST", f"/v1/rides/{ride_id}/cancel", {"reason": ""}).problem(422, "invalid-field")
    with promise("cancel: If-Match of another version is 412 precondition-failed and changes nothing"):
        p.cancel(ride_id, headers={"If-Match": '"999999"'}).problem(412, "precondition-failed")
        need(p.look(ride_id)["status"] != "cancelled", "it was cancelled")
    with promise("cancel: If-Match takes a list, of which one must be the version (RFC 9110, 13.1.1)"):
        def listed():
            version = p.look(ride_id)["version"]
            answer = p.cancel(ride_id, headers={"If-Match": f'"999999", "{version}"'})
            if answer.status == 412 and p.look(ride_id)["version"] != version:
                return None  # The ride moved on in between: again.
            return answer.expect(200)
        eventually("a version that stands still", listed)
    with promise("cancel: free before a driver is on the way; by passenger, with the reason; again is 200 the same"):
        if p.look(ride_id)["status"] != "cancelled":
            p.cancel(ride_id).expect(200)
        ride = p.look(ride_id)
        need(ride["status"] == "cancelled" and ride["cancellation"]["by"] == "passenger", "not cancelled by passenger")
        need(ride["cancellation"]["reason"] == "changed-my-mind", "another reason")
        fee = ride["cancellation"]["fee"]
        need(fee is None or fee["amount"] == 0, "not free")
        again = p.cancel(ride_id)
        need(again.expect(200) == ride and again.header("ETag") == f'"{ride["version"]}"', "another ride or ETag")
    with promise("receipt of a free end: no lines, total 0, the money voided"):
        receipt = p.settled(ride_id, "voided")
        need(receipt["lines"] == [] and receipt["total"]["amount"] == 0, "something is charged")
    with promise("a cancelled ride is not rated: 409 ride-not-completed; the passenger rides again"):
        p.call("POST", f"/v1/rides/{ride_id}/rating", {"stars": 5}).problem(409, "ride-not-completed")
        p.leave(p.ride()["id"])


def endings(world):
    promise, server = world.report.promise, world.server
    with promise("a declined payment: cancelled by system, payment-declined, before any driver; nothing to pay"):
        p = Passenger(server).sign_in()
        server.send("PUT", f"/sandbox/payment/{p.id}", {"decline": True}).expect(204)
        ride_id = p.ride()["id"]
        rides, _ = follow_to_end(p.follow(ride_id, 0), ride_id)
        need(rides[-1]["status"] == "cancelled" and rides[-1]["payment_status"] == "declined", "not cancelled, declined")
        need(rides[-1]["cancellation"]["by"] == "system", "not by system")
        need(rides[-1]["cancellation"]["reason"] == "payment-declined", "another reason")
        need(all(ride["driver"] is None for ride in rides), "dispatch was asked")
        need(p.receipt(ride_id)["total"]["amount"] == 0, "something is charged")
    with promise("an expired ride: its stream ends, it costs nothing, it is not cancelled (409 illegal-transition)"):
        def expired():
            # The fleet may be faster than the sandbox's expiry: then with another ride.
            p = Passenger(server).sign_in()
            ride_id = p.ride()["id"]
            forced = server.send("PUT", f"/sandbox/rides/{ride_id}", {"status": "expired"})
            return (p, ride_id) if forced.status == 204 else None
        p, ride_id = eventually("a ride expires", expired)
        rides, _ = follow_to_end(p.follow(ride_id, 0), ride_id)
        need(rides[-1]["status"] == "expired" and rides[-1]["cancellation"] is None, "not expired")
        need(p.cancel(ride_id).problem(409, "illegal-transition")["from"] == "expired", "another from")
        need(p.receipt(ride_id)["total"]["amount"] == 0, "something is charged")
    with promise("a forced step that is not legal is 409 illegal-transition"):
        server.send("PUT", f"/sandbox/rides/{ride_id}", {"status": "completed"}).problem(409, "illegal-transition")


def history(world):
    promise, server = world.report.promise, world.server
    p = Passenger(server).sign_in()
    with promise("GET /v1/rides: empty at first; newest first; pages neither repeat nor leave out"):
        need(p.call("GET", "/v1/rides").expect(200) == {"rides": [], "next_cursor": None}, "not empty")
        made = []
        for _ in range(5):
            made.append(p.ride()["id"])
            p.leave(made[-1])
        for limit in [1, 2, 5, 100]:
            read, cursor = [], None
            for _ in range(len(made) + 1):
                more = f"&cursor={cursor}" if cursor else ""
                page = p.call("GET", f"/v1/rides?limit={limit}{more}").expect(200)
                shape.check({"rides": shape.list_of(shape.RIDE), "next_cursor": shape.or_null(shape.text)}, page)
                need(len(page["rides"]) <= limit, "more than the limit")
                read += [ride["id"] for ride in page["rides"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            need(read == made[::-1], f"limit {limit}: {read}, made {made}")
    with promise("GET /v1/rides: limit is 1 to 100 (422), a number (400 malformed); a foreign cursor is invalid-cursor"):
        for limit in ["0", "101", "-1"]:
            p.call("GET", f"/v1/rides?limit={limit}").problem(422, "invalid-field")
        p.call("GET", "/v1/rides?limit=x").problem(400, "malformed")
        p.call("GET", "/v1/rides?cursor=nonsense").problem(400, "invalid-cursor")
