//! A ride that finds no driver.

use serde_json::json;

use crate::harness::{Gateway, cents, eventually, text};

/// Nobody comes, and soon nobody waits.
async fn impatient() -> Gateway {
    Gateway::start_with(&[("rides.match_timeout_s", "2")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_without_a_driver_expires_and_its_stream_ends() {
    let gateway = impatient().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_ride().await["id"]);
    let events = passenger.follow(&id).await.rides_until_end().await;
    let last = &events.last().unwrap().data;
    assert_eq!((&last["status"], &last["driver"]), (&json!("expired"), &json!(null)));
    assert_eq!(passenger.api.get("/v1/rides/current").send().await.status, 204);
    passenger.request_ride().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_ride_costs_nothing() {
    let gateway = impatient().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_authorised_ride().await["id"]);
    passenger.ride_with(&id, "status", "expired").await;
    let receipt = eventually("the authorisation is voided", async || {
        let receipt = passenger.receipt(&id).await.expect(200);
        (receipt["payment_status"] == "voided").then_some(receipt)
    })
    .await;
    assert_eq!((&receipt["lines"], cents(&receipt["total"])), (&json!([]), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_ride_takes_no_driver_and_no_cancel() {
    let gateway = impatient().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_authorised_ride().await["id"]);
    passenger.ride_with(&id, "status", "expired").await;
    let late = gateway.driver("ana").accept(&id).await.problem(409, "illegal-transition");
    assert_eq!((&late["from"], &late["to"]), (&json!("expired"), &json!("accepted")));
    let cancel = passenger.cancel(&id, &json!({ "reason": "changed-my-mind" })).await;
    assert_eq!(cancel.problem(409, "illegal-transition")["from"], "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_ride_does_not_expire() {
    let gateway = impatient().await;
    let (passenger, other) = (gateway.passenger().await, gateway.passenger().await);
    let accepted = text(&gateway.driver("ana").ride_at(&passenger, "accepted").await["id"]);
    // The other ride is younger: when it has expired, the first one's time is over as well.
    let waiting = text(&other.request_ride().await["id"]);
    other.ride_with(&waiting, "status", "expired").await;
    assert_eq!(passenger.ride(&accepted).await["status"], "accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_ride_gets_its_time_again_and_then_expires() {
    let gateway = impatient().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "accepted").await["id"]);
    driver.step(&id, "release").await.expect(200);
    passenger.ride_with(&id, "status", "expired").await;
}
