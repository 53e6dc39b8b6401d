//! Limits as passengers meet them: told in every answer, fair to others, and polite about when to come back.

use std::collections::HashSet;

use serde_json::json;

use crate::harness::{Answer, Gateway, Passenger, fresh_phone};

/// One policy: `burst` requests, and then one in ten seconds; `more` are further lines.
pub(crate) fn policy(name: &str, key: &str, burst: u32, more: &str) -> String {
    format!("[[policy]]\nname = {name:?}\nkey = {key:?}\nquota = 1\nwindow_s = 10\nburst = {burst}\n{more}\n")
}

/// A refusal says which policy, and when to come back.
#[track_caller]
pub(crate) fn refused(answer: &Answer, policy: &str) {
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
    let gateway = Gateway::start_under(&policy("address", "address", 10, ""), &[]).await;
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
    let gateway = Gateway::start_under(&policy("passenger", "passenger", 10, ""), &[]).await;
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
async fn a_class_is_limited_for_all_together_and_leaves_the_others_alone() {
    let policies = policy("class", "class", 3, "classes = [\"history\"]");
    let gateway = Gateway::start_under(&policies, &[]).await;
    let (one, another) = (gateway.passenger().await, gateway.passenger().await);
    for _ in 0..3 {
        one.api.get("/v1/rides").send().await.expect(200);
    }
    refused(&another.api.get("/v1/rides").send().await, "class");
    another.api.get("/v1/me").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_forwarding_header_buys_no_second_budget() {
    let gateway = Gateway::start_under(&policy("address", "address", 5, ""), &[]).await;
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
