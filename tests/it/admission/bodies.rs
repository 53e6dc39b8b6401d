//! Bodies that nobody reads: what becomes of the connection they came on.

use super::policy;
use crate::harness::{Gateway, Raw, trip};

/// Requests whose bodies nobody reads: no token, no such method, no such path, no such type of body.
const UNREAD: [(&str, u16); 4] =
    [("POST /v1/quotes", 401), ("POST /v1/ride-states", 405), ("POST /nowhere", 404), ("POST /v1/auth/otp", 415)];

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_leaves_the_connection_to_the_next_request() {
    let gateway = Gateway::start_under(&policy("none", "address", &["quote"], 1), &[]).await;
    gateway.public().post("/v1/quotes", &trip()).send().await.problem(401, "token-missing");
    let mut connection = Raw::from("127.0.0.1", &gateway).await;
    let body = trip().to_string();
    let plain = format!("content-length: {}\r\n\r\n{body}", body.len());
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for body in [&plain, &chunked, &plain] {
        let head = "POST /v1/quotes HTTP/1.1\r\nhost: it\r\ncontent-type: application/json\r\n";
        connection.send(&format!("{head}{body}")).await;
        let answer = connection.answer().await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 429 ") && !answer.contains("connection: close"), "{answer}");
    }
    connection.send("GET /v1/ride-states HTTP/1.1\r\nhost: it\r\n\r\n").await;
    let answer = connection.answer().await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_without_reading_leaves_the_connection_to_the_next_request() {
    let gateway = Gateway::start().await;
    let mut connection = Raw::from("127.0.0.1", &gateway).await;
    let body = trip().to_string();
    let plain = format!("content-length: {}\r\n\r\n{body}", body.len());
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for (line, status) in UNREAD {
        for body in [&plain, &chunked] {
            connection.send(&format!("{line} HTTP/1.1\r\nhost: it\r\n{body}")).await;
            let answer = connection.answer().await.unwrap();
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
            let mut connection = Raw::from("127.0.0.1", &gateway).await;
            connection.send(&format!("{line} HTTP/1.1\r\nhost: it\r\n{body}")).await;
            let answer = connection.answer().await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(answer.contains("connection: close"), "{answer}");
            connection.ends_without_a_word().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_wait_for_a_body_that_is_still_to_come() {
    let gateway = Gateway::start_under(&policy("none", "address", &["quote"], 1), &[]).await;
    gateway.public().post("/v1/quotes", &trip()).send().await.problem(401, "token-missing");
    for length in ["content-length: 60000", "transfer-encoding: chunked"] {
        let mut connection = Raw::from("127.0.0.1", &gateway).await;
        let head =
            format!("POST /v1/quotes HTTP/1.1\r\nhost: it\r\n{length}\r\ncontent-type: application/json\r\n\r\n");
        connection.send(&head).await;
        let answer = connection.answer().await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("connection: close"), "{answer}");
        connection.ends_without_a_word().await;
    }
}
