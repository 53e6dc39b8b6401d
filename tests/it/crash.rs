//! Power cuts and polite ends: what was acknowledged stays.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Gateway, Passenger, text};

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
        driver_goes_on(&driver, &passenger, &id).await;
        let log = passenger.try_follow(&id, Some("0")).await.unwrap_or_else(|answer| panic!("{answer:#?}"));
        let versions: Vec<u64> = log.rides_until_end().await.iter().map(crate::harness::Event::seq).collect();
        assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>(), "the log has no hole");
    }
}

async fn driver_goes_on(driver: &crate::harness::Driver, passenger: &Passenger, id: &str) {
    if passenger.ride(id).await["status"] != "completed" {
        driver.bring(passenger, id, "completed").await;
    }
    assert_eq!(passenger.receipt(id).await.expect(200)["ride_id"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_while_the_power_went_is_there() {
    let mut gateway = Gateway::start().await;
    let passengers = join_all((0..12).map(|_| gateway.passenger())).await;
    let quotes: Vec<Value> = join_all(passengers.iter().map(Passenger::quote)).await;
    let body = |quote: &Value| json!({ "quote_id": quote["quote_id"], "product": "economy" });
    let (sent, mut done) = tokio::sync::mpsc::unbounded_channel();
    let requests: Vec<_> = passengers
        .iter()
        .zip(&quotes)
        .map(|(passenger, quote)| {
            let call = passenger.api.post("/v1/rides", &body(quote)).header("idempotency-key", "k");
            let sent = sent.clone();
            async move {
                let answer = call.try_send().await;
                let _ = sent.send(());
                answer.ok()
            }
        })
        .collect();
    // The power goes after a few answers, while others are under way.
    let cut = async {
        for _ in 0..4 {
            done.recv().await;
        }
        gateway.crash_and_restart().await;
    };
    let (answers, ()) = tokio::join!(join_all(requests), cut);
    for ((passenger, quote), answer) in passengers.iter().zip(&quotes).zip(answers) {
        // The same key again: the stored answer if there was one, a new ride otherwise, never a second ride.
        let again = passenger.try_request_body(&body(quote), "k").await;
        again.expect(201);
        if let Some(acknowledged) = answer.filter(|answer| answer.status == 201) {
            assert_eq!(again.body, acknowledged.body);
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
        }
        let history = passenger.api.get("/v1/rides").send().await.expect(200);
        assert_eq!(history["rides"].as_array().unwrap().len(), 1);
    }
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
    gateway.script("payment", &json!({ "failure_rate": 1.0, "delay_ms": 0 })).await;
    let passenger = gateway.passenger().await;
    let ride = passenger.request_ride().await;
    // Scripted failures end with the process, the outbox does not.
    gateway.crash_and_restart().await;
    passenger.ride_with(&text(&ride["id"]), "payment_status", "authorised").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_takes_up_its_rides_after_a_crash() {
    let mut gateway = Gateway::start_with(&[("sandbox.drivers", "10"), ("sandbox.time_scale", "100")]).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_stop_it_ends_its_streams_and_leaves_with_zero() {
    let mut gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_authorised_ride().await["id"]);
    let mut stream = passenger.follow(&id).await;
    stream.next().await.expect("the current ride");
    let (code, rest) = tokio::join!(gateway.stop(), stream.until_end());
    assert_eq!(code, Some(0));
    assert!(rest.is_empty(), "a clean end and nothing else: {rest:?}");
}
