//! Rides pushed about at random by a passenger and two drivers: only edges of the public table ever happen.

use std::collections::HashSet;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use crate::harness::{Answer, Driver, Gateway, Passenger, reason, text};

/// Calls a driver can make.
const STEPS: [&str; 6] = ["accept", "arrive", "start", "complete", "release", "cancel"];

/// Rides that end for ever.
const TERMINAL: [&str; 3] = ["completed", "cancelled", "expired"];

/// The public table: from and to.
type Edges = HashSet<(String, String)>;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_tried_only_edges_of_the_table_happen() {
    let gateway = Gateway::start().await;
    let edges = table(&gateway).await;
    let drivers = [gateway.driver("ana"), gateway.driver("ben")];
    for seed in 0..12 {
        let passenger = gateway.passenger().await;
        walk(&passenger, &drivers, &edges, seed).await;
    }
}

async fn table(gateway: &Gateway) -> Edges {
    let table = gateway.public().get("/v1/ride-states").send().await.expect(200);
    let edges = table["transitions"].as_array().unwrap().iter();
    edges.map(|edge| (text(&edge["from"]), text(&edge["to"]))).collect()
}

/// Forty random calls on one ride; every answer must fit what the passenger sees before and after.
async fn walk(passenger: &Passenger, drivers: &[Driver; 2], edges: &Edges, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut before = passenger.request_authorised_ride().await;
    let id = text(&before["id"]);
    for turn in 0..40 {
        // Cancels end the walk: rare, so that the other edges get their turn.
        let what = if dice.random_range(0..20) == 0 { "passenger" } else { STEPS[dice.random_range(0..STEPS.len())] };
        if what == "cancel" && dice.random_range(0..5) != 0 {
            continue;
        }
        let driver = &drivers[dice.random_range(0..2)];
        let answer = act(passenger, driver, &id, what).await;
        let after = passenger.ride(&id).await;
        let place = format!("seed {seed}, turn {turn}, {what} by {}: {answer:#?}", driver.id);
        assert!(matches!(answer.status, 200 | 409), "{place}");
        check_step(&before, &after, edges, &place);
        if answer.status == 409 {
            assert_eq!(after["version"], before["version"], "a refusal changes nothing; {place}");
        } else {
            assert_eq!(answer.json()["status"], after["status"], "{place}");
        }
        before = after;
    }
    check_log(passenger, &id, edges, &before).await;
}

async fn act(passenger: &Passenger, driver: &Driver, id: &str, what: &str) -> Answer {
    match what {
        "accept" => driver.accept(id).await,
        "cancel" => driver.cancel(id).await,
        "passenger" => {
            let first = passenger.cancel(id, &reason()).await;
            if first.status != 409 || first.json()["code"] != "cancellation-fee" {
                return first;
            }
            let token = first.json()["confirmation_token"].clone();
            passenger.cancel(id, &json!({ "reason": "changed-my-mind", "confirmation_token": token })).await
        }
        step => driver.step(id, step).await,
    }
}

fn check_step(before: &Value, after: &Value, edges: &Edges, place: &str) {
    let (from, to) = (text(&before["status"]), text(&after["status"]));
    if from != to {
        assert!(!TERMINAL.contains(&from.as_str()), "{from} is for ever; {place}");
        assert!(edges.contains(&(from.clone(), to.clone())), "{from} → {to} is no edge; {place}");
        assert!(after["version"].as_u64() > before["version"].as_u64(), "{place}");
    }
    let has_driver = matches!(to.as_str(), "accepted" | "arrived" | "in_progress" | "completed");
    if has_driver || matches!(to.as_str(), "requested" | "expired") {
        assert_eq!(!after["driver"].is_null(), has_driver, "a driver exactly while one is on the ride; {place}");
    }
}

/// The event log, replayed from nothing, walks the same edges and ends at the row.
async fn check_log(passenger: &Passenger, id: &str, edges: &Edges, row: &Value) {
    let mut log = passenger.follow_after(id, 0).await;
    let mut previous: Option<Value> = None;
    for seq in 1..=row["version"].as_u64().unwrap() {
        let event = log.next_ride().await.unwrap_or_else(|| panic!("the log of {id} ends before {seq}"));
        assert_eq!(event.seq(), seq);
        if let Some(previous) = &previous {
            check_step(previous, &event.data, edges, &format!("event {seq} of {id}"));
        }
        previous = Some(event.data);
    }
    assert_eq!(previous.expect("a log is never empty"), *row);
}
