//! A ride's life with a driver: every step, every step that is not allowed, what the passenger sees.

use serde_json::{Value, json};

use crate::harness::{Driver, Gateway, cents, eventually, failing, instant, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_runs_from_request_to_rating() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let ride = passenger.request_ride().await;
    let id = text(&ride["id"]);
    let mut version = ride["version"].as_u64();
    for status in ["accepted", "arrived", "in_progress", "completed"] {
        let now = driver.bring(&passenger, &id, status).await;
        assert_eq!(now["status"], status);
        assert!(now["version"].as_u64() > version, "{now}");
        assert!(instant(&now["status_at"]) >= instant(&now["requested_at"]));
        assert_eq!(now["fare"], ride["fare"], "an upfront fare does not change");
        version = now["version"].as_u64();
    }
    let answer = passenger.api.get("/v1/rides/current").send().await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    let rating = json!({ "stars": 5, "tags": ["clean"], "comment": "smooth" });
    passenger.api.post(&format!("/v1/rides/{id}/rating"), &rating).send().await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_passenger_sees_who_comes() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let ride = driver.ride_at(&passenger, "accepted").await;
    let mut card = driver.card();
    card["location"] = Value::Null;
    assert_eq!(ride["driver"], card);
    assert_eq!(ride["pickup_eta_s"], 180);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_never_sees_the_pickup_code() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let ride = passenger.request_authorised_ride().await;
    let seen = driver.accept(&text(&ride["id"])).await.expect(200);
    assert_eq!(seen.get("pickup_code"), None, "{seen}");
    let listed = driver.rides().await;
    assert!(!listed.to_string().contains("pickup_code"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_cannot_accept_before_the_payment_is_authorised() {
    let gateway = Gateway::start().await;
    gateway.script("payment", &failing()).await;
    let passenger = gateway.passenger().await;
    let ride = passenger.request_ride().await;
    let problem = gateway.driver("ana").accept(&text(&ride["id"])).await.problem(409, "illegal-transition");
    assert_eq!((&problem["from"], &problem["to"]), (&json!("requested"), &json!("accepted")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_has_one_driver() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let (ana, ben) = (gateway.driver("ana"), gateway.driver("ben"));
    let id = text(&ana.ride_at(&passenger, "accepted").await["id"]);
    let version = passenger.ride(&id).await["version"].clone();
    ben.accept(&id).await.problem(409, "already-accepted");
    ben.step(&id, "arrive").await.problem(409, "already-accepted");
    ana.accept(&id).await.expect(200);
    assert_eq!(passenger.ride(&id).await["version"], version, "a repeat changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_drivers_who_accept_at_once_gets_the_ride() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_authorised_ride().await["id"]);
    let drivers: Vec<Driver> = (0..20).map(|i| gateway.driver(&format!("driver-{i}"))).collect();
    let answers = futures_util::future::join_all(drivers.iter().map(|driver| driver.accept(&id))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for loser in answers.iter().filter(|answer| answer.status != 200) {
        loser.problem(409, "already-accepted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_step_changes_nothing() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "accepted").await["id"]);
    for (step, status) in [("arrive", "arrived"), ("start", "in_progress"), ("complete", "completed")] {
        let first = driver.step(&id, step).await.expect(200);
        let again = driver.step(&id, step).await.expect(200);
        assert_eq!((&again["status"], &again["version"]), (&json!(status), &first["version"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_pickup_code_or_none_starts_the_ride() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let ride = driver.ride_at(&passenger, "arrived").await;
    let (id, code) = (text(&ride["id"]), text(&ride["pickup_code"]));
    let wrong = json!({ "driver_id": "ana", "pickup_code": format!("{code}0") });
    driver.step_with(&id, "start", &wrong).await.blames("pickup_code");
    assert_eq!(passenger.ride(&id).await["status"], "arrived");
    let right = json!({ "driver_id": "ana", "pickup_code": code });
    assert_eq!(driver.step_with(&id, "start", &right).await.expect(200)["status"], "in_progress");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_ride_finds_another_driver() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let (ana, ben) = (gateway.driver("ana"), gateway.driver("ben"));
    for status in ["accepted", "arrived"] {
        let id = text(&ana.ride_at(&passenger, status).await["id"]);
        ana.step(&id, "release").await.expect(200);
        let waiting = passenger.ride(&id).await;
        assert_eq!((&waiting["status"], &waiting["driver"]), (&json!("requested"), &Value::Null));
        ben.accept(&id).await.expect(200);
        assert_eq!(passenger.ride(&id).await["driver"]["id"], "ben");
        ana.step(&id, "arrive").await.problem(409, "already-accepted");
        assert_eq!(ben.bring(&passenger, &id, "completed").await["status"], "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_out_of_order_names_where_the_ride_is() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "accepted").await["id"]);
    let refused = async |step: &str, from: &str, to: &str| {
        let problem = driver.step(&id, step).await.problem(409, "illegal-transition");
        assert_eq!((&problem["from"], &problem["to"]), (&json!(from), &json!(to)));
    };
    refused("start", "accepted", "in_progress").await;
    refused("complete", "accepted", "completed").await;
    driver.step(&id, "arrive").await.expect(200);
    refused("complete", "arrived", "completed").await;
    driver.step(&id, "start").await.expect(200);
    refused("arrive", "in_progress", "arrived").await;
    refused("release", "in_progress", "requested").await;
    driver.step(&id, "complete").await.expect(200);
    refused("start", "completed", "in_progress").await;
    refused("release", "completed", "requested").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_states_is_public_and_complete() {
    let gateway = Gateway::start().await;
    let answer = gateway.public().get("/v1/ride-states").send().await.expect(200);
    let transitions = answer["transitions"].as_array().unwrap();
    let mut edges: Vec<String> = transitions
        .iter()
        .map(|edge| format!("{}-{}", edge["from"].as_str().unwrap(), edge["to"].as_str().unwrap()))
        .collect();
    edges.sort();
    let mut expected = [
        "accepted-arrived",
        "accepted-cancelled",
        "accepted-requested",
        "arrived-cancelled",
        "arrived-in_progress",
        "arrived-requested",
        "in_progress-cancelled",
        "in_progress-completed",
        "requested-accepted",
        "requested-cancelled",
        "requested-expired",
    ];
    expected.sort_unstable();
    assert_eq!(edges, expected);
    let expiry = transitions.iter().find(|edge| edge["to"] == "expired").unwrap();
    assert_eq!((&expiry["by"], &expiry["timeout_s"]), (&json!(["system"]), &json!(120)));
    let abort = transitions.iter().find(|edge| edge["from"] == "in_progress" && edge["to"] == "cancelled").unwrap();
    assert_eq!(abort["by"], json!(["system"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_repeats_the_quote() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let quote = passenger.quote().await;
    let ride = passenger.try_request(&quote, "one").await.expect(201);
    let id = text(&ride["id"]);
    passenger.receipt(&id).await.problem(409, "ride-not-completed");
    driver.bring(&passenger, &id, "completed").await;
    let receipt = passenger.receipt(&id).await.expect(200);
    assert_eq!(receipt["ride_id"], id);
    assert_eq!(receipt["lines"], quote["options"][0]["breakdown"]);
    assert_eq!(receipt["total"], quote["options"][0]["fare"]);
    let sum: i64 = receipt["lines"].as_array().unwrap().iter().map(|line| cents(&line["amount"])).sum();
    assert_eq!(cents(&receipt["total"]), sum);
    instant(&receipt["issued_at"]);
    passenger.receipt_with(&id, "captured").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_is_rated_once_and_only_when_completed() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "in_progress").await["id"]);
    let rate = async |body: Value| passenger.api.post(&format!("/v1/rides/{id}/rating"), &body).send().await;
    rate(json!({ "stars": 5, "tags": [] })).await.problem(409, "ride-not-completed");
    driver.step(&id, "complete").await.expect(200);
    // A whole number, however it is written.
    rate(json!({ "stars": 4.0, "tags": ["clean", "calm"] })).await.expect(201);
    rate(json!({ "stars": 1, "tags": [] })).await.problem(409, "already-rated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_ride_is_not_rated() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_ride().await["id"]);
    passenger.cancel_free(&id).await;
    let rating = json!({ "stars": 5, "tags": [] });
    let answer = passenger.api.post(&format!("/v1/rides/{id}/rating"), &rating).send().await;
    answer.problem(409, "ride-not-completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_index_lists_a_drivers_rides() {
    let gateway = Gateway::start().await;
    let (first, second) = (gateway.passenger().await, gateway.passenger().await);
    let driver = gateway.driver("ana");
    let one = text(&driver.ride_at(&first, "completed").await["id"]);
    let two = text(&driver.ride_at(&second, "accepted").await["id"]);
    let rides = eventually("both rides are in the index", async || {
        let rides = driver.rides().await["rides"].as_array().unwrap().clone();
        (rides.len() == 2).then_some(rides)
    })
    .await;
    let mut ids: Vec<String> = rides.iter().map(|ride| text(&ride["id"])).collect();
    ids.sort();
    let mut expected = vec![one, two];
    expected.sort();
    assert_eq!(ids, expected);
    assert_eq!(gateway.driver("nobody").rides().await["rides"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drivers_position_is_shown_and_marked_when_old() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "accepted").await["id"]);
    driver.report(40.75, -73.99, 0).await.expect(204);
    let location = passenger.ride(&id).await["driver"]["location"].clone();
    assert_eq!(
        (&location["lat"], &location["lng"], &location["stale"]),
        (&json!(40.75), &json!(-73.99), &json!(false))
    );
    let slow = gateway.driver("ben");
    let other = gateway.passenger().await;
    let id = text(&slow.ride_at(&other, "accepted").await["id"]);
    slow.report(40.75, -73.99, 60).await.expect(204);
    assert_eq!(other.ride(&id).await["driver"]["location"]["stale"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_whose_clock_runs_ahead_does_not_freeze_the_car() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "accepted").await["id"]);
    for lat in [40.75, 40.76, 40.77] {
        driver.report(lat, -73.98, -3600).await.expect(204);
        assert_eq!(passenger.ride(&id).await["driver"]["location"]["lat"], lat);
    }
}
