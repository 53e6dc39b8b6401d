//! What a passenger sees when a partner fails, is slow, or says no.

use serde_json::{Value, json};

use crate::harness::{Gateway, cents, failing, fresh_phone, healthy, slow, text, trip};

/// Longer than a passenger is made to wait, milliseconds.
const TOO_SLOW_MS: u32 = 3000;

/// Drivers who come at once.
const EAGER_FLEET: [(&str, &str); 2] = [("sandbox.drivers", "5"), ("sandbox.time_scale", "500")];

#[tokio::test(flavor = "multi_thread")]
async fn without_messages_nobody_signs_in_until_they_work_again() {
    let gateway = Gateway::start().await;
    let (public, phone) = (gateway.public(), fresh_phone());
    for script in [failing(), slow(TOO_SLOW_MS)] {
        gateway.script("sms", &script).await;
        public.post("/v1/auth/otp", &json!({ "phone": phone })).send().await.problem(503, "unavailable");
    }
    gateway.script("sms", &healthy()).await;
    gateway.sign_in(&fresh_phone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_routing_there_are_no_quotes_until_it_works_again() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    for script in [failing(), slow(TOO_SLOW_MS)] {
        gateway.script("routing", &script).await;
        passenger.api.post("/v1/quotes", &trip()).send().await.problem(503, "unavailable");
        let products = gateway.public().get("/v1/products?lat=40.758&lng=-73.9855").send().await;
        products.problem(503, "unavailable");
    }
    gateway.script("routing", &healthy()).await;
    passenger.quote().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_under_way_does_not_mind_routing() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_ride().await["id"]);
    gateway.script("routing", &failing()).await;
    gateway.driver("ana").bring(&passenger, &id, "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_dispatch_fails_the_ride_waits_and_then_finds_a_driver() {
    let gateway = Gateway::start_with(&EAGER_FLEET).await;
    gateway.script("dispatch", &failing()).await;
    let passenger = gateway.passenger().await;
    let ride = passenger.request_authorised_ride().await;
    assert_eq!(ride["status"], "requested");
    gateway.script("dispatch", &healthy()).await;
    passenger.ride_with(&text(&ride["id"]), "status", "completed").await;
}

/// Long enough for the fleet to look at the open rides by itself: it must not find one that dispatch was not told of.
#[tokio::test(flavor = "multi_thread")]
async fn when_dispatch_never_works_the_ride_expires_for_free() {
    let settings = [EAGER_FLEET.as_slice(), &[("rides.match_timeout_s", "8")]].concat();
    let expires = async |script: Value| {
        let gateway = Gateway::start_with(&settings).await;
        gateway.script("dispatch", &script).await;
        let passenger = gateway.passenger().await;
        let id = text(&passenger.request_ride().await["id"]);
        passenger.ride_with(&id, "status", "expired").await;
        assert_eq!(cents(&passenger.receipt(&id).await.expect(200)["total"]), 0);
    };
    tokio::join!(expires(failing()), expires(slow(TOO_SLOW_MS)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_that_is_released_while_dispatch_fails_is_given_no_driver() {
    let settings = [EAGER_FLEET.as_slice(), &[("rides.match_timeout_s", "8")]].concat();
    let gateway = Gateway::start_with(&settings).await;
    gateway.script("dispatch", &failing()).await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_authorised_ride().await["id"]);
    let driver = gateway.driver("ana");
    driver.accept(&id).await.expect(200);
    driver.step(&id, "release").await.expect(200);
    passenger.ride_with(&id, "status", "expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_whose_driver_is_let_go_while_dispatch_fails_is_given_no_driver() {
    let timeouts = [("rides.match_timeout_s", "8"), ("rides.pickup_timeout_s", "1")];
    let gateway = Gateway::start_with(&[EAGER_FLEET.as_slice(), &timeouts].concat()).await;
    gateway.script("dispatch", &failing()).await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_authorised_ride().await["id"]);
    gateway.driver("ana").accept(&id).await.expect(200);
    passenger.ride_with(&id, "status", "requested").await;
    passenger.ride_with(&id, "status", "expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_payment_fails_the_ride_waits_and_then_goes_on() {
    let gateway = Gateway::start().await;
    for script in [failing(), slow(TOO_SLOW_MS)] {
        gateway.script("payment", &script).await;
        let passenger = gateway.passenger().await;
        let ride = passenger.request_ride().await;
        assert_eq!(ride["payment_status"], "pending");
        gateway.script("payment", &healthy()).await;
        gateway.driver("ana").bring(&passenger, &text(&ride["id"]), "completed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_payment_never_works_the_ride_expires_for_free() {
    let gateway = Gateway::start_with(&[("rides.match_timeout_s", "2")]).await;
    gateway.script("payment", &failing()).await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_ride().await["id"]);
    let ride = passenger.ride_with(&id, "status", "expired").await;
    assert!(!matches!(ride["payment_status"].as_str(), Some("authorised" | "captured")), "{ride}");
    assert_eq!(cents(&passenger.receipt(&id).await.expect(200)["total"]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_payment_cancels_the_ride_and_says_why() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let path = format!("/sandbox/payment/{}", passenger.id);
    gateway.public().put(&path, &json!({ "decline": true })).send().await.expect(204);
    let id = text(&passenger.request_ride().await["id"]);
    let events = passenger.follow(&id).await.rides_until_end().await;
    let ride = &events.last().unwrap().data;
    assert_eq!((&ride["status"], &ride["payment_status"]), (&json!("cancelled"), &json!("declined")));
    assert_eq!(
        (&ride["cancellation"]["by"], &ride["cancellation"]["reason"]),
        (&json!("system"), &json!("payment-declined"))
    );
    let receipt = passenger.receipt(&id).await.expect(200);
    assert_eq!((cents(&receipt["total"]), &receipt["payment_status"]), (0, &json!("declined")));

    gateway.public().put(&path, &json!({ "decline": false })).send().await.expect(204);
    passenger.request_authorised_ride().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_completes_although_its_capture_must_wait() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let driver = gateway.driver("ana");
    let id = text(&driver.ride_at(&passenger, "in_progress").await["id"]);
    gateway.script("payment", &failing()).await;
    driver.step(&id, "complete").await.expect(200);
    let ride = passenger.ride(&id).await;
    assert_eq!(ride["status"], "completed");
    assert_ne!(passenger.receipt(&id).await.expect(200)["payment_status"], "captured");
    gateway.script("payment", &healthy()).await;
    passenger.receipt_with(&id, "captured").await;
    assert_eq!(passenger.ride(&id).await, ride, "the terminal version is final");
}
