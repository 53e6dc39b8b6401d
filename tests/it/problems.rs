//! Errors as clients see them, and the machine-readable description of the API.

use serde_json::{Value, json};

use crate::harness::{Gateway, dropoff, pickup};

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_is_not_found() {
    let gateway = Gateway::start().await;
    let api = gateway.passenger().await.api;
    for path in ["/", "/v1", "/v1/nothing", "/v2/rides", "/v1/rides/1/2/3", "/sandbox/nothing"] {
        api.get(path).send().await.problem(404, "not-found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_path_with_another_method_is_not_allowed() {
    let gateway = Gateway::start().await;
    let api = gateway.passenger().await.api;
    for path in ["/v1/quotes", "/v1/rides", "/v1/auth/otp", "/v1/ride-states", "/v1/rides/current"] {
        let answer = api.put(path, &json!({})).send().await;
        answer.problem(405, "method-not-allowed");
        assert!(answer.header("allow").is_some_and(|methods| methods.contains("GET") || methods.contains("POST")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_must_be_json() {
    let gateway = Gateway::start().await;
    let api = gateway.passenger().await.api;
    let send = async |kind: &str, body: &str| {
        let call = api.request(reqwest::Method::POST, "/v1/quotes").header("content-type", kind);
        call.text(body.to_owned()).send().await
    };
    send("text/plain", "{}").await.problem(415, "unsupported-media-type");
    send("application/json", "{\"pickup\":").await.problem(400, "malformed");
    send("application/json", "").await.problem(400, "malformed");
    send("application/json", "pickup=1").await.problem(400, "malformed");
    let trip = json!({ "pickup": pickup(), "dropoff": dropoff() }).to_string();
    send("application/json; charset=utf-8", &trip).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_body_is_told_from_a_broken_one() {
    let gateway = Gateway::start().await;
    let api = gateway.passenger().await.api;
    let send = async |coding: &str| {
        let trip = json!({ "pickup": pickup(), "dropoff": dropoff() });
        api.post("/v1/quotes", &trip).header("content-encoding", coding).send().await
    };
    send("gzip").await.problem(415, "unsupported-media-type");
    send("identity").await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_the_wrong_shape_is_refused() {
    let gateway = Gateway::start().await;
    let api = gateway.passenger().await.api;
    for body in [json!([]), json!("text"), Value::Null, json!(7)] {
        let answer = api.post("/v1/quotes", &body).send().await;
        answer.problem(422, "invalid-field");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_a_size_limit() {
    let gateway = Gateway::start().await;
    let api = gateway.passenger().await.api;
    let huge = json!({ "pickup": "x".repeat(4 * 1024 * 1024) });
    api.post("/v1/quotes", &huge).send().await.problem(413, "body-too-large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_comes_back_and_a_missing_one_is_made() {
    let gateway = Gateway::start().await;
    let public = gateway.public();
    let given = public.get("/v1/ride-states").header("x-request-id", "trace-me-7").send().await;
    assert_eq!(given.header("x-request-id"), Some("trace-me-7"));
    let first = public.get("/v1/ride-states").send().await;
    let second = public.get("/v1/nothing").send().await;
    let ids = [first.header("x-request-id").unwrap(), second.header("x-request-id").unwrap()];
    assert!(ids.iter().all(|id| !id.is_empty()) && ids[0] != ids[1], "{ids:?}");
    let odd = public.get("/v1/ride-states").header("x-request-id", &"x".repeat(5_000)).send().await;
    assert!(odd.header("x-request-id").is_some_and(|id| id.len() <= 200), "an absurd id is not repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_problem_names_the_call_it_answers() {
    let gateway = Gateway::start().await;
    let problem = gateway.public().get("/v1/me").send().await.problem(401, "token-missing");
    assert!(
        problem["instance"].as_str().unwrap().contains("/v1/me") || problem.get("request_id").is_some(),
        "{problem}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_openapi_3_1_and_lists_every_public_call() {
    let gateway = Gateway::start().await;
    let description = gateway.public().get("/openapi.json").send().await.expect(200);
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{description}");
    let calls = [
        ("/v1/auth/otp", "post"),
        ("/v1/auth/token", "post"),
        ("/v1/auth/refresh", "post"),
        ("/v1/auth/logout", "post"),
        ("/v1/me", "get"),
        ("/v1/me", "patch"),
        ("/v1/me", "delete"),
        ("/v1/products", "get"),
        ("/v1/quotes", "post"),
        ("/v1/quotes/{id}", "get"),
        ("/v1/rides", "post"),
        ("/v1/rides", "get"),
        ("/v1/rides/current", "get"),
        ("/v1/rides/{id}", "get"),
        ("/v1/rides/{id}/events", "get"),
        ("/v1/rides/{id}/cancel", "post"),
        ("/v1/rides/{id}/receipt", "get"),
        ("/v1/rides/{id}/rating", "post"),
        ("/v1/ride-states", "get"),
    ];
    let paths = description["paths"].as_object().unwrap();
    for (path, method) in calls {
        let call = &paths.get(path).unwrap_or_else(|| panic!("{path} is missing"))[method];
        let answers = call["responses"].as_object().unwrap_or_else(|| panic!("{method} {path} has no responses"));
        for (status, answer) in answers {
            assert!(answer["description"].is_string(), "{method} {path} {status} has no description");
        }
    }
    assert!(!paths.keys().any(|path| path.starts_with("/internal")), "internal calls are not for passengers");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_page_needs_no_other_host() {
    let gateway = Gateway::start().await;
    let public = gateway.public();
    let page = ["/docs", "/docs/"];
    for path in page {
        let answer = public.get(path).send().await;
        assert_eq!(answer.status, 200, "{path}: {answer:#?}");
        assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
        for link in links(&answer.body) {
            assert!(!link.contains("//"), "{link} leaves this host");
            let file = if link.starts_with('/') { link } else { format!("/docs/{}", link.trim_start_matches("./")) };
            assert_eq!(public.get(&file).send().await.status, 200, "{file}");
        }
    }
}

/// What a page loads: every `src` and `href`.
fn links(page: &str) -> Vec<String> {
    let values = ["src=\"", "href=\""].into_iter().flat_map(|attribute| page.split(attribute).skip(1));
    values.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}
