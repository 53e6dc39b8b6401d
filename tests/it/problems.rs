//! Errors as clients see them, and the machine-readable description of the API.

use reqwest::Method;

use crate::harness::{Gateway, trip};

#[tokio::test(flavor = "multi_thread")]
async fn a_content_type_may_name_its_charset() {
    let gateway = Gateway::start().await;
    let call = gateway.passenger().await.api.request(Method::POST, "/v1/quotes");
    let call = call.header("content-type", "Application/JSON; charset=utf-8");
    call.text(trip().to_string()).send().await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_body_is_told_from_a_broken_one() {
    let gateway = Gateway::start().await;
    let api = gateway.passenger().await.api;
    let send = async |coding: &str| api.post("/v1/quotes", &trip()).header("content-encoding", coding).send().await;
    send("gzip").await.problem(415, "unsupported-media-type");
    send("identity").await.expect(201);
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

/// That it lists every call, and no other, is told by `strangers`.
#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_openapi_3_1_and_says_what_each_answer_is() {
    let gateway = Gateway::start().await;
    let description = gateway.public().get("/openapi.json").send().await.expect(200);
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{description}");
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, call) in methods.as_object().unwrap() {
            let answers = call["responses"].as_object().unwrap_or_else(|| panic!("{method} {path} has no responses"));
            for (status, answer) in answers {
                assert!(answer["description"].is_string(), "{method} {path} {status} has no description");
            }
        }
    }
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
