"""Signing in, tokens, the profile."""

import catalogue
import shape
from client import need
from passenger import Passenger, new_phone


def walk(world):
    promise, server = world.report.promise, world.server
    p = Passenger(server)
    with promise("auth/otp: 202 with a challenge that has not expired"):
        challenge = server.send("POST", "/v1/auth/otp", {"phone": p.phone, "device_id": "conformance"}).expect(202)
        shape.check(shape.CHALLENGE, challenge)
        need(shape.from_now(challenge["expires_at"]) > -5, "expires_at is past")
    with promise("auth/token: a wrong code is 401 otp-invalid and counts attempts_left down"):
        challenge, code = p.code()
        body = {"challenge_id": challenge["challenge_id"], "device_id": "conformance"}
        wrong = "000000" if code != "000000" else "111111"
        left = [server.send("POST", "/v1/auth/token", {**body, "code": wrong}).problem(401, "otp-invalid")
                ["attempts_left"] for _ in range(2)]
        need(left[1] == left[0] - 1, f"attempts_left {left}")
    with promise("auth/token: the right code gives tokens; the phone is new"):
        p.tokens = server.send("POST", "/v1/auth/token", {**body, "code": code}).expect(200)
        shape.check(shape.TOKENS, p.tokens)
        need(p.tokens["passenger"]["is_new"] and p.tokens["passenger"]["phone"] == p.phone, "not new, or another phone")
    with promise("auth/token: a used code is 410 otp-expired"):
        server.send("POST", "/v1/auth/token", {**body, "code": code}).problem(410, "otp-expired")
    with promise("auth/token: a challenge tried too often is 410 otp-expired, with the right code too"):
        other = Passenger(server)
        challenge, code = other.code()
        body = {"challenge_id": challenge["challenge_id"], "device_id": "conformance"}
        wrong = "000000" if code != "000000" else "111111"
        for _ in range(25):
            answer = server.send("POST", "/v1/auth/token", {**body, "code": wrong})
            if answer.status == 410:
                break
        answer.problem(410, "otp-expired")
        server.send("POST", "/v1/auth/token", {**body, "code": code}).problem(410, "otp-expired")
    with promise("auth/otp: 202 of the same members whether or not the phone is known"):
        known = server.send("POST", "/v1/auth/otp", {"phone": p.phone}).expect(202)
        unknown = server.send("POST", "/v1/auth/otp", {"phone": new_phone()}).expect(202)
        need(known.keys() == unknown.keys(), "the answers differ")
    with promise("auth/token: the second time the phone is not new, the passenger is the same"):
        again = Passenger(server, p.phone).sign_in()
        need(again.id == p.id and not again.tokens["passenger"]["is_new"], "another passenger, or new")
    tokens(world)
    profile(world)


def refresh(server, token):
    return server.send("POST", "/v1/auth/refresh", {"refresh_token": token})


def tokens(world):
    promise, server = world.report.promise, world.server
    p = Passenger(server).sign_in()
    first = p.tokens["refresh_token"]
    with promise("auth/refresh: a new pair; the access token works"):
        second = refresh(server, first).expect(200)
        shape.check(shape.TOKENS, second)
        need(second["refresh_token"] != first, "the token was not rotated")
        p.tokens = second
        need(p.call("GET", "/v1/me").expect(200)["id"] == second["passenger"]["id"], "another passenger")
    with promise("auth/refresh: the previous token, soon again, gives the same successor"):
        need(refresh(server, first).expect(200)["refresh_token"] == second["refresh_token"], "another successor")
    with promise("auth/refresh: an older token is 401 refresh-reused and ends the family"):
        third = refresh(server, second["refresh_token"]).expect(200)
        refresh(server, first).problem(401, "refresh-reused")
        need(refresh(server, third["refresh_token"]).status == 401, "the family lives on")
    with promise("auth/refresh: what is no token of ours is 401 token-invalid"):
        refresh(server, "nonsense").problem(401, "token-invalid")
    with promise("auth/logout: 204; refresh stops at once, the access token lives on"):
        p.sign_in()
        p.call("POST", "/v1/auth/logout").expect(204)
        need(refresh(server, p.tokens["refresh_token"]).status == 401, "refresh still works")
        p.call("GET", "/v1/me").expect(200)
    name = "401 token-expired once the access token's life is over"
    life = p.tokens["expires_in"]
    if life <= 10:
        with promise(name):
            p.sign_in()
            world.sleep(life + 1.5)
            old = {"Authorization": f"Bearer {p.tokens['access_token']}"}
            server.send("GET", "/v1/me", headers=old).problem(401, "token-expired")
    else:
        world.report.skip(name, f"it lives {life} s here; lower auth.access_ttl_s to 10 to see it")
    with promise("401 token-missing without a token, token-invalid with a bad one, where a token is needed"):
        for method, path in catalogue.secured():
            path = path.replace("{id}", "1")
            body = {} if method in ("POST", "PATCH") else None
            server.send(method, path, body).problem(401, "token-missing")
            bad = p.tokens["access_token"][:-4] + "AAAA"
            server.send(method, path, body, {"Authorization": f"Bearer {bad}"}).problem(401, "token-invalid")


def profile(world):
    promise, server = world.report.promise, world.server
    p = Passenger(server).sign_in()
    with promise("GET /v1/me: the profile, empty at first"):
        me = p.call("GET", "/v1/me").expect(200)
        shape.check(shape.PROFILE, me)
        need(me["id"] == p.id and me["phone"] == p.phone, "somebody else")
        need(me["name"] is me["email"] is me["locale"] is None, "not empty")
    with promise("PATCH /v1/me is a JSON merge patch: absent stays, null removes"):
        merge = {"Content-Type": "application/merge-patch+json"}
        all_set = {"name": "Zoë 王", "email": "zoe@example.com", "locale": "en-US"}
        need(p.call("PATCH", "/v1/me", all_set, merge).expect(200) == {**me, **all_set}, "not all was set")
        one = p.call("PATCH", "/v1/me", {"email": None}, merge).expect(200)
        need(one == {**me, **all_set, "email": None}, "not only the e-mail was removed")
        need(p.call("PATCH", "/v1/me", {}).expect(200) == one, "an empty patch changed something")
        need(p.call("GET", "/v1/me").expect(200) == one, "it was not kept")
    with promise("PATCH /v1/me: what is no name, e-mail, locale or member is 422 invalid-field"):
        for field, value in [("name", ""), ("name", 7), ("email", "nobody"), ("locale", "!"), ("phone", "+12125550123")]:
            problem = p.call("PATCH", "/v1/me", {field: value}).problem(422, "invalid-field")
            need(problem["field"] == field and problem["allowed"], f"{field} is not named")
        need(p.call("GET", "/v1/me").expect(200) == one, "a refused patch changed something")
    with promise("DELETE /v1/me: 409 already-riding during a ride"):
        ride = p.ride()
        need(p.call("DELETE", "/v1/me").problem(409, "already-riding")["ride_id"] == ride["id"], "another ride_id")
        p.leave(ride["id"])
    with promise("DELETE /v1/me: 204, then 401 token-invalid, and no refresh"):
        p.call("DELETE", "/v1/me").expect(204)
        p.call("GET", "/v1/me").problem(401, "token-invalid")
        p.call("GET", f"/v1/rides/{ride['id']}").problem(401, "token-invalid")
        need(refresh(server, p.tokens["refresh_token"]).status == 401, "refresh still works")
    with promise("the phone of a deleted passenger signs in as somebody new"):
        again = Passenger(server, p.phone).sign_in()
        need(again.tokens["passenger"]["is_new"] and again.id != p.id, "the old passenger is back")
        again.call("GET", f"/v1/rides/{ride['id']}").problem(404, "not-found")
