//! A ride that finds no driver.

use serde_json::json;

use crate::harness::{Gateway, cents, reason, text};

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
async fn an_expired_ride_costs_nothing_and_takes_no_driver_and_no_cancel() {
    let gateway = impatient().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_ride().await["id"]);
    passenger.ride_with(&id, "status", "expired").await;
    let receipt = passenger.receipt_with(&id, "voided").await;
    assert_eq!((&receipt["lines"], cents(&receipt["total"])), (&json!([]), 0));
    let late = gateway.driver("ana").accept(&id).await.problem(409, "illegal-transition");
    assert_eq!((&late["from"], &late["to"]), (&json!("expired"), &json!("accepted")));
    let cancel = passenger.cancel(&id, &reason()).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_who_never_comes_is_let_go_and_the_ride_is_matched_again() {
    let gateway = Gateway::start_with(&[("rides.pickup_timeout_s", "1")]).await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_authorised_ride().await["id"]);
    let mut stream = passenger.follow(&id).await;
    gateway.driver("ana").accept(&id).await.expect(200);
    stream.until("accepted").await;
    assert_eq!(stream.until("requested").await.data["driver"], json!(null));
    gateway.driver("ana").step(&id, "arrive").await.problem(409, "illegal-transition");
    gateway.driver("ben").accept(&id).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passenger_who_never_comes_is_not_waited_for_without_end() {
    let gateway = Gateway::start_with(&[("rides.boarding_timeout_s", "1")]).await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "arrived").await["id"]);
    let ride = passenger.ride_with(&id, "status", "cancelled").await;
    assert_eq!((&ride["cancellation"]["by"], &ride["cancellation"]["reason"]), (&json!("system"), &json!("no-show")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_that_nobody_ends_is_ended() {
    let gateway = Gateway::start_with(&[("rides.trip_timeout_s", "1")]).await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "in_progress").await["id"]);
    let ride = passenger.ride_with(&id, "status", "cancelled").await;
    assert_eq!(ride["cancellation"]["by"], "system");
    passenger.request_ride().await;
}
