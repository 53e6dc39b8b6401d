//! The machine's clock is set while the gateway runs. A step forward counts as time that has passed: nobody can tell
//! the two apart. After a step back nothing waits for the old time to come again, and nothing lives its time twice.
//!
//! Only a build with debug assertions lets a test move the clock; see `docs/decisions/0010-a-clock-that-is-set.md`.

use serde_json::json;

use crate::harness::Gateway;

#[cfg(not(debug_assertions))]
#[tokio::test(flavor = "multi_thread")]
async fn the_clock_of_a_release_build_cannot_be_moved() {
    set_clock(&Gateway::start().await, 1).await.problem(404, "not-found");
}

/// What moves the clock is not compiled without debug assertions, and no profile adds them.
#[test]
fn a_release_build_has_no_way_to_move_the_clock() {
    assert!(!include_str!("../../Cargo.toml").contains("debug-assertions"));
    let clock = include_str!("../../crates/runtime/src/clock.rs");
    assert_eq!(clock.matches("#[cfg(debug_assertions)]\n    pub fn set_offset_ms").count(), 1);
}

/// Sets the gateway's clock to the machine's plus this many milliseconds.
async fn set_clock(gateway: &Gateway, offset_ms: i64) -> crate::harness::Answer {
    gateway.public().put("/sandbox/clock", &json!({ "offset_ms": offset_ms })).send().await
}

#[cfg(debug_assertions)]
mod steps {
    use serde_json::Value;

    use super::*;
    use crate::harness::{Answer, Event, Passenger, cents, eventually, fresh_phone, instant, text};

    const HOUR: i64 = 3_600_000;
    /// What a time service corrects at once, and what two nodes may differ by: nobody may notice.
    const SMALL: i64 = 5_000;

    async fn step(gateway: &Gateway, offset_ms: i64) {
        set_clock(gateway, offset_ms).await.expect(204);
    }

    async fn refresh(gateway: &Gateway, token: &str) -> Answer {
        gateway.public().post("/v1/auth/refresh", &json!({ "refresh_token": token })).send().await
    }

    async fn type_code(gateway: &Gateway, challenge: &str, phone: &str) -> Answer {
        let code = Passenger::read_code(&gateway.public(), phone).await;
        let body = json!({ "challenge_id": challenge, "code": code, "device_id": "phone-1" });
        gateway.public().post("/v1/auth/token", &body).send().await
    }

    async fn script_payment(gateway: &Gateway, failure_rate: f64, delay_ms: u32) {
        gateway.script("payment", &json!({ "failure_rate": failure_rate, "delay_ms": delay_ms })).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_code_ends_with_its_time_and_with_a_step_back() {
        let gateway = Gateway::start().await;
        for offset in [HOUR, -HOUR] {
            step(&gateway, 0).await;
            let phone = fresh_phone();
            let challenge = Passenger::ask_for_code(&gateway.public(), &phone).await;
            step(&gateway, offset).await;
            type_code(&gateway, &challenge, &phone).await.problem(410, "otp-expired");
            gateway.sign_in(&phone).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_phone_that_had_used_up_its_codes_waits_for_no_old_time() {
        let gateway = Gateway::start_with(&[("auth.otp_per_phone", "1")]).await;
        for (offset, status) in [(SMALL, 429), (-SMALL, 429), (HOUR, 202), (-HOUR, 202)] {
            step(&gateway, 0).await;
            let phone = fresh_phone();
            Passenger::ask_for_code(&gateway.public(), &phone).await;
            step(&gateway, offset).await;
            for expected in [status, 429] {
                let answer = gateway.public().post("/v1/auth/otp", &json!({ "phone": phone })).send().await;
                assert_eq!(answer.status, expected, "{offset}: {answer:#?}");
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_access_token_ends_with_its_time_and_with_a_step_back_and_a_refresh_helps() {
        let gateway = Gateway::start().await;
        for offset in [HOUR, -HOUR] {
            step(&gateway, 0).await;
            let passenger = gateway.passenger().await;
            step(&gateway, offset).await;
            passenger.api.get("/v1/me").send().await.problem(401, "token-expired");
            let next = refresh(&gateway, &passenger.refresh_token).await.expect(200);
            let api = gateway.public().with_token(&text(&next["access_token"]));
            assert_eq!(api.get("/v1/me").send().await.expect(200)["id"], passenger.id);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_token_before_the_newest_gives_the_same_successor_for_its_time_only() {
        let gateway = Gateway::start().await;
        for (offset, lost_answer) in [(-SMALL, true), (HOUR, false), (-HOUR, false)] {
            step(&gateway, 0).await;
            let passenger = gateway.passenger().await;
            let next = refresh(&gateway, &passenger.refresh_token).await.expect(200);
            step(&gateway, offset).await;
            let again = refresh(&gateway, &passenger.refresh_token).await;
            if lost_answer {
                assert_eq!(again.expect(200)["refresh_token"], next["refresh_token"]);
            } else {
                again.problem(401, "refresh-reused");
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_quote_ends_with_its_time_and_with_a_step_back() {
        for offset in [HOUR, -HOUR] {
            let gateway = early(&[]).await;
            let passenger = gateway.passenger().await;
            step(&gateway, 0).await;
            let quote = passenger.quote().await;
            step(&gateway, offset).await;
            passenger.try_request(&quote, "key-1").await.problem(410, "quote-expired");
            passenger.request_ride().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_notices_a_small_step_back() {
        let gateway = Gateway::start().await;
        let phone = fresh_phone();
        let challenge = Passenger::ask_for_code(&gateway.public(), &phone).await;
        let passenger = gateway.passenger().await;
        let quote = passenger.quote().await;
        step(&gateway, -SMALL).await;
        type_code(&gateway, &challenge, &phone).await.expect(200);
        let id = text(&passenger.try_request(&quote, "key-1").await.expect(201)["id"]);
        gateway.driver("ana").bring(&passenger, &id, "completed").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_repeated_key_gives_the_first_ride_on_either_side_of_a_step() {
        let gateway = patient().await;
        let passenger = gateway.passenger().await;
        step(&gateway, 0).await;
        let quote = passenger.quote().await;
        let first = passenger.try_request(&quote, "key-1").await;
        first.expect(201);
        for offset in [HOUR, -HOUR, -SMALL] {
            step(&gateway, offset).await;
            let again = passenger.try_request(&quote, "key-1").await;
            assert_eq!((again.status, &again.body), (201, &first.body));
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_ride_that_waits_when_the_clock_is_set_back_still_expires() {
        let gateway = early(&[("rides.match_timeout_s", "2")]).await;
        let passenger = gateway.passenger().await;
        step(&gateway, 0).await;
        let id = text(&passenger.request_authorised_ride().await["id"]);
        step(&gateway, -HOUR).await;
        passenger.ride_with(&id, "status", "expired").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_clock_that_is_put_right_again_ends_nobodys_ride() {
        let gateway = Gateway::start().await;
        for back in [HOUR, 7 * HOUR] {
            let driver = |status: &str| gateway.driver(&format!("driver-{status}-{back}"));
            let waiting = gateway.passenger().await;
            let mut rides = vec![(text(&waiting.request_authorised_ride().await["id"]), waiting, "requested")];
            for status in ["accepted", "arrived", "in_progress"] {
                let passenger = gateway.passenger().await;
                rides.push((text(&driver(status).ride_at(&passenger, status).await["id"]), passenger, status));
            }
            for (offset, told) in [(-back, "the clock was set back"), (0, "the clock was put right")] {
                let before = gateway.log().matches(told).count();
                step(&gateway, offset).await;
                eventually(told, async || (gateway.log().matches(told).count() > before).then_some(())).await;
            }
            for (id, passenger, status) in &rides {
                assert_eq!(passenger.ride(id).await["status"], *status, "{back} ms back and forth");
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_ride_whose_clock_was_set_back_while_nobody_served_still_expires() {
        let mut gateway = Gateway::start_with(&[("rides.match_timeout_s", "2")]).await;
        let passenger = gateway.passenger().await;
        step(&gateway, HOUR).await;
        let ahead = passenger_again(&gateway, &passenger).await;
        let id = text(&ahead.request_ride().await["id"]);
        // A process starts with the machine's clock, an hour behind.
        gateway.crash_and_restart().await;
        let now = passenger_again(&gateway, &passenger).await;
        now.ride_with(&id, "status", "expired").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_ride_whose_time_is_over_by_the_clock_ends_for_free() {
        let gateway = early(&[]).await;
        let passenger = gateway.passenger().await;
        step(&gateway, 0).await;
        let id = text(&passenger.request_authorised_ride().await["id"]);
        step(&gateway, HOUR).await;
        passenger.ride_with(&id, "status", "expired").await;
        assert_eq!(cents(&passenger.receipt(&id).await.expect(200)["total"]), 0);
        passenger.request_ride().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_payment_that_was_put_off_is_not_put_off_once_more_by_a_step_back() {
        let gateway = patient().await;
        let passenger = gateway.passenger().await;
        step(&gateway, 0).await;
        script_payment(&gateway, 1.0, 0).await;
        let id = text(&passenger.request_ride().await["id"]);
        eventually("the bank was asked in vain", async || gateway.log().contains("a partner failed").then_some(()))
            .await;
        step(&gateway, -HOUR).await;
        script_payment(&gateway, 0.0, 0).await;
        passenger.ride_with(&id, "payment_status", "authorised").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lease_from_before_a_step_back_is_not_waited_for() {
        let mut gateway = Gateway::start().await;
        let passenger = gateway.passenger().await;
        step(&gateway, HOUR).await;
        let ahead = passenger_again(&gateway, &passenger).await;
        script_payment(&gateway, 0.0, 60_000).await;
        let id = text(&ahead.request_ride().await["id"]);
        // The bank has not answered: the message is leased by a process that is gone, until in an hour.
        gateway.crash_and_restart().await;
        let now = passenger_again(&gateway, &passenger).await;
        now.ride_with(&id, "payment_status", "authorised").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_driver_is_seen_where_the_last_report_says_after_a_step_back() {
        let gateway = patient().await;
        let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
        step(&gateway, 0).await;
        let id = text(&driver.ride_at(&passenger, "accepted").await["id"]);
        driver.report(40.75, -73.98, 0).await.expect(204);
        let location = async || passenger.ride(&id).await["driver"]["location"].clone();
        assert_eq!(location().await["stale"], false);
        step(&gateway, -HOUR).await;
        assert_eq!(location().await["stale"], true, "nobody knows how long ago that was");
        driver.report(40.76, -73.97, 0).await.expect(204);
        let seen = location().await;
        assert_eq!((&seen["lat"], &seen["stale"]), (&json!(40.76), &json!(false)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn consent_to_a_fee_ends_with_its_time_and_with_a_step_back() {
        let gateway = patient().await;
        for (number, offset) in [HOUR / 2, -HOUR].into_iter().enumerate() {
            step(&gateway, -HOUR).await;
            let (passenger, driver) = (gateway.passenger().await, gateway.driver(&format!("d{number}")));
            step(&gateway, 0).await;
            let id = text(&driver.ride_at(&passenger, "arrived").await["id"]);
            let token = consent(&passenger, &id, None).await;
            step(&gateway, offset).await;
            let token = consent(&passenger, &id, Some(&token)).await;
            let agreed = json!({ "reason": "changed-my-mind", "confirmation_token": token });
            assert_eq!(passenger.cancel(&id, &agreed).await.expect(200)["status"], "cancelled");
        }
    }

    /// Tries to cancel with a consent that is not good (any more); the token of the one that is asked for.
    async fn consent(passenger: &Passenger, ride: &str, token: Option<&str>) -> String {
        let mut body = json!({ "reason": "changed-my-mind" });
        if let Some(token) = token {
            body["confirmation_token"] = json!(token);
        }
        let asked = passenger.cancel(ride, &body).await.problem(409, "cancellation-fee");
        text(&asked["confirmation_token"])
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn simulated_drivers_go_on_after_a_step_back() {
        let gateway = early(&[("sandbox.drivers", "5"), ("sandbox.time_scale", "200")]).await;
        let passenger = gateway.passenger().await;
        step(&gateway, 0).await;
        let id = text(&passenger.request_ride().await["id"]);
        passenger.ride_with(&id, "status", "accepted").await;
        step(&gateway, -HOUR).await;
        passenger.ride_with(&id, "status", "completed").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn events_are_numbered_without_gaps_whatever_the_clock_does() {
        let gateway = patient().await;
        let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
        step(&gateway, 0).await;
        let id = text(&passenger.request_authorised_ride().await["id"]);
        let stream = passenger.follow(&id).await;
        for (offset, status) in [(-HOUR, "accepted"), (HOUR / 2, "arrived"), (-SMALL, "in_progress"), (0, "completed")]
        {
            step(&gateway, offset).await;
            driver.bring(&passenger, &id, status).await;
        }
        let live: Vec<u64> = stream.rides_until_end().await.iter().map(Event::seq).collect();
        assert_eq!(live, [2, 3, 4, 5, 6]);
        let again = passenger.try_follow(&id, Some("1")).await.expect("a stream").rides_until_end().await;
        assert_eq!(again.iter().map(Event::seq).collect::<Vec<_>>(), live);
        let shown = passenger.api.get(&format!("/v1/rides/{id}")).send().await;
        assert_eq!(shown.header("etag"), Some("\"6\""));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_history_has_every_ride_once_by_the_time_it_was_requested() {
        let gateway = patient().await;
        let passenger = gateway.passenger().await;
        let mut requested = vec![];
        for offset in [0, -HOUR, HOUR / 2, -SMALL, 0] {
            step(&gateway, offset).await;
            let ride = passenger.request_ride().await;
            let id = text(&ride["id"]);
            passenger.cancel(&id, &json!({ "reason": "changed-my-mind" })).await.expect(200);
            requested.push((instant(&ride["requested_at"]), id));
        }
        requested.sort();
        let (mut seen, mut cursor) = (vec![], Value::Null);
        loop {
            let after = cursor.as_str().map_or(String::new(), |cursor| format!("&cursor={cursor}"));
            let page = passenger.api.get(&format!("/v1/rides?limit=2{after}")).send().await.expect(200);
            seen.extend(page["rides"].as_array().unwrap().iter().map(|ride| text(&ride["id"])));
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(seen, requested.into_iter().rev().map(|(_, id)| id).collect::<Vec<_>>());
    }

    /// Its token is noticed to have expired with the next heartbeat.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_stream_ends_when_its_tokens_time_is_over_by_the_clock() {
        let gateway = Gateway::start_with(&[("rides.match_timeout_s", "86400")]).await;
        let passenger = gateway.passenger().await;
        let id = text(&passenger.request_ride().await["id"]);
        let stream = passenger.follow(&id).await;
        step(&gateway, HOUR).await;
        stream.until_end().await;
    }

    /// A gateway whose clock is an hour behind and whose tokens live for a day: who signs in now has a token that is
    /// good for the whole test. What a step does to tokens has a test of its own.
    async fn early(changes: &[(&str, &str)]) -> Gateway {
        let gateway = Gateway::start_with(&[&[("auth.access_ttl_s", "86400")], changes].concat()).await;
        step(&gateway, -HOUR).await;
        gateway
    }

    /// The same, where no ride times out.
    async fn patient() -> Gateway {
        let day = "86400";
        let keys = ["rides.match_timeout_s", "rides.pickup_timeout_s", "rides.boarding_timeout_s"];
        early(&keys.map(|key| (key, day))).await
    }

    /// The same passenger, signed in by the clock of now.
    async fn passenger_again(gateway: &Gateway, passenger: &Passenger) -> Passenger {
        gateway.sign_in(&passenger.phone).await
    }
}
