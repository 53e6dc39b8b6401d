//! The first limits: generous, told in every answer, and polite about when to come back.

use std::collections::HashSet;

use serde_json::json;

use crate::harness::{Answer, Gateway, Passenger, fresh_phone};

/// A refusal says which policy, and when to come back.
#[track_caller]
fn refused(answer: &Answer, policy: &str) {
    let problem = answer.problem(429, "quota-exceeded");
    assert_eq!(problem["violated-policies"], json!([policy]));
    let wait: u64 = answer.header("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!(wait > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_at_once_is_not_sent_back_at_once() {
    let gateway = Gateway::start_with(&[("auth.otp_per_phone", "1")]).await;
    let (public, phone) = (gateway.public(), fresh_phone());
    Passenger::ask_for_code(&public, &phone).await;
    let mut waits = HashSet::new();
    for _ in 0..20 {
        let answer = public.post("/v1/auth/otp", &json!({ "phone": phone })).send().await;
        refused(&answer, "otp-phone");
        waits.insert(answer.header("retry-after").unwrap().to_owned());
    }
    assert!(waits.len() > 1, "one time for all: {waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_what_is_left() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let answer = passenger.api.get("/v1/me").send().await;
    for policy in ["\"address\";", "\"passenger\";"] {
        assert!(answer.header("ratelimit-policy").is_some_and(|text| text.contains(policy)), "{answer:#?}");
        assert!(answer.header("ratelimit").is_some_and(|text| text.contains(policy)), "{answer:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_gets_its_burst_and_no_more() {
    let gateway = Gateway::start_with(&[("traffic.address_burst", "10"), ("traffic.address_per_s", "1")]).await;
    let mut statuses = HashSet::new();
    for _ in 0..30 {
        let answer = gateway.public().get("/v1/ride-states").send().await;
        if answer.status == 429 {
            refused(&answer, "address");
        }
        statuses.insert(answer.status);
    }
    assert_eq!(statuses, HashSet::from([200, 429]));
    // Drivers and operators come by another door.
    gateway.internal().get("/metrics").send().await;
    gateway.internal_without_token().get("/health/ready").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_passenger_in_a_hurry_does_not_slow_another() {
    let gateway = Gateway::start_with(&[("traffic.passenger_burst", "10"), ("traffic.passenger_per_s", "1")]).await;
    let (hasty, calm) = (gateway.passenger().await, gateway.passenger().await);
    let mut last = hasty.api.get("/v1/me").send().await;
    for _ in 0..30 {
        last = hasty.api.get("/v1/me").send().await;
        if last.status == 429 {
            break;
        }
    }
    refused(&last, "passenger");
    calm.api.get("/v1/me").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_forwarding_header_buys_no_second_budget() {
    let gateway = Gateway::start_with(&[("traffic.address_burst", "5"), ("traffic.address_per_s", "1")]).await;
    let mut refusals = 0;
    for i in 0..30 {
        let call = gateway.public().get("/v1/ride-states").header("x-forwarded-for", &format!("203.0.113.{i}"));
        refusals += usize::from(call.send().await.status == 429);
    }
    assert!(refusals > 0, "no proxy is trusted unless it was named");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_phone_is_sent_so_many_codes_and_no_more() {
    let gateway = Gateway::start_with(&[("auth.otp_per_phone", "2")]).await;
    let (public, phone) = (gateway.public(), fresh_phone());
    for _ in 0..2 {
        Passenger::ask_for_code(&public, &phone).await;
    }
    let answer = public.post("/v1/auth/otp", &json!({ "phone": phone })).send().await;
    refused(&answer, "otp-phone");
    assert!(answer.header("ratelimit-policy").is_some_and(|text| text.contains("\"otp-phone\";q=2;")), "{answer:#?}");
    assert!(answer.header("ratelimit").is_some_and(|text| text.contains("\"otp-phone\";r=0;")), "{answer:#?}");
    Passenger::ask_for_code(&public, &fresh_phone()).await;
}
