//! The internal listener: who may call it, what operators can do.

use serde_json::json;

use crate::harness::{Gateway, eventually, failing, fresh_phone, healthy, instant, text};

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_service_token_is_not_told_what_there_is() {
    let gateway = Gateway::start().await;
    let open = gateway.internal_without_token();
    open.get("/internal/v1/nothing").send().await.problem(401, "token-missing");
    open.with_token("wrong").get("/internal/v1/nothing").send().await.problem(401, "token-invalid");
    gateway.internal().get("/internal/v1/nothing").send().await.problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_listeners_do_not_serve_each_others_calls() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    for path in ["/metrics", "/health/ready", "/internal/v1/drivers/ana/rides"] {
        passenger.api.get(path).send().await.problem(404, "not-found");
    }
    gateway.internal().get("/v1/ride-states").send().await.problem(404, "not-found");
    gateway.internal().get("/sandbox/sms/+12125550123").send().await.problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    gateway.driver("ana").ride_at(&passenger, "completed").await;
    let answer = gateway.internal().get("/metrics").send().await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{answer:#?}");
    let series: Vec<(&str, f64)> = answer
        .body
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.rsplit_once(' ').expect("a sample"))
        .map(|(name, value)| (name, value.parse().expect("a number")))
        .collect();
    for family in ["http_request", "ride_versions", "outbox", "task"] {
        let seen = series.iter().any(|(name, value)| name.contains(family) && *value > 0.0);
        assert!(seen, "nothing counted for {family}:\n{}", answer.body);
    }
    assert!(!answer.body.contains(&passenger.id) && !answer.body.contains("/v1/rides/1"), "labels are bounded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_finds_a_passenger_by_phone() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let find = async |phone: &str| {
        gateway.internal().post("/internal/v1/passengers/find", &json!({ "phone": phone })).send().await
    };
    let found = find(&passenger.phone).await.expect(200);
    assert_eq!((&found["id"], &found["phone"]), (&json!(passenger.id), &json!(passenger.phone)));
    find(&fresh_phone()).await.problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_sessions_cannot_refresh() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let elsewhere = gateway.sign_in(&passenger.phone).await;
    let path = format!("/internal/v1/passengers/{}/sessions", passenger.id);
    gateway.internal().delete(&path).send().await.expect(204);
    for token in [&passenger.refresh_token, &elsewhere.refresh_token] {
        let body = json!({ "refresh_token": token });
        assert_eq!(gateway.public().post("/v1/auth/refresh", &body).send().await.status, 401);
    }
    gateway.sign_in(&passenger.phone).await;
    gateway.internal().delete("/internal/v1/passengers/1/sessions").send().await.problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_a_ride_under_way() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let id = text(&gateway.driver("ana").ride_at(&passenger, "in_progress").await["id"]);
    let path = format!("/internal/v1/rides/{id}/cancel");
    let by_driver = json!({ "by": "driver", "reason": "vehicle-problem" });
    let refused = gateway.internal().post(&path, &by_driver).send().await.problem(409, "illegal-transition");
    assert_eq!((&refused["from"], &refused["to"]), (&json!("in_progress"), &json!("cancelled")));
    let body = json!({ "by": "system", "reason": "operator" });
    gateway.internal().post(&path, &body).send().await.expect(200);
    let ride = passenger.ride(&id).await;
    assert_eq!((&ride["status"], &ride["cancellation"]["by"]), (&json!("cancelled"), &json!("system")));
    assert_eq!(ride["cancellation"]["reason"], "operator");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_given_up_waits_for_an_operator() {
    let settings = [("relay.max_attempts", "2"), ("relay.first_backoff_ms", "1"), ("relay.sweep_ms", "50")];
    let gateway = Gateway::start_with(&settings).await;
    let passenger = gateway.passenger().await;
    let driver = gateway.driver("ana");
    let id = text(&driver.ride_at(&passenger, "in_progress").await["id"]);
    let dead = gateway.internal().get("/internal/v1/outbox/dead?limit=10").send().await.expect(200);
    assert_eq!(dead, json!({ "entries": [] }), "nothing is given up while all is well");
    gateway.script("payment", &failing()).await;
    driver.step(&id, "complete").await.expect(200);
    let entry = eventually("the capture is given up", async || {
        let dead = gateway.internal().get("/internal/v1/outbox/dead").send().await.expect(200);
        dead["entries"].as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!((&entry["ride_id"], &entry["kind"], &entry["attempts"]), (&json!(id), &json!("capture"), &json!(2)));
    assert!(entry["last_error"].is_string(), "{entry}");
    instant(&entry["dead_at"]);

    gateway.script("payment", &healthy()).await;
    let path = format!("/internal/v1/outbox/dead/{}/requeue", text(&entry["id"]));
    gateway.internal().post(&path, &json!({})).send().await.expect(204);
    passenger.receipt_with(&id, "captured").await;
    gateway.internal().post(&path, &json!({})).send().await.problem(404, "not-found");
}
