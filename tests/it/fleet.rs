//! The sandbox's drivers, messages and levers: the whole product without a partner.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Gateway, text};

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_drives_rides_from_request_to_completed() {
    let gateway = Gateway::start_with(&[("sandbox.drivers", "10"), ("sandbox.time_scale", "500")]).await;
    let passengers = join_all((0..5).map(|_| gateway.passenger())).await;
    let rides = join_all(passengers.iter().map(|passenger| async move {
        let quote = passenger.quote().await;
        let id = text(&passenger.try_request(&quote, "one").await.expect(201)["id"]);
        let events = passenger.follow(&id).await.rides_until_end().await;
        (quote, id, events)
    }))
    .await;
    for (passenger, (quote, id, events)) in passengers.iter().zip(rides) {
        let mut statuses: Vec<String> = events.iter().map(|event| text(&event.data["status"])).collect();
        statuses.dedup();
        assert_eq!(statuses.last().unwrap(), "completed", "{statuses:?}");
        assert!(statuses.iter().any(|status| status == "in_progress"), "{statuses:?}");
        let receipt = passenger.receipt(&id).await.expect(200);
        assert_eq!(receipt["total"], quote["options"][0]["fare"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_passenger_sees_the_car_move() {
    let gateway = Gateway::start_with(&[("sandbox.drivers", "3"), ("sandbox.time_scale", "60")]).await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_ride().await["id"]);
    let mut stream = passenger.follow(&id).await;
    let mut places = std::collections::HashSet::new();
    while places.len() < 2 {
        let event = stream.next().await.expect("the ride is under way");
        if event.name == "location" {
            places.insert(format!("{} {}", event.data["lat"], event.data["lng"]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_can_be_changed_while_running() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_authorised_ride().await["id"]);
    let fleet = json!({ "drivers": 5, "time_scale": 500.0, "accept_probability": 1.0 });
    gateway.public().put("/sandbox/fleet", &fleet).send().await.expect(204);
    passenger.ride_with(&id, "status", "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_never_accepts_lets_rides_expire() {
    let gateway = Gateway::start_with(&[("sandbox.drivers", "5"), ("rides.match_timeout_s", "2")]).await;
    let fleet = json!({ "drivers": 5, "time_scale": 500.0, "accept_probability": 0.0 });
    gateway.public().put("/sandbox/fleet", &fleet).send().await.expect(204);
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_ride().await["id"]);
    passenger.ride_with(&id, "status", "expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_can_force_legal_steps_only() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_authorised_ride().await["id"]);
    let force = async |status: &str| {
        gateway.public().put(&format!("/sandbox/rides/{id}"), &json!({ "status": status })).send().await
    };
    let refused = force("completed").await.problem(409, "illegal-transition");
    assert_eq!((&refused["from"], &refused["to"]), (&json!("requested"), &json!("completed")));
    for status in ["accepted", "arrived", "in_progress", "completed"] {
        force(status).await.expect(204);
        assert_eq!(passenger.ride(&id).await["status"], status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_sandbox_its_calls_do_not_exist() {
    let gateway = Gateway::start_with(&[("sandbox.enabled", "false")]).await;
    let public = gateway.public();
    public.get("/sandbox/sms/+12125550123").send().await.problem(404, "not-found");
    public.put("/sandbox/fleet", &json!({})).send().await.problem(404, "not-found");
    public.get("/v1/ride-states").send().await.expect(200);
    public.get("/v1/products?lat=40.758&lng=-73.9855").send().await.expect(200);
    public.post("/v1/auth/otp", &json!({ "phone": "+12125550123" })).send().await.problem(503, "unavailable");
}
