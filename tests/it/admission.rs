//! The way of a request through admission control: the order of the checks, what each takes, and what every answer says.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{Answer, Gateway, PATIENCE, Passenger, eventually, fresh_phone, slow, text, trip};

/// A policy that lets `quota` requests of some classes through and then none for an hour.
fn policy(name: &str, key: &str, classes: &[&str], quota: u32) -> String {
    format!("[[policy]]\nname = \"{name}\"\nkey = \"{key}\"\nclasses = {classes:?}\nquota = {quota}\nwindow_s = 3600\n")
}

/// Room for `limit` requests in progress, all of it for priority 0 and half of it for the others.
fn room_for(limit: u32) -> String {
    format!(
        "[overload]\nmin_limit = {limit}\nmax_limit = {limit}\ninitial = {limit}\nshares = [1.0, 0.5, 0.5, 0.5, 0.5]\n"
    )
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

/// Holds a place among the work in progress while `act` runs: a quote whose routing is slow.
async fn while_a_quote_is_under_way<T>(gateway: &Gateway, passenger: &Passenger, act: impl Future<Output = T>) -> T {
    let before = in_progress_quotes(gateway).await;
    gateway.script("routing", &slow(450)).await;
    let call = passenger.api.post("/v1/quotes", &trip()).send();
    let act = async {
        eventually("the quote is under way", async || (in_progress_quotes(gateway).await > before).then_some(())).await;
        act.await
    };
    let (quote, acted) = tokio::join!(call, act);
    quote.expect(201);
    acted
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
async fn a_refused_body_leaves_the_connection_to_the_next_request() {
    let gateway = Gateway::start_under(&policy("none", "address", &["quote"], 1), &[]).await;
    gateway.public().post("/v1/quotes", &trip()).send().await.problem(401, "token-missing");
    let mut connection = TcpStream::connect(("127.0.0.1", gateway.public_port())).await.unwrap();
    let body = trip().to_string();
    let plain = format!("content-length: {}\r\n\r\n{body}", body.len());
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for body in [&plain, &chunked, &plain] {
        let head = "POST /v1/quotes HTTP/1.1\r\nhost: it\r\ncontent-type: application/json\r\n";
        connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let answer = read_answer(&mut connection).await;
        assert!(answer.starts_with("HTTP/1.1 429 ") && !answer.contains("connection: close"), "{answer}");
    }
    connection.write_all(b"GET /v1/ride-states HTTP/1.1\r\nhost: it\r\n\r\n").await.unwrap();
    let answer = read_answer(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_without_reading_leaves_the_connection_to_the_next_request() {
    let gateway = Gateway::start().await;
    let mut connection = TcpStream::connect(("127.0.0.1", gateway.public_port())).await.unwrap();
    let body = trip().to_string();
    let plain = format!("content-length: {}\r\n\r\n{body}", body.len());
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for (line, status) in UNREAD {
        for body in [&plain, &chunked] {
            connection.write_all(format!("{line} HTTP/1.1\r\nhost: it\r\n{body}").as_bytes()).await.unwrap();
            let answer = read_answer(&mut connection).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(!answer.contains("connection: close"), "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_before_the_body_is_there_says_that_the_connection_ends_and_ends_it() {
    let gateway = Gateway::start_with(&[("http.head_timeout_s", "60")]).await;
    for (line, status) in UNREAD {
        for body in ["content-length: 100\r\n\r\n{", "transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"] {
            let mut connection = TcpStream::connect(("127.0.0.1", gateway.public_port())).await.unwrap();
            connection.write_all(format!("{line} HTTP/1.1\r\nhost: it\r\n{body}").as_bytes()).await.unwrap();
            let answer = read_answer(&mut connection).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(answer.contains("connection: close"), "{answer}");
            ends_without_a_word(&mut connection).await;
        }
    }
}

/// Requests whose bodies nobody reads: no token, no such method, no such path, no such type of body.
const UNREAD: [(&str, u16); 4] =
    [("POST /v1/quotes", 401), ("POST /v1/ride-states", 405), ("POST /nowhere", 404), ("POST /v1/auth/otp", 415)];

async fn ends_without_a_word(connection: &mut TcpStream) {
    let mut more = Vec::new();
    let read = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut more)).await.expect("it ends in time");
    assert_eq!((read.expect("no reset"), String::from_utf8_lossy(&more).as_ref()), (0, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_wait_for_a_body_that_is_still_to_come() {
    let gateway = Gateway::start_under(&policy("none", "address", &["quote"], 1), &[]).await;
    gateway.public().post("/v1/quotes", &trip()).send().await.problem(401, "token-missing");
    for length in ["content-length: 60000", "transfer-encoding: chunked"] {
        let mut connection = TcpStream::connect(("127.0.0.1", gateway.public_port())).await.unwrap();
        let head =
            format!("POST /v1/quotes HTTP/1.1\r\nhost: it\r\n{length}\r\ncontent-type: application/json\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        let answer = read_answer(&mut connection).await;
        assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("connection: close"), "{answer}");
        ends_without_a_word(&mut connection).await;
    }
}

/// One answer with a `Content-Length`, from a connection that stays open.
async fn read_answer(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = async {
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length =
                    head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.expect("a length") {
                    return text;
                }
            }
            assert_ne!(connection.read_buf(&mut answer).await.expect("an answer"), 0, "cut short: {text}");
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_matters_less_is_shed_and_what_matters_most_is_served() {
    let policies = room_for(2) + &policy("address", "address", &["catalogue"], 100);
    let gateway = Gateway::start_under(&policies, &[]).await;
    let (waiting, riding) = (gateway.passenger().await, gateway.passenger().await);
    let ride = riding.request_ride().await;
    while_a_quote_is_under_way(&gateway, &waiting, async {
        for path in ["/v1/ride-states", "/v1/nothing", "/docs/", "/v1/me", "/v1/rides", "/v1/quotes/1"] {
            let answer = gateway.public().get(path).send().await;
            let problem = answer.problem(503, "temporary-reduced-capacity");
            assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity");
            waits(&answer);
        }
        // No token is looked at: a bad one hears the same.
        gateway.public().with_token("nobody").get("/v1/me").send().await.problem(503, "temporary-reduced-capacity");
        // The address was asked before, and has spoken.
        let answer = gateway.public().get("/v1/ride-states").send().await;
        answer.problem(503, "temporary-reduced-capacity");
        assert!(left(&answer, "address") < 99, "{answer:#?}");
        // What plays a partner takes no place and needs none.
        Passenger::read_code(&gateway.public(), &waiting.phone).await;
        riding.api.get("/v1/rides/current").send().await.expect(200);
        riding.api.get(&format!("/v1/rides/{}", text(&ride["id"]))).send().await.expect(200);
        waiting.api.get("/v1/rides/current").send().await.expect(204);
    })
    .await;
    gateway.public().get("/v1/ride-states").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_opens_the_app_at_once_is_served_and_again_when_they_do_it_again() {
    let gateway = Gateway::start().await;
    for _ in 0..3 {
        let everybody = join_all((0..100).map(|_| gateway.passenger())).await;
        for path in ["/v1/me", "/v1/rides", "/v1/ride-states"] {
            for answer in join_all(everybody.iter().map(|passenger| passenger.api.get(path).send())).await {
                answer.expect(200);
            }
        }
        for quote in join_all(everybody.iter().map(|passenger| passenger.api.post("/v1/quotes", &trip()).send())).await
        {
            quote.expect(201);
        }
    }
    let gate = &gateway.internal().get("/internal/v1/traffic").send().await.expect(200)["gate"];
    assert!(gate["limit"].as_u64().unwrap() >= 400, "{gate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_given_back_by_every_kind_of_answer() {
    let policies = room_for(1) + &policy("passenger", "passenger", &["profile"], 1);
    let gateway = Gateway::start_under(&policies, &[]).await;
    let passenger = gateway.passenger().await;
    let public = gateway.public();
    for _ in 0..3 {
        public.get("/v1/ride-states").send().await.expect(200);
        public.get("/v1/nothing").send().await.problem(404, "not-found");
        public.request(Method::PUT, "/v1/me").send().await.problem(405, "method-not-allowed");
        public.get("/v1/me").send().await.problem(401, "token-missing");
        public.get("/v1/me?surprise=1").send().await.blames("surprise");
        let answer = passenger.api.get("/v1/me").send().await;
        assert!(matches!(answer.status, 200 | 429), "{answer:#?}");
        passenger.api.post("/v1/quotes", &json!({})).send().await.blames("pickup");
        passenger.api.get("/v1/rides/current").send().await.expect(204);
    }
    // Whoever hangs up gives it back too.
    gateway.script("routing", &slow(400)).await;
    let hasty = passenger.api.client.post(format!("{}/v1/quotes", passenger.api.base)).json(&trip());
    let hasty = hasty.bearer_auth(passenger.api.token.as_deref().unwrap());
    assert!(hasty.timeout(std::time::Duration::from_millis(100)).send().await.is_err());
    eventually("the place is free again", async || {
        (public.get("/v1/ride-states").send().await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_client_left_is_counted_and_logged() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    gateway.script("routing", &slow(450)).await;
    let mut connection = TcpStream::connect(("127.0.0.1", gateway.public_port())).await.unwrap();
    let (body, token) = (trip().to_string(), passenger.api.token.as_deref().unwrap());
    let before = in_progress_quotes(&gateway).await;
    let head = "POST /v1/quotes HTTP/1.1\r\nhost: it\r\ncontent-type: application/json\r\nx-request-id: hasty";
    let request = format!("{head}\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    connection.write_all(request.as_bytes()).await.unwrap();
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
async fn an_open_event_stream_holds_no_place() {
    let policies = room_for(2) + &policy("address", "address", &["history"], 100);
    let gateway = Gateway::start_under(&policies, &[]).await;
    let mut streams = Vec::new();
    for _ in 0..6 {
        let passenger = gateway.passenger().await;
        let ride = passenger.request_ride().await;
        let call = passenger.api.get(&format!("/v1/rides/{}/events", text(&ride["id"])));
        streams.push((call.open().await.expect("a stream"), passenger));
    }
    for _ in 0..3 {
        gateway.public().get("/v1/ride-states").send().await.expect(200);
    }
    for (stream, passenger) in &mut streams {
        assert!(stream.next().await.is_some(), "it is open");
        passenger.api.get("/v1/rides/current").send().await.expect(200);
    }
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
