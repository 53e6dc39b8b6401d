//! Strangers and nonsense: every route, from the description and the source, asked in every wrong way. Each answer is
//! a whole problem, and all of them stand in `tests/snapshots/problems.json`.

mod nonsense;
mod snapshot;
mod table;
mod world;

use std::collections::BTreeSet;

use crate::harness::{Api, eventually};
use nonsense::{Expected, Wrong};
use serde_json::Value;
use snapshot::{Section, told};
use table::Route;
use world::{Sent, World, name};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_no_secured_route_does_anything() {
    let world = World::new().await;
    let good = world.owner.api.token.clone().unwrap();
    let (head, signature) = good.rsplit_once('.').unwrap();
    let claims = head.split('.').nth(1).unwrap();
    // {"alg":"none"}
    let unsigned = format!("eyJhbGciOiJub25lIn0.{claims}.");
    let turned: String = signature.chars().rev().collect();
    let bad = [
        ("no token", None),
        ("an empty token", Some("Bearer ".to_owned())),
        ("nonsense", Some("Bearer nonsense".to_owned())),
        ("three dots", Some("Bearer ...".to_owned())),
        ("another scheme", Some(format!("Basic {good}"))),
        ("a bare token", Some(good.clone())),
        ("another signature", Some(format!("Bearer {head}.{turned}"))),
        ("no signature", Some(format!("Bearer {unsigned}"))),
        ("a refresh token", Some(format!("Bearer {}", world.owner.refresh_token))),
        ("the other listener's token", None),
    ];
    let mut section = Section::default();
    for (what, header) in &bad {
        for route in world.routes.iter().filter(|route| route.secured) {
            let mut api = world.nobody(route);
            let header = match (*what, route.internal) {
                ("the other listener's token", true) => Some(format!("Bearer {good}")),
                ("the other listener's token", false) => Some("Bearer local-dev-token".to_owned()),
                _ => header.clone(),
            };
            let key = ("idempotency-key", "k");
            let headers: Vec<_> = header.iter().map(|value| ("authorization", value.as_str())).chain([key]).collect();
            api.token = None;
            let (path, answer) = world.call(&api, route, Sent { headers: Some(&headers), ..Sent::default() }).await;
            let told = told(&answer, &path);
            assert_eq!(answer.status, 401, "{what}: {answer:#?}");
            section.note_one_of(group(route, "every secured route"), &route.name(), what, &told);
        }
    }
    world.is_unharmed();
    section.compare("tokens");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_told_from_a_bad_one_on_every_route() {
    let world = World::with(&[("auth.access_ttl_s", "1")]).await;
    eventually("the token expires", async || {
        let answer = world.owner.api.get("/v1/me").send().await;
        (answer.status == 401).then(|| answer.problem(401, "token-expired"))
    })
    .await;
    let section = everywhere(&world, &world.owner.api, "an expired token", 401).await;
    section.compare("expired tokens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_passengers_token_opens_nothing() {
    let world = World::new().await;
    let gone = world.gateway.passenger().await.api;
    gone.delete("/v1/me").send().await.expect(204);
    everywhere(&world, &gone, "a deleted passenger's token", 401).await.compare("deleted passengers");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_somebody_else_is_not_there() {
    let world = World::new().await;
    let stranger = world.gateway.passenger().await.api;
    let mut section = Section::default();
    for route in world.routes.iter().filter(|route| !route.internal && route.has_id()) {
        let (path, answer) = world.call(&stranger, route, Sent::default()).await;
        assert_eq!(answer.status, 404, "{answer:#?}");
        let told = told(&answer, &path);
        section.note_one_of("every route with an {id}", &route.name(), "another passenger's token", &told);
    }
    world.is_unharmed();
    section.compare("other people's things");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_cannot_be_one_names_nothing() {
    let world = World::new().await;
    let long = "9".repeat(300);
    let never = [("NUL", "%00"), ("not UTF-8", "%FF"), ("a control character", "1%0A"), ("300 digits", long.as_str())];
    // A driver's id is the partner's: almost anything printable.
    let never_ours = [
        ("zero", "0"),
        ("a word", "x"),
        ("negative", "-1"),
        ("signed", "+1"),
        ("a fraction", "1.5"),
        ("2^64", "18446744073709551616"),
        ("a space", "%201"),
        ("a slash", "1%2F2"),
        ("a way up", "..%2F..%2Fhealth"),
        ("an emoji", "%F0%9F%9A%95"),
        ("SQL", "1'%20OR%201=1--"),
    ];
    let mut section = Section::default();
    for route in world.routes.iter().filter(|route| route.has_id()) {
        let ours = !route.path.contains("/drivers/");
        for (what, id) in never.iter().chain(never_ours.iter().filter(|_| ours)) {
            let (path, answer) =
                world.call(&world.insider(route), route, Sent { id: Some(id), ..Sent::default() }).await;
            let told = told(&answer, &path);
            assert_eq!(answer.status, 404, "{} {what}: {answer:#?}", route.name());
            section.note_one_of(group(route, "every route with an {id}"), &route.name(), what, &told);
        }
    }
    world.is_unharmed();
    section.compare("ids that cannot be ids");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_takes_its_methods_and_says_so_to_others() {
    let world = World::new().await;
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"];
    let mut section = Section::default();
    for route in &world.routes {
        let same_path = world.routes.iter().filter(|other| other.path == route.path);
        let allowed: BTreeSet<&str> = same_path.map(|other| other.method.as_str()).collect();
        for method in methods.iter().filter(|method| !allowed.contains(*method)) {
            let sent = Sent { method: Some(method), ..Sent::default() };
            let (path, answer) = world.call(&world.insider(route), route, sent).await;
            let told = told(&answer, &path);
            assert_eq!(answer.status, 405, "{method} {path}: {answer:#?}");
            let said: BTreeSet<&str> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
            assert_eq!(said, allowed, "{answer:#?}");
            section.note_one_of(group(route, "every path"), &route.path, method, &told);
        }
    }
    world.is_unharmed();
    section.compare("methods");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_one_of_the_documented_content_types() {
    let world = World::new().await;
    let of_bodies = ["application/json", "application/merge-patch+json"];
    let others = ["", "text/plain", "text/json", "application/x-www-form-urlencoded", "application/jsonx", ";", "*/*"];
    let mut section = Section::default();
    for route in world.routes.iter().filter(|route| route.body.is_some()) {
        let undocumented = of_bodies.iter().filter(|media| !route.media.iter().any(|known| known == *media));
        for media in others.iter().chain(undocumented) {
            let sent = Sent { media: Some(media), ..Sent::default() };
            let (path, answer) = world.call(&world.insider(route), route, sent).await;
            if answer.status != 415 {
                section.broke(format!("{} takes `{media}`: {}", route.name(), answer.status));
                continue;
            }
            let what = match *media {
                "" => "none",
                json if of_bodies.contains(&json) => "the JSON type of other routes",
                other => other,
            };
            let told = told(&answer, &path);
            section.note_one_of(group(route, "every route with a body"), &route.name(), what, &told);
        }
    }
    world.is_unharmed();
    section.compare("content types");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_bounded_however_it_comes() {
    let world = World::new().await;
    let mut section = Section::default();
    for (route, schema) in bodies(&world) {
        // Fine but for its length.
        let long = nonsense::sample(schema).to_string() + &" ".repeat(70_000);
        let sent = Sent { body: Some(&long), ..Sent::default() };
        let (path, answer) = world.call(&world.insider(route), route, sent).await;
        assert_eq!(answer.status, 413, "{answer:#?}");
        let told = told(&answer, &path);
        section.note_one_of(group(route, "every route with a body"), &route.name(), "70 kB", &told);

        let chunk = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
        let answer = world.raw(route, "transfer-encoding: chunked", chunk.as_bytes(), true).await;
        let is_too_large = answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"code\":\"body-too-large\"");
        assert!(is_too_large, "{}: {answer}", route.name());
        section.note_one_of(group(route, "every route with a body"), &route.name(), "70 kB in chunks", &told);
    }
    world.is_unharmed();
    section.compare("body size");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_in_the_middle_of_a_body_harms_nobody() {
    let world = World::new().await;
    for (route, schema) in bodies(&world) {
        let good = nonsense::sample(schema).to_string();
        let half = &good.as_bytes()[..good.len() / 2];
        world.raw(route, &format!("content-length: {}", good.len()), half, false).await;
        world.raw(route, "transfer-encoding: chunked", b"fff\r\n{\"phone\"", false).await;
        let answer = world.raw(route, "transfer-encoding: chunked", b"nonsense\r\n", true).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{}: {answer}", route.name());
        let not_text = [&b"{\""[..], &[0xc3, 0x28, 0xff], b"\":1}"].concat();
        let framing = format!("content-length: {}", not_text.len());
        let answer = world.raw(route, &framing, &not_text, true).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"code\":\"malformed\""), "{answer}");
    }
    world.owner.api.get("/v1/me").send().await.expect(200);
    world.is_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_its_schema_calls_invalid_is_refused_by_field() {
    let world = World::new().await;
    let (mut section, mut wholes) = (Section::default(), Section::default());
    for (route, schema) in bodies(&world) {
        for Wrong { field, what, body, expected } in nonsense::wrong_bodies(schema) {
            let sent = Sent { body: Some(&body), ..Sent::default() };
            let (path, answer) = world.call(&world.insider(route), route, sent).await;
            let start: String = body.chars().take(200).collect();
            let case = format!("{} with {field} {what}: {start}\n  → {} {}", route.name(), answer.status, answer.body);
            if !(400..500).contains(&answer.status) {
                section.broke(case);
                continue;
            }
            let told = told(&answer, &path);
            let problem = answer.json();
            let kept = match expected {
                Expected::Blamed => problem["code"] == "invalid-field" && is_in(&problem["field"], &field),
                Expected::NotJson => problem["code"] == "malformed",
                Expected::Refused => true,
            };
            if !kept {
                section.broke(case);
            }
            if field == "body" {
                wholes.note_one_of(group(route, "every route with a body"), &route.name(), what, &told);
            } else {
                section.note(&route.name(), &told, &field, what);
            }
        }
    }
    world.is_unharmed();
    wholes.compare("bodies as a whole");
    section.compare("bodies");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_out_of_its_range_is_refused() {
    let world = World::new().await;
    let mut section = Section::default();
    for route in world.routes.iter().filter(|route| !route.internal) {
        for (parameter, what, query) in wrong_queries(route) {
            let sent = Sent { query: Some(&query), ..Sent::default() };
            let (path, answer) = world.call(&world.insider(route), route, sent).await;
            if !(400..500).contains(&answer.status) {
                section.broke(format!("{}?{query} → {} {}", route.name(), answer.status, answer.body));
                continue;
            }
            section.note(&route.name(), &told(&answer, &path), &parameter, &what);
        }
        for parameter in route.parameters_in("header").filter(|parameter| parameter["required"] == true) {
            let long = "k".repeat(10_000);
            for (what, value) in
                [("missing", None), ("empty", Some("")), ("long", Some(&*long)), ("not ASCII", Some("é"))]
            {
                let headers: Vec<_> = value.iter().map(|value| (name(parameter), *value)).collect();
                let sent = Sent { headers: Some(&headers), ..Sent::default() };
                let (path, answer) = world.call(&world.insider(route), route, sent).await;
                section.note(&route.name(), &told(&answer, &path), name(parameter), what);
            }
        }
    }
    world.is_unharmed();
    section.compare("parameters");
}

/// Calls every secured public route with this token.
async fn everywhere(world: &World, api: &Api, who: &str, status: u16) -> Section {
    let mut section = Section::default();
    for route in world.routes.iter().filter(|route| !route.internal && route.secured) {
        let (path, answer) = world.call(api, route, Sent::default()).await;
        let told = told(&answer, &path);
        assert_eq!(answer.status, status, "{}: {answer:#?}", route.name());
        section.note_one_of(group(route, "every secured route"), &route.name(), who, &told);
    }
    world.is_unharmed();
    section
}

/// Every route with a body, and the body's schema.
fn bodies(world: &World) -> impl Iterator<Item = (&Route, &Value)> {
    world.routes.iter().filter_map(|route| Some((route, route.body.as_ref()?)))
}

/// Whether the blamed field is this one, or an entry of it.
fn is_in(blamed: &Value, field: &str) -> bool {
    let blamed = blamed.as_str().unwrap_or("");
    blamed == field || blamed.strip_prefix(field).is_some_and(|rest| rest.starts_with('['))
}

/// Query strings with one thing wrong: parameter, what, query.
fn wrong_queries(route: &Route) -> Vec<(String, String, String)> {
    let all: Vec<&Value> = route.parameters_in("query").collect();
    let mut wrong = Vec::new();
    if !all.is_empty() {
        let required: Vec<_> = all.iter().filter(|parameter| parameter["required"] == true).collect();
        let fine: String = required.iter().map(|parameter| format!("{}=40.75&", name(parameter))).collect();
        wrong.push(("surprise".to_owned(), "unknown".to_owned(), format!("{fine}surprise=1")));
        let twice = format!("{fine}{0}=40.75&{0}=40.75", name(all[0]));
        wrong.push((name(all[0]).to_owned(), "twice".to_owned(), twice));
    }
    for parameter in &all {
        let others: Vec<String> = all
            .iter()
            .filter(|other| other["required"] == true && name(other) != name(parameter))
            .map(|other| format!("{}=40.75", name(other)))
            .collect();
        let mut add = |what: &str, value: Option<&str>| {
            let mut query = others.clone();
            query.extend(value.map(|value| format!("{}={value}", name(parameter))));
            wrong.push((name(parameter).to_owned(), what.to_owned(), query.join("&")));
        };
        if parameter["required"] == true {
            add("missing", None);
        }
        for (what, value) in [("empty", ""), ("a word", "x"), ("NUL", "%00"), ("not UTF-8", "%FF"), ("a list", "1,2")] {
            add(what, Some(value));
        }
        let schema = &parameter["schema"];
        if schema["type"] != "string" {
            for value in ["NaN", "inf", "-1e999", "1e999"] {
                add(value, Some(value));
            }
        }
        if schema["type"] == "integer" {
            add("a fraction", Some("1.5"));
            add("10^20", Some("100000000000000000000"));
        }
        for (bound, step) in [("minimum", -1), ("maximum", 1)] {
            if let Some(bound) = schema[bound].as_i64() {
                let beyond = (bound + step).to_string();
                add(&beyond, Some(&beyond));
            }
        }
    }
    wrong
}

/// The routes that are asked the same, by listener.
fn group(route: &Route, what: &'static str) -> &'static str {
    match (route.internal, what) {
        (true, "every secured route") => "every secured route, internal",
        (true, "every route with an {id}") => "every route with an {id}, internal",
        (true, "every route with a body") => "every route with a body, internal",
        (true, "every path") => "every path, internal",
        _ => what,
    }
}
