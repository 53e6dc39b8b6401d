//! Bodies: their size, their type, their content.

use serde_json::{Value, json};

use super::{
    nonsense::{self, Expected, Wrong},
    snapshot::{Section, told},
    table::Route,
    world::{Sent, World},
};

/// `http.body_limit`, bytes.
const LIMIT: usize = 65_536;

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
            section.note_one_of(route.group("every route with a body"), &route.name(), what, &told);
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
        let group = route.group("every route with a body");
        // Fine but for its length.
        let good = nonsense::sample(schema).to_string();
        let padded = |length: usize| good.clone() + &" ".repeat(length - good.len());
        let long = padded(LIMIT + 1);
        let sent = Sent { body: Some(&long), ..Sent::default() };
        let told = world.told(&world.insider(route), route, sent, 413).await;
        section.note_one_of(group.clone(), &route.name(), "one byte too many", &told);

        let chunk = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
        let answer = world.raw(route, "transfer-encoding: chunked", chunk.as_bytes(), true).await;
        let is_too_large = answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"code\":\"body-too-large\"");
        assert!(is_too_large, "{}: {answer}", route.name());
        section.note_one_of(group, &route.name(), "one byte too many, in chunks", &told);

        let sent = Sent { body: Some(&padded(LIMIT)), ..Sent::default() };
        let (_, answer) = world.call(&world.insider(route), route, sent).await;
        assert_ne!(answer.status, 413, "the longest body is taken: {answer:#?}");
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
                wholes.note_one_of(route.group("every route with a body"), &route.name(), what, &told);
            } else {
                section.note(&route.name(), &told, &field, what);
            }
        }
    }
    world.is_unharmed();
    wholes.compare("bodies as a whole");
    section.compare("bodies");
}

/// What a refusal says is allowed, is; one step beyond, it is not. Where no schema says so, the answers do.
#[tokio::test(flavor = "multi_thread")]
async fn the_bounds_that_a_refusal_tells_are_the_bounds() {
    let world = World::new().await;
    let (mut section, mut bounded) = (Section::default(), 0);
    for (route, schema) in bodies(&world) {
        for (field, kind) in nonsense::leaves(schema) {
            let blamed = async |value: Value| {
                let body = nonsense::body_with(schema, &field, value);
                let sent = Sent { body: Some(&body), ..Sent::default() };
                let (_, answer) = world.call(&world.insider(route), route, sent).await;
                let problem = if answer.status == 422 { answer.json() } else { Value::Null };
                (problem["field"] == field).then(|| problem["allowed"].as_str().expect("a text").to_owned())
            };
            let of_size = |size: f64| match kind {
                "string" => json!("x".repeat(size as usize)),
                "integer" => json!(size as i64),
                _ => json!(size),
            };
            let absurd = if kind == "string" { 10_000.0 } else { f64::from(u32::MAX) };
            let Some(allowed) = blamed(of_size(absurd)).await else { continue };
            section.note(&route.name(), &allowed, &field, "");
            let Some((least, most)) = range_in(&allowed) else { continue };
            bounded += 1;
            let step = if kind == "number" { 0.001 } else { 1.0 };
            let sizes = [(least, true), (most, true), (least - step, false), (most + step, false)];
            // No text is shorter than none.
            for (size, fits) in sizes.into_iter().filter(|(size, _)| kind != "string" || *size >= 0.0) {
                if blamed(of_size(size)).await.is_none() != fits {
                    section.broke(format!("{} takes `{allowed}` as {field}: {size} is not as said", route.name()));
                }
            }
        }
    }
    assert!(bounded > 15, "only {bounded} bounds were found");
    world.is_unharmed();
    section.compare("what fields take");
}

/// The bounds of a text such as `-90 to 90 (degrees)`.
fn range_in(allowed: &str) -> Option<(f64, f64)> {
    let (least, rest) = allowed.split_once(" to ")?;
    Some((least.parse().ok()?, rest.split_whitespace().next()?.parse().ok()?))
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
