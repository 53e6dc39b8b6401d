//! Power cuts and polite ends: what was acknowledged stays.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Burst, EventStream, Gateway, failing, text};

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_rides_survive_a_crash_at_every_step_and_run_to_their_end() {
    let mut gateway = Gateway::start().await;
    let mut rides = Vec::new();
    for status in ["requested", "accepted", "arrived", "in_progress", "completed"] {
        let (passenger, driver) = (gateway.passenger().await, gateway.driver(&format!("driver-of-{status}")));
        let ride = if status == "requested" {
            passenger.request_authorised_ride().await
        } else {
            driver.ride_at(&passenger, status).await
        };
        rides.push((passenger, driver, ride));
    }
    gateway.crash_and_restart().await;
    for (passenger, driver, before) in rides {
        let id = text(&before["id"]);
        let after = passenger.ride(&id).await;
        for field in ["status", "fare", "product", "quote_id", "requested_at", "pickup_code"] {
            assert_eq!(after[field], before[field], "{field} of the ride that was {}", before["status"]);
        }
        assert!(after["version"].as_u64() >= before["version"].as_u64());
        if before["status"] != "completed" {
            driver.bring(&passenger, &id, "completed").await;
        }
        assert_eq!(passenger.receipt(&id).await.expect(200)["ride_id"], id);
        let log = passenger.follow_after(&id, 0).await.rides_until_end().await;
        assert_eq!(EventStream::gapless(&log)[0], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_while_the_power_went_is_there() {
    let mut gateway = Gateway::start().await;
    let burst = Burst::new(&gateway).await;
    let (answers, ()) = burst.send(4, async || gateway.crash_and_restart().await).await;
    burst.has_one_ride_each(answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_survive_a_crash() {
    let mut gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    gateway.crash_and_restart().await;
    assert_eq!(passenger.api.get("/v1/me").send().await.expect(200)["id"], passenger.id);
    let body = json!({ "refresh_token": passenger.refresh_token });
    gateway.public().post("/v1/auth/refresh", &body).send().await.expect(200);
    let again = gateway.sign_in(&passenger.phone).await;
    assert_eq!(again.id, passenger.id, "the phone still leads to the same passenger");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_waited_in_the_outbox_is_done_after_a_crash() {
    let mut gateway = Gateway::start().await;
    gateway.script("payment", &failing()).await;
    let passenger = gateway.passenger().await;
    let ride = passenger.request_ride().await;
    // Scripted failures end with the process, the outbox does not.
    gateway.crash_and_restart().await;
    passenger.ride_with(&text(&ride["id"]), "payment_status", "authorised").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_takes_up_its_rides_after_a_crash() {
    let mut gateway = Gateway::start_with(&[("sandbox.drivers", "10"), ("sandbox.time_scale", "500")]).await;
    let passengers = join_all((0..5).map(|_| gateway.passenger())).await;
    let mut ids = Vec::new();
    for passenger in &passengers {
        ids.push(text(&passenger.request_ride().await["id"]));
    }
    passengers[0].follow(&ids[0]).await.until("accepted").await;
    gateway.crash_and_restart().await;
    for (passenger, id) in passengers.iter().zip(&ids) {
        passenger.ride_with(id, "status", "completed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_passes_also_while_the_power_is_off() {
    let mut gateway = Gateway::start_with(&[("rides.match_timeout_s", "2")]).await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_ride().await["id"]);
    gateway.crash_and_restart().await;
    passenger.ride_with(&id, "status", "expired").await;
}
