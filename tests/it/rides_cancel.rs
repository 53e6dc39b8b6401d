//! Cancelling: free, for a fee that was shown first, or not at all.

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::harness::{Gateway, Passenger, cents, instant, passed, reason, text};

fn confirmed(token: &Value) -> Value {
    json!({ "reason": "changed-my-mind", "confirmation_token": token })
}

/// The fee preview of a ride that is not free to cancel any more.
async fn preview(passenger: &Passenger, id: &str) -> Value {
    passenger.cancel(id, &reason()).await.problem(409, "cancellation-fee")
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_before_a_driver_comes_is_free() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_authorised_ride().await["id"]);
    let ride = passenger.cancel_free(&id).await;
    assert_eq!(ride["status"], "cancelled");
    assert_eq!(
        (&ride["cancellation"]["by"], &ride["cancellation"]["reason"]),
        (&json!("passenger"), &json!("changed-my-mind"))
    );
    assert!(ride["cancellation"]["fee"].is_null() || cents(&ride["cancellation"]["fee"]) == 0, "{ride}");
    let receipt = passenger.receipt_with(&id, "voided").await;
    assert_eq!((&receipt["lines"], cents(&receipt["total"])), (&json!([]), 0));
    passenger.request_ride().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_soon_after_accept_is_free() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "accepted").await["id"]);
    assert_eq!(passenger.cancel_free(&id).await["status"], "cancelled");
    let receipt = passenger.receipt_with(&id, "voided").await;
    assert_eq!(cents(&receipt["total"]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn once_the_driver_waits_the_fee_is_shown_first() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "arrived").await["id"]);
    let shown = preview(&passenger, &id).await;
    let fare = cents(&passenger.ride(&id).await["fare"]);
    assert_eq!(cents(&shown["fee"]), fare.min(500));
    let left = instant(&shown["expires_at"]) - OffsetDateTime::now_utc();
    assert!((1..=60).contains(&left.whole_seconds()), "{left}");
    assert_eq!(passenger.ride(&id).await["status"], "arrived", "a preview changes nothing");

    let ride = passenger.cancel(&id, &confirmed(&shown["confirmation_token"])).await.expect(200);
    assert_eq!((&ride["status"], &ride["cancellation"]["fee"]), (&json!("cancelled"), &shown["fee"]));
    let receipt = passenger.receipt_with(&id, "captured").await;
    assert_eq!(receipt["total"], shown["fee"]);
    assert_eq!(receipt["lines"], json!([{ "kind": "cancellation_fee", "amount": shown["fee"] }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_free_time_after_accept_is_a_setting() {
    let gateway = Gateway::start_with(&[("rides.cancel_free_s", "0")]).await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "accepted").await["id"]);
    let shown = preview(&passenger, &id).await;
    assert!(cents(&shown["fee"]) > 0);
    passenger.cancel(&id, &confirmed(&shown["confirmation_token"])).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_belongs_to_its_ride() {
    let gateway = Gateway::start().await;
    let (first, second) = (gateway.passenger().await, gateway.passenger().await);
    let one = text(&gateway.driver("ana").ride_at(&first, "arrived").await["id"]);
    let two = text(&gateway.driver("ben").ride_at(&second, "arrived").await["id"]);
    let token = preview(&first, &one).await["confirmation_token"].clone();
    for wrong in [token, json!("nonsense"), json!("")] {
        let again = second.cancel(&two, &confirmed(&wrong)).await.problem(409, "cancellation-fee");
        assert!(again["confirmation_token"].is_string(), "a fresh one is offered: {again}");
    }
    assert_eq!(second.ride(&two).await["status"], "arrived");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_twice_gives_the_same_ride() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_authorised_ride().await["id"]);
    let first = passenger.cancel_free(&id).await;
    let second = passenger.cancel(&id, &json!({ "reason": "another" })).await.expect(200);
    assert_eq!((&second["version"], &second["cancellation"]), (&first["version"], &first["cancellation"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_under_way_or_over_is_not_cancelled_by_its_passenger() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "in_progress").await["id"]);
    for from in ["in_progress", "completed"] {
        driver.bring(&passenger, &id, from).await;
        let problem = passenger.cancel(&id, &reason()).await.problem(409, "illegal-transition");
        assert_eq!((&problem["from"], &problem["to"]), (&json!(from), &json!("cancelled")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_may_insist_on_the_version_it_saw() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let ride = passenger.request_authorised_ride().await;
    let path = format!("/v1/rides/{}/cancel", text(&ride["id"]));
    let cancel = async |tag: String| passenger.api.post(&path, &reason()).header("if-match", &tag).send().await;
    cancel("\"9999\"".to_owned()).await.problem(412, "precondition-failed");
    assert_eq!(cancel(format!("\"{}\"", ride["version"])).await.expect(200)["status"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_may_cancel_and_the_passenger_pays_nothing() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "arrived").await["id"]);
    driver.cancel(&id).await.expect(200);
    let ride = passenger.ride(&id).await;
    assert_eq!((&ride["status"], &ride["cancellation"]["by"]), (&json!("cancelled"), &json!("driver")));
    assert_eq!(cents(&passenger.receipt_with(&id, "voided").await["total"]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_against_an_accept_leaves_one_legal_end() {
    let gateway = Gateway::start().await;
    for round in 0..8 {
        let (passenger, driver) = (gateway.passenger().await, gateway.driver(&format!("driver-{round}")));
        let id = text(&passenger.request_authorised_ride().await["id"]);
        let body = reason();
        let (cancelled, accepted) = tokio::join!(passenger.cancel(&id, &body), driver.accept(&id));
        cancelled.expect(200);
        assert!(matches!(accepted.status, 200 | 409), "{accepted:#?}");
        assert_eq!(passenger.ride(&id).await["status"], "cancelled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_expires() {
    let gateway = Gateway::start_with(&[("rides.confirmation_ttl_s", "1")]).await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "arrived").await["id"]);
    let shown = preview(&passenger, &id).await;
    passed(&shown["expires_at"]).await;
    let late = passenger.cancel(&id, &confirmed(&shown["confirmation_token"])).await;
    late.problem(409, "cancellation-fee");
    assert_eq!(passenger.ride(&id).await["status"], "arrived");
}
