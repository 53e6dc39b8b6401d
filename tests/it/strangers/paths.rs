//! Paths, methods, parameters and headers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    snapshot::{Section, told},
    table::Route,
    world::{Sent, World, good_query, name},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_cannot_be_one_names_nothing() {
    let world = World::new().await;
    let long = "9".repeat(300);
    let never = [("NUL", "%00"), ("not UTF-8", "%FF"), ("a control character", "1%0A"), ("300 digits", long.as_str())];
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
    for route in world.routes.iter().filter(|route| route.id().is_some()) {
        // A driver's id is the partner's; the simulated bank decides on anybody, known or not.
        let ours = !route.path.contains("/drivers/") && route.path != "/sandbox/payment/{id}";
        for (what, id) in never.iter().chain(never_ours.iter().filter(|_| ours)) {
            let sent = Sent { id: Some(id), ..Sent::default() };
            let told = world.told(&world.insider(route), route, sent, 404).await;
            section.note_one_of(route.group("every route with an id"), &route.name(), what, &told);
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
            let header = answer.header("allow").unwrap();
            assert_eq!(header.split(',').map(str::trim).collect::<BTreeSet<_>>(), allowed, "{answer:#?}");
            assert_eq!(answer.json()["detail"], format!("Allowed here: {header}."));
            section.note_one_of(route.group("every path"), &route.path, method, &told);
        }
    }
    world.is_unharmed();
    section.compare("methods");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_out_of_its_range_is_refused() {
    let world = World::new().await;
    let mut section = Section::default();
    for route in &world.routes {
        for (parameter, what, query) in wrong_queries(route) {
            let sent = Sent { query: Some(&query), ..Sent::default() };
            let (path, answer) = world.call(&world.insider(route), route, sent).await;
            if !(400..500).contains(&answer.status) {
                section.broke(format!("{}?{query} → {} {}", route.name(), answer.status, answer.body));
                continue;
            }
            section.note(&route.name(), &told(&answer, &path), &parameter, &what);
        }
    }
    world.is_unharmed();
    section.compare("parameters");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_makes_no_sense_is_refused_or_matches_nothing() {
    let world = World::new().await;
    let mut section = Section::default();
    let long = "9".repeat(10_000);
    let values =
        [("missing", None), ("empty", Some("")), ("long", Some(&*long)), ("not ASCII", Some("é")), ("\"", Some("\""))];
    for route in &world.routes {
        for header in route.parameters_in("header") {
            for (what, value) in values.iter().filter(|(_, value)| value.is_some() || header["required"] == true) {
                let headers: Vec<_> = value.iter().map(|value| (name(header), *value)).collect();
                let sent = Sent { headers: Some(&headers), ..Sent::default() };
                let (path, answer) = world.call(&world.insider(route), route, sent).await;
                let ignored = answer.status == 200 && header["required"] != true;
                let told = if ignored { "200".to_owned() } else { told(&answer, &path) };
                section.note(&route.name(), &told, name(header), what);
            }
        }
    }
    world.is_unharmed();
    section.compare("headers");
}

/// Query strings with one thing wrong: parameter, what, query.
fn wrong_queries(route: &Route) -> Vec<(String, String, String)> {
    let all: Vec<&Value> = route.parameters_in("query").collect();
    let mut wrong = Vec::new();
    let required = all.iter().filter(|parameter| parameter["required"] == true);
    let fine: String = required.map(|parameter| good_query(parameter) + "&").collect();
    if route.path.split('/').nth(1).is_some_and(|start| ["v1", "internal", "sandbox"].contains(&start)) {
        wrong.push(("surprise".to_owned(), "unknown".to_owned(), format!("{fine}surprise=1")));
    }
    if let Some(first) = all.first() {
        let twice = format!("{0}&{0}", good_query(first));
        wrong.push((name(first).to_owned(), "twice".to_owned(), format!("{fine}{twice}")));
    }
    for parameter in &all {
        let others: Vec<String> = all
            .iter()
            .filter(|other| other["required"] == true && name(other) != name(parameter))
            .map(|other| good_query(other))
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
