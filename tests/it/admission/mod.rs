//! The way of a request through admission control: the order of the checks, what each takes, and what every answer says.

mod bodies;
mod shedding;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Gateway, Passenger, Raw, eventually, fresh_phone, slow, text, trip};

/// A policy that lets `quota` requests of some classes through and then none for an hour.
fn policy(name: &str, key: &str, classes: &[&str], quota: u32) -> String {
    format!("[[policy]]\nname = \"{name}\"\nkey = \"{key}\"\nclasses = {classes:?}\nquota = {quota}\nwindow_s = 3600\n")
}

/// What a policy has left, as an answer tells it.
#[track_caller]
fn left(answer: &Answer, policy: &str) -> u32 {
    let limits = answer.header("ratelimit").unwrap_or_else(|| panic!("no RateLimit: {answer:#?}"));
    let item = limits.split(", ").find_map(|item| item.strip_prefix(&format!("\"{policy}\";r=")));
    let item = item.unwrap_or_else(|| panic!("no word of {policy}: {answer:#?}"));
    item.split(';').next().unwrap().parse().unwrap()
}

#[track_caller]
fn refused(answer: &Answer, policies: &[&str]) {
    assert_eq!(answer.problem(429, "quota-exceeded")["violated-policies"], json!(policies), "{answer:#?}");
    waits(answer);
}

/// A refusal says when to come back: in whole seconds, and never at once.
#[track_caller]
fn waits(answer: &Answer) {
    let wait: u32 = answer.header("retry-after").expect("Retry-After").parse().expect("whole seconds");
    assert!(wait > 0, "{answer:#?}");
}

/// Requests of priority 2 that were let in so far.
async fn in_progress_quotes(gateway: &Gateway) -> u64 {
    let metrics = gateway.internal().get("/metrics").send().await.body;
    let series = "gateway_overload_decisions_total{outcome=\"admitted\",priority=\"2\"}";
    let line =
        metrics.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("no {series}: {metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_over_the_address_limit_hears_of_that_and_of_nothing_else() {
    let gateway = Gateway::start_under(&policy("address", "address", &["profile"], 2), &[]).await;
    let stranger = gateway.public().with_token("nobody");
    for _ in 0..2 {
        stranger.get("/v1/me").send().await.problem(401, "token-invalid");
    }
    for path in ["/v1/me", "/v1/me?surprise=1"] {
        refused(&stranger.get(path).send().await, &["address"]);
        refused(&gateway.public().get(path).send().await, &["address"]);
    }
    refused(&stranger.patch("/v1/me", &json!("no object")).send().await, &["address"]);
    // Another class has its own policies.
    gateway.public().get("/v1/ride-states").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_after_the_token_spends_nothing_but_what_the_address_had_spent() {
    let policies = policy("address", "address", &["profile"], 100)
        + &policy("passenger", "passenger", &["profile"], 3)
        + &policy("class", "class", &["profile"], 50)
        + &policy("global", "global", &["profile"], 60);
    let gateway = Gateway::start_under(&policies, &[]).await;
    let (hasty, calm) = (gateway.passenger().await, gateway.passenger().await);
    for _ in 0..3 {
        hasty.api.get("/v1/me").send().await.expect(200);
    }
    for _ in 0..20 {
        let answer = hasty.api.get("/v1/me").send().await;
        refused(&answer, &["passenger"]);
        assert_eq!((left(&answer, "class"), left(&answer, "global")), (47, 57));
    }
    let answer = calm.api.get("/v1/me").send().await;
    answer.expect(200);
    let left = ["address", "passenger", "class", "global"].map(|policy| left(&answer, policy));
    assert_eq!(left, [100 - 24, 2, 46, 56], "every request counts for its address");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_token_spends_nothing_of_what_passengers_share() {
    let policies = policy("rides", "class", &["request", "ride"], 3) + &policy("open", "class", &["catalogue"], 20);
    let gateway = Gateway::start_under(&policies, &[]).await;
    let passenger = gateway.passenger().await;
    let stranger = gateway.public();
    for _ in 0..5 {
        let nobody = stranger.get("/v1/rides/current").send().await;
        nobody.problem(401, "token-missing");
        let forger = stranger.get("/v1/rides/current").header("authorization", "Bearer forged").send().await;
        forger.problem(401, "token-invalid");
        assert!(!forger.header("ratelimit").unwrap().contains("rides"), "{forger:#?}");
    }
    assert_eq!(left(&passenger.api.get("/v1/rides/current").send().await, "rides"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_every_policy_that_refused() {
    let policies = policy("one", "address", &["profile"], 1) + &policy("two", "address", &["profile"], 1);
    let gateway = Gateway::start_under(&policies, &[]).await;
    gateway.public().get("/v1/me").send().await.problem(401, "token-missing");
    refused(&gateway.public().get("/v1/me").send().await, &["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_the_one_that_signed_in() {
    let gateway = Gateway::start_under(&policy("device", "device", &["profile"], 2), &[]).await;
    // Two passengers, each on the same phone: the harness signs in with one device id.
    let (one, other) = (gateway.passenger().await, gateway.passenger().await);
    one.api.get("/v1/me").send().await.expect(200);
    other.api.get("/v1/me").send().await.expect(200);
    refused(&one.api.get("/v1/me").send().await, &["device"]);
    // Without a token there is no device.
    gateway.public().get("/v1/me").send().await.problem(401, "token-missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_client_left_is_counted_and_logged() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    gateway.script("routing", &slow(450)).await;
    let mut connection = Raw::from("127.0.0.1", &gateway).await;
    let (body, token) = (trip().to_string(), passenger.api.token.as_deref().unwrap());
    let before = in_progress_quotes(&gateway).await;
    let head = "POST /v1/quotes HTTP/1.1\r\nhost: it\r\ncontent-type: application/json\r\nx-request-id: hasty";
    let request = format!("{head}\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    connection.send(&request).await;
    eventually("the quote is under way", async || (in_progress_quotes(&gateway).await > before).then_some(())).await;
    drop(connection);
    eventually("it is counted and logged", async || {
        let metrics = gateway.internal().get("/metrics").send().await.body;
        let series = "gateway_http_requests_total{method=\"POST\",route=\"/v1/quotes\",status=\"499\"} 1\n";
        let log = gateway.log();
        let mut lines = log.lines().filter(|line| line.contains("request=hasty"));
        (metrics.contains(series) && lines.any(|line| line.contains("status=499"))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_that_a_limit_spoke_about_says_what_is_left() {
    let everything = "[[policy]]\nname = \"address\"\nkey = \"address\"\nquota = 10000\n\
        [[policy]]\nname = \"passenger\"\nkey = \"passenger\"\nquota = 10000\n\
        [[policy]]\nname = \"global\"\nkey = \"global\"\nquota = 10000\n";
    let gateway = Gateway::start_under(everything, &[("auth.otp_per_phone", "1")]).await;
    let passenger = gateway.passenger().await;
    // What follows does not change it any more.
    let ride = passenger.request_authorised_ride().await;
    let path = format!("/v1/rides/{}", text(&ride["id"]));
    let (api, public, phone) = (&passenger.api, gateway.public(), fresh_phone());
    Passenger::ask_for_code(&public, &phone).await;
    let known = api.get(&path).send().await;
    let tag = known.header("etag").unwrap().to_owned();
    let answers = [
        (200, known),
        (304, api.get(&path).header("if-none-match", &tag).send().await),
        (401, api.with_token("nobody").get(&path).send().await),
        (404, api.get("/v1/rides/1").send().await),
        (404, api.get("/v1/nothing").send().await),
        (405, api.delete("/v1/quotes").send().await),
        (415, api.request(Method::POST, "/v1/quotes").text("x".to_owned()).send().await),
        (422, api.post("/v1/quotes", &json!({})).send().await),
        (422, api.get(&format!("{path}?surprise=1")).send().await),
        (429, public.post("/v1/auth/otp", &json!({ "phone": phone })).send().await),
        (200, api.get(&format!("{path}/events")).head().await),
        (204, api.post("/v1/auth/logout", &Value::Null).send().await),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{answer:#?}");
        let [policies, limits] = ["ratelimit-policy", "ratelimit"].map(|name| answer.header(name).unwrap_or_default());
        for policy in ["address", "global"] {
            assert!(policies.contains(&format!("\"{policy}\";q=10000;w=1")), "{answer:#?}");
            assert!(left(&answer, policy) > 0);
        }
        let of_caller = answer.status != 401 && answer.status != 429;
        assert_eq!(limits.contains("\"passenger\";"), of_caller, "{answer:#?}");
    }
    // Operators are not counted.
    for path in ["/health/ready", "/metrics"] {
        assert_eq!(gateway.internal().get(path).send().await.header("ratelimit"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_line_names_the_request_that_it_was_written_for() {
    let gateway = Gateway::start().await;
    let call = gateway.public().get("/v1/ride-states").header("x-request-id", "look-for-me");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    call.header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01")).send().await.expect(200);
    let expected = format!("request=look-for-me trace={trace}");
    eventually("the line is there", async || {
        let log = gateway.log();
        let mut lines = log.lines().filter(|line| line.contains("look-for-me"));
        lines.any(|line| line.contains("/v1/ride-states") && line.ends_with(&expected)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_counted_once_each() {
    let gateway = Gateway::start_under(&policy("address", "address", &["catalogue"], 40), &[]).await;
    let public = gateway.public();
    let answers = join_all((0..60).map(|_| public.get("/v1/ride-states").send())).await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert!(served <= 40, "{served}");
    for answer in answers.iter().filter(|answer| answer.status == 429) {
        refused(answer, &["address"]);
    }
}
