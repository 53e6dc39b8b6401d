//! Connections before there is a request on them: whoever is slow, silent, endless or many is let go, and nobody else
//! notices. Raw sockets against the built binary; times are lowered so that the tests are quick.

use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Duration, timeout},
};

use crate::harness::{Gateway, PATIENCE, Raw, eventually, slow, text};

const GET: &str = "GET /v1/ride-states HTTP/1.1\r\nhost: here\r\n\r\n";
/// Connections that the public listener ended, or turned away, for this reason.
async fn ended(gateway: &Gateway, reason: &str) -> u64 {
    series(gateway, &format!("gateway_http_connections_ended_total{{listener=\"public\",reason=\"{reason}\"}}")).await
}

async fn series(gateway: &Gateway, name: &str) -> u64 {
    let metrics = gateway.internal().get("/metrics").send().await;
    let value = metrics.body.lines().find_map(|line| line.strip_prefix(name));
    value.map_or(0, |value| value.trim().parse().expect("a count"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_or_missing_head_is_not_waited_for() {
    let gateway = Gateway::start_with(&[("http.head_timeout_s", "1")]).await;
    for begun in ["", "GET /v1/ride-states HT"] {
        let mut slow = Raw::from("127.0.0.1", &gateway).await;
        slow.send(begun).await;
        let answer = slow.rest().await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{begun:?}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n") && answer.contains("\r\ndate: "), "{answer}");
    }
    assert_eq!(ended(&gateway, "head").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_is_not_waited_for_on_an_old_connection_either() {
    let gateway = Gateway::start_with(&[("http.head_timeout_s", "1")]).await;
    let mut connection = Raw::from("127.0.0.1", &gateway).await;
    connection.send(GET).await;
    assert!(connection.answer().await.unwrap().starts_with("HTTP/1.1 200 "));
    connection.send("GET /v1/ri").await;
    assert!(connection.rest().await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_trickles_in_gains_no_time_by_it() {
    let gateway = Gateway::start_with(&[("http.head_timeout_s", "1")]).await;
    let mut slow = Raw::from("127.0.0.1", &gateway).await;
    slow.send("GET /v1/ride-states HTTP/1.1\r\nx-long: ").await;
    let answer = timeout(PATIENCE, async {
        loop {
            slow.send("x").await;
            // The pace of the attack: a byte each so often.
            if let Ok(answer) = timeout(Duration::from_millis(50), slow.rest()).await {
                return answer;
            }
        }
    });
    assert!(answer.await.expect("it ends").starts_with("HTTP/1.1 408 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_ends_without_a_word() {
    let gateway = Gateway::start_with(&[("http.keep_alive_s", "1"), ("http.head_timeout_s", "60")]).await;
    let mut connection = Raw::from("127.0.0.1", &gateway).await;
    connection.send(GET).await;
    connection.answer().await.unwrap();
    assert_eq!(connection.rest().await, "");
    assert_eq!(ended(&gateway, "idle").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_not_waited_for() {
    let gateway = Gateway::start_with(&[("http.body_timeout_s", "1"), ("http.head_timeout_s", "3")]).await;
    for framing in ["content-length: 100\r\n\r\n{", "transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"] {
        let mut slow = Raw::from("127.0.0.1", &gateway).await;
        slow.send(&format!("POST /v1/auth/otp HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n{framing}"))
            .await;
        let answer = slow.answer().await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"code\":\"malformed\""), "{answer}");
        assert!(answer.contains("did not come within 1 s") && answer.contains("connection: close"), "{answer}");
        assert_eq!(slow.rest().await, "", "one request, one answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_end_is_cut_off() {
    let gateway = Gateway::start().await;
    let mut endless = Raw::from("127.0.0.1", &gateway).await;
    endless.send("GET /v1/ride-states HTTP/1.1\r\nhost: here\r\nx-endless: ").await;
    endless.flood(&"x".repeat(8192)).await;
    gateway.public().get("/v1/ride-states").send().await.expect(200);
    let with_field_of = |bytes: usize| {
        format!("{}x-long: {}\r\n\r\n", GET.trim_end_matches("\r\n\r\n").to_owned() + "\r\n", "x".repeat(bytes))
    };
    for (bytes, status) in [(15 * 1024, "200"), (20 * 1024, "431"), (50 * 1024, "431")] {
        let mut long = Raw::from("127.0.0.1", &gateway).await;
        long.send(&with_field_of(bytes)).await;
        let answer = long.answer().await.expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_cut_off_wherever_it_is_sent() {
    let gateway = Gateway::start_with(&[("http.head_timeout_s", "60")]).await;
    let chunk = format!("2000\r\n{}\r\n", "x".repeat(0x2000));
    let passenger = gateway.passenger().await;
    let token = passenger.api.token.as_deref().unwrap();
    for (head, status) in [
        (
            format!("POST /v1/quotes HTTP/1.1\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"),
            "413",
        ),
        ("POST /v1/auth/otp HTTP/1.1\r\ncontent-type: application/json\r\n".to_owned(), "413"),
        ("GET /v1/ride-states HTTP/1.1\r\n".to_owned(), "200"),
        ("POST /nowhere HTTP/1.1\r\n".to_owned(), "404"),
    ] {
        let before = ended(&gateway, "endless").await;
        let mut endless = Raw::from("127.0.0.1", &gateway).await;
        endless.send(&format!("{head}host: here\r\ntransfer-encoding: chunked\r\n\r\n")).await;
        let answer = endless.flood(&chunk).await;
        // A reset may overtake the answer.
        assert!(answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head} {answer}");
        assert_eq!(ended(&gateway, "endless").await, before + 1, "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_extension_without_end_is_cut_off() {
    let gateway = Gateway::start().await;
    let mut endless = Raw::from("127.0.0.1", &gateway).await;
    let head = "POST /v1/auth/otp HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n";
    endless.send(&format!("{head}transfer-encoding: chunked\r\n\r\n1;")).await;
    endless.flood(&"x".repeat(8192)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_is_no_way_to_send_for_ever() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_authorised_ride().await["id"]);
    let mut endless = Raw::from("127.0.0.1", &gateway).await;
    let token = passenger.api.token.as_deref().unwrap();
    endless
        .send(&format!(
            "GET /v1/rides/{id}/events HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {token}\r\n\
             transfer-encoding: chunked\r\n\r\n"
        ))
        .await;
    endless.flood(&format!("2000\r\n{}\r\n", "x".repeat(0x2000))).await;
    assert_eq!(ended(&gateway, "endless").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_handshake_is_not_waited_for() {
    let gateway = Gateway::start().await;
    let mut tls = Raw::from("127.0.0.1", &gateway).await;
    tls.0.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await.unwrap();
    assert!(tls.rest().await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_holds_so_many_connections_and_others_do_not_notice() {
    let settings = [("http.max_connections_per_address", "5"), ("http.trusted_proxies", "127.0.0.3")];
    let gateway = Gateway::start_with(&settings).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut connection = Raw::from("127.0.0.2", &gateway).await;
        connection.send(GET).await;
        assert!(connection.answer().await.is_some());
        held.push(connection);
    }
    for _ in 0..20 {
        assert_eq!(Raw::from("127.0.0.2", &gateway).await.rest().await, "", "closed before it said anything");
    }
    assert_eq!(ended(&gateway, "address").await, 20);
    gateway.public().get("/v1/ride-states").send().await.expect(200);
    let behind_the_proxy = join_all((0..20).map(|_| async {
        let mut connection = Raw::from("127.0.0.3", &gateway).await;
        connection.send(GET).await;
        (connection.answer().await, connection)
    }));
    assert!(behind_the_proxy.await.iter().all(|(answer, _)| answer.is_some()), "a proxy carries everybody");
    for connection in &mut held {
        connection.send(GET).await;
        assert!(connection.answer().await.is_some(), "those who were there stay");
    }
    held.pop();
    eventually("a place that was given back is free", async || {
        let mut connection = Raw::from("127.0.0.2", &gateway).await;
        // It may be turned away at once.
        let _ = connection.0.write_all(GET.as_bytes()).await;
        connection.answer().await
    })
    .await;
    let lines = || gateway.log().matches("connections were turned away").count();
    eventually("the log tells of it", async || (lines() > 0).then_some(())).await;
    // Another only after ten seconds.
    assert!(lines() <= 2, "one line for many:\n{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room_and_requests_under_way_do_not() {
    let gateway = Gateway::start_with(&[("http.max_connections", "40")]).await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&passenger.request_authorised_ride().await["id"]);
    let mut stream = passenger.follow(&id).await;
    assert_eq!(stream.next_ride().await.unwrap().data["status"], "requested");
    let mut idle = Vec::new();
    for i in 0..200 {
        let mut connection = Raw::from(&format!("127.0.1.{}", i % 50), &gateway).await;
        // Some were never heard of, some have begun, some have been served.
        connection.send(["", "GET /v1", GET][i % 3]).await;
        if i % 3 == 2 {
            assert!(connection.answer().await.is_some(), "newcomer {i} is served");
        }
        idle.push(connection);
    }
    passenger.api.get("/v1/me").send().await.expect(200);
    driver.bring(&passenger, &id, "accepted").await;
    stream.until("accepted").await;
    assert!(ended(&gateway, "room").await >= 150);
    assert_eq!(ended(&gateway, "full").await, 0);
    assert!(series(&gateway, "gateway_http_connections{listener=\"public\"}").await <= 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_requests_sent_at_once_are_answered_in_order() {
    const MANY: usize = 600;
    let gateway = Gateway::start().await;
    let mut connection = Raw::from("127.0.0.1", &gateway).await;
    // More than is read ahead.
    let all: String = (0..MANY).map(|i| format!("GET /v1/nothing-{i} HTTP/1.1\r\nhost: here\r\n\r\n")).collect();
    connection.send(&all).await;
    for i in 0..MANY {
        let answer = connection.answer().await.expect("an answer");
        assert!(answer.contains(&format!("\"instance\":\"/v1/nothing-{i}\"")), "the {i}th: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_many_without_waiting_for_answers_is_slowed_down() {
    let gateway = Gateway::start().await;
    let mut connection = Raw::from("127.0.0.1", &gateway).await;
    // Beyond those that go at once, thirty: ten milliseconds each. However busy this machine is, it is never less.
    let many = 32 + 30;
    connection.send(&GET.repeat(many)).await;
    let mut all = std::pin::pin!(async {
        for _ in 0..many {
            assert!(connection.answer().await.expect("an answer").starts_with("HTTP/1.1 200 "));
        }
    });
    tokio::select! {
        biased;
        () = tokio::time::sleep(Duration::from_millis(200)) => {}
        () = &mut all => panic!("it was not slowed down"),
    }
    all.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_sent_at_once_are_answered_in_order_unless_nobody_knows_their_length() {
    let gateway = Gateway::start().await;
    let head = "POST /v1/auth/otp HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n";
    let mut connection = Raw::from("127.0.0.1", &gateway).await;
    connection.send(&format!("{head}content-length: 2000\r\n\r\n{}", " ".repeat(2000)).repeat(60)).await;
    for number in 0..60 {
        let answer = connection.answer().await.expect("an answer");
        assert!(["400", "429"].contains(&&answer[9..12]), "the {number}th: {answer}");
    }
    let mut connection = Raw::from("127.0.0.1", &gateway).await;
    connection.flood(&format!("{head}transfer-encoding: chunked\r\n\r\n1\r\n \r\n0\r\n\r\n").repeat(60)).await;
    assert_eq!(ended(&gateway, "endless").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_behind_a_slow_request_waits_and_is_answered() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    gateway.script("routing", &slow(350)).await;
    let mut connection = Raw::from("127.0.0.1", &gateway).await;
    let token = passenger.api.token.as_deref().unwrap();
    let first = format!(
        "GET /v1/products?lat=40.758&lng=-73.9855 HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    // Much more than is read ahead, and few requests.
    let rest = format!("{}x-long: {}\r\n\r\n", GET.trim_end_matches("\r\n"), "x".repeat(8_000)).repeat(20);
    let (mut reading, mut writing) = connection.0.split();
    let send = async { writing.write_all((first + &rest).as_bytes()).await.unwrap() };
    let take = async {
        let (mut answers, mut heads) = (String::new(), 0);
        while heads < 21 {
            let mut some = [0; 8192];
            let bytes = reading.read(&mut some).await.unwrap();
            assert!(bytes > 0, "it ended after {heads} answers: {answers}");
            answers += &String::from_utf8_lossy(&some[..bytes]);
            heads = answers.matches("HTTP/1.1 200 OK").count();
        }
    };
    timeout(PATIENCE, async { tokio::join!(send, take) }).await.expect("all are answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_takes_nothing_is_cut_off() {
    let gateway = Gateway::start_with(&[("http.write_timeout_s", "1")]).await;
    let mut slow = Raw::narrow(&gateway).await;
    // Some megabytes of answers.
    slow.send(&"GET /openapi.json HTTP/1.1\r\nhost: here\r\n\r\n".repeat(100)).await;
    eventually("it is cut off", async || (ended(&gateway, "stalled").await == 1).then_some(())).await;
    eventually("its place is free", async || {
        (series(&gateway, "gateway_http_connections{listener=\"public\"}").await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_who_takes_nothing_is_cut_off() {
    let gateway = Gateway::start_with(&[("http.write_timeout_s", "1")]).await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "accepted").await["id"]);
    let mut slow = Raw::narrow(&gateway).await;
    let token = passenger.api.token.as_deref().unwrap();
    slow.send(&format!("GET /v1/rides/{id}/events HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {token}\r\n\r\n"))
        .await;
    let streams = async || series(&gateway, "gateway_http_streams").await;
    eventually("the stream is open", async || (streams().await == 1).then_some(())).await;
    // One connection: tens of thousands would use up this machine's ports.
    let internal = reqwest::Client::builder().no_proxy().build().unwrap();
    let place = gateway.internal().base + "/internal/v1/drivers/ana/location";
    let report = async |step: u32| {
        let lat = 40.70 + f64::from(step % 1_000) / 10_000.0;
        let body = json!({ "lat": lat, "lng": -73.99, "observed_at": now() });
        internal.put(&place).bearer_auth("local-dev-token").json(&body).send().await.unwrap();
    };
    let mut step = 0;
    let cut_off = async {
        while streams().await > 0 {
            for _ in 0..100 {
                report(step).await;
                step += 1;
            }
        }
    };
    timeout(PATIENCE, cut_off).await.expect("the stream is cut off");
    assert_eq!(ended(&gateway, "stalled").await, 1, "after {step} positions");
}

fn now() -> String {
    time::OffsetDateTime::now_utc().format(&time::format_description::well_known::Rfc3339).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_open_files_is_raised_as_far_as_it_goes() {
    // The soft limit alone would not even do for the start.
    let gateway = Gateway::start_after("ulimit -S -n 64", &[]).await;
    let many = join_all((0..200).map(|_| async {
        let mut connection = Raw::from("127.0.0.1", &gateway).await;
        connection.send(GET).await;
        (connection.answer().await, connection)
    }));
    assert!(many.await.iter().all(|(answer, _)| answer.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_open_files_are_told_and_lived_with() {
    let gateway = Gateway::start_after("ulimit -n 400", &[]).await;
    assert!(gateway.log().contains("ulimit -n"), "{}", gateway.log());
    let mut held = Vec::new();
    for i in 0..500 {
        let mut connection = Raw::from("127.0.0.1", &gateway).await;
        connection.send(GET).await;
        assert!(connection.answer().await.is_some(), "newcomer {i} is served");
        held.push(connection);
    }
}
