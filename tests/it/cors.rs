//! Pages in browsers: who may call, what they may read, and that asking for leave costs nobody anything.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Api, Gateway};

const PAGE: &str = "https://app.example.com";
const ALLOWED: [(&str, &str); 1] = [("http.allowed_origins", "https://app.example.com,http://localhost:3000")];
/// Two requests an address, and no more for a long time.
const TWO: &str = "[[policy]]\nname = \"address\"\nkey = \"address\"\nquota = 2\nwindow_s = 3600\n";

/// What a browser sends before a page's call.
async fn preflight(api: &Api, origin: &str, method: &str, path: &str) -> Answer {
    let call = api.request(Method::OPTIONS, path).header("origin", origin);
    let call = call.header("access-control-request-method", method);
    call.header("access-control-request-headers", "authorization,content-type,idempotency-key").send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_allowed_may_ask_and_read_what_matters() {
    let gateway = Gateway::start_with(&ALLOWED).await;
    let answer = preflight(&gateway.public(), PAGE, "POST", "/v1/rides").await;
    answer.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "{answer:#?}");
    let of = |name: &str| answer.header(name).unwrap_or_default().to_lowercase();
    for method in ["get", "post", "patch", "delete"] {
        assert!(of("access-control-allow-methods").contains(method), "{answer:#?}");
    }
    for header in ["authorization", "content-type", "idempotency-key", "if-match", "last-event-id"] {
        assert!(of("access-control-allow-headers").contains(header), "{answer:#?}");
    }
    assert!(answer.header("access-control-max-age").is_some(), "{answer:#?}");
    assert_eq!(answer.header("access-control-allow-credentials"), None, "no cookie is ever read");

    let answer = gateway.public().get("/v1/ride-states").header("origin", PAGE).send().await;
    answer.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "{answer:#?}");
    assert!(answer.header("vary").is_some_and(|vary| vary.to_lowercase().contains("origin")), "{answer:#?}");
    let readable = answer.header("access-control-expose-headers").unwrap().to_lowercase();
    let names =
        ["etag", "location", "retry-after", "ratelimit", "ratelimit-policy", "x-request-id", "idempotency-replayed"];
    for name in names {
        assert!(readable.split(',').any(|known| known.trim() == name), "{name}: {answer:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_page_may_neither_ask_nor_read() {
    let gateway = Gateway::start_with(&ALLOWED).await;
    for origin in ["https://evil.example", "https://app.example.com.evil.example", "http://app.example.com", "null"] {
        let answer = preflight(&gateway.public(), origin, "POST", "/v1/rides").await;
        assert!((400..500).contains(&answer.status), "{answer:#?}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{answer:#?}");
        let answer = gateway.public().get("/v1/ride-states").header("origin", origin).send().await;
        answer.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{answer:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_can_read_that_it_was_refused_and_when_to_come_back() {
    let gateway = Gateway::start_with_policies(TWO, &ALLOWED).await;
    let public = gateway.public();
    for _ in 0..2 {
        public.get("/v1/ride-states").send().await.expect(200);
    }
    let answer = public.get("/v1/me").header("origin", PAGE).send().await;
    answer.problem(429, "quota-exceeded");
    assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "{answer:#?}");
    assert!(answer.header("access-control-expose-headers").unwrap().to_lowercase().contains("retry-after"));
    assert!(answer.header("retry-after").is_some() && answer.header("ratelimit").is_some(), "{answer:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_leave_is_never_counted() {
    for settings in [&ALLOWED[..], &[]] {
        let gateway = Gateway::start_with_policies(TWO, settings).await;
        let public = gateway.public();
        let expected = if settings.is_empty() { 405 } else { 200 };
        for _ in 0..20 {
            let answer = preflight(&public, PAGE, "GET", "/v1/ride-states").await;
            assert_eq!((answer.status, answer.header("ratelimit")), (expected, None), "{answer:#?}");
        }
        for left in ["\"address\";r=1;", "\"address\";r=0;"] {
            let answer = public.get("/v1/ride-states").send().await;
            assert!(answer.header("ratelimit").unwrap().starts_with(left), "{answer:#?}");
        }
        public.get("/v1/ride-states").send().await.problem(429, "quota-exceeded");
        // Not even then.
        assert_eq!(preflight(&public, PAGE, "GET", "/v1/ride-states").await.status, expected);
        // What only looks like one is a request like any other.
        let call = public.request(Method::OPTIONS, "/v1/ride-states").header("origin", PAGE);
        call.send().await.problem(429, "quota-exceeded");
        let call = public.post("/v1/quotes", &json!({})).header("origin", PAGE);
        call.header("access-control-request-method", "POST").send().await.problem(429, "quota-exceeded");
    }
}
