//! All problems in one file, `tests/snapshots/problems.json`, for a reviewer to read. `UPDATE_SNAPSHOTS=1` writes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};

use crate::harness::{Answer, Gateway};

/// Members that every problem has.
const MEMBERS: [&str; 7] = ["code", "detail", "instance", "retryable", "status", "title", "type"];

/// Members that belong to one kind of problem.
const CASE_MEMBERS: [(&str, &[&str]); 12] = [
    ("already-riding", &["ride_id"]),
    ("body-too-large", &["limit"]),
    ("cancellation-fee", &["confirmation_token", "expires_at", "fee"]),
    ("illegal-transition", &["from", "to"]),
    ("internal", &["request_id"]),
    ("invalid-field", &["allowed", "field"]),
    ("otp-invalid", &["attempts_left"]),
    ("out-of-area", &["allowed", "field"]),
    ("product", &["allowed", "field"]),
    ("quota-exceeded", &["violated-policies"]),
    ("ride-not-completed", &["ride_status"]),
    ("temporary-reduced-capacity", &["violated-policies"]),
];

/// Words of our libraries, our language and our machine.
const OF_THE_INSIDE: [&str; 16] = [
    "sql", "SQL", "_orm", "serde", "actix", "tokio", "panicked", "::", ".rs", "line ", "column", "struct ", "u32",
    "i64", "f64", "expected",
];

/// One part of the file: what was asked → what was told → for which fields.
#[derive(Default)]
pub(crate) struct Section {
    lines: BTreeMap<String, BTreeMap<String, BTreeMap<String, BTreeSet<String>>>>,
    /// Case → group of routes → route → what it told.
    everywhere: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>,
    broken: Vec<String>,
}

impl Section {
    /// Notes an answer; those that differ in `detail` alone share a line.
    pub(crate) fn note(&mut self, asked: &str, told: &str, item: &str, detail: &str) {
        let items = self.lines.entry(asked.to_owned()).or_default().entry(told.to_owned()).or_default();
        items.entry(item.to_owned()).or_default().extend((!detail.is_empty()).then(|| detail.to_owned()));
    }

    /// Notes an answer of one route of a group. Where all tell the same, the group is named instead of each route.
    pub(crate) fn note_one_of(&mut self, group: String, route: &str, case: &str, told: &str) {
        let routes = self.everywhere.entry(case.to_owned()).or_default().entry(group).or_default();
        if let Some(before) = routes.insert(route.to_owned(), told.to_owned()).filter(|before| before != told) {
            self.broken.push(format!("{route} with {case} tells {told} and {before}"));
        }
    }

    /// Notes a promise that was not kept.
    pub(crate) fn broke(&mut self, what: String) {
        self.broken.push(what);
    }

    /// Fails for what was broken; then compares with the file, or, when asked to, replaces its part of the file.
    pub(crate) fn compare(mut self, name: &str) {
        // Tests of one run share the file.
        static FILE: Mutex<()> = Mutex::new(());
        let _held = FILE.lock().unwrap_or_else(PoisonError::into_inner);
        self.sum_up();
        let path = format!("{}/../../tests/snapshots/problems.json", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
        let mut file: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let now = self.to_json();
        let update = env::var_os("UPDATE_SNAPSHOTS").is_some();
        let then = file[name].take();
        if update {
            file["members of every problem"] = json!(MEMBERS.join(", "));
            file[name] = now.clone();
            let text = serde_json::to_string_pretty(&file).expect("JSON") + "\n";
            fs::write(&path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        let broken = self.broken;
        assert!(broken.is_empty(), "{} promises of the contract are broken:\n{}", broken.len(), broken.join("\n"));
        let is_known = update || then == now;
        assert!(is_known, "`{name}` of {path} differs; look, then UPDATE_SNAPSHOTS=1:\n{}", differences(&then, &now));
    }

    /// Makes lines of what was noted route by route.
    fn sum_up(&mut self) {
        for (case, groups) in std::mem::take(&mut self.everywhere) {
            for (group, routes) in groups {
                let all_told: BTreeSet<&String> = routes.values().collect();
                for told in &all_told {
                    let of_told = routes.iter().filter(|(_, other)| other == told).map(|(route, _)| route.as_str());
                    let names: Vec<&str> = if all_told.len() == 1 { vec![&group] } else { of_told.collect() };
                    for name in names {
                        self.note(told, name, &case, "");
                    }
                }
            }
        }
    }

    fn to_json(&self) -> Value {
        let line = |(item, details): (&String, &BTreeSet<String>)| match details.len() {
            0 => item.clone(),
            _ => format!("{item}: {}", details.iter().cloned().collect::<Vec<_>>().join(", ")),
        };
        let mut lines = json!({});
        for (asked, answers) in &self.lines {
            for (told, items) in answers {
                let has_details = items.values().any(|details| !details.is_empty());
                let items: Vec<String> = items.iter().map(line).collect();
                lines[asked][told] = match &items[..] {
                    [one] => json!(one),
                    many if has_details => json!(many),
                    many => json!(many.join(", ")),
                };
            }
        }
        lines
    }
}

fn differences(then: &Value, now: &Value) -> String {
    let [then, now] = [then, now].map(|value| serde_json::to_string_pretty(value).expect("JSON"));
    let (then, now): (Vec<_>, Vec<_>) = (then.lines().collect(), now.lines().collect());
    let gone = then.iter().filter(|line| !now.contains(line)).map(|line| format!("- {line}"));
    let new = now.iter().filter(|line| !then.contains(line)).map(|line| format!("+ {line}"));
    gone.chain(new).collect::<Vec<_>>().join("\n")
}

/// Every kind of problem with its status, as the page `/docs/problems` lists them.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_problem_is_listed_for_people() {
    let page = Gateway::start().await.public().get("/docs/problems").send().await;
    assert_eq!(page.status, 200, "{page:#?}");
    let mut section = Section::default();
    for row in page.body.split("<tr id=").skip(1) {
        let cells: Vec<&str> = row.split("<td>").skip(1).filter_map(|cell| cell.split("</td>").next()).collect();
        let [code, status, title, retryable] = cells[..] else { panic!("not four cells: {row}") };
        let code = code.trim_start_matches("<code>").trim_end_matches("</code>");
        assert!(row.starts_with(&format!("\"{code}\"")), "`type` leads there: {row}");
        section.note(status, code, &format!("{title}; {}", if retryable == "yes" { "try again" } else { "final" }), "");
    }
    section.compare("every kind");
}

/// Checks that an answer is a whole problem and nothing else, with the headers of one; gives it in short:
/// `422 invalid-field {allowed, field}`.
#[track_caller]
pub(crate) fn told(answer: &Answer, path: &str) -> String {
    assert!((400..500).contains(&answer.status), "a stranger gets a 4xx: {answer:#?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:#?}");
    let problem = answer.json();
    let code = problem["code"].as_str().unwrap_or_else(|| panic!("no code: {answer:#?}"));
    answer.problem(answer.status, code);
    let of_case = CASE_MEMBERS.iter().find(|(known, _)| *known == code).map_or(&[][..], |(_, members)| members);
    let members: BTreeSet<&str> = problem.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected: BTreeSet<&str> = MEMBERS.iter().chain(of_case).copied().collect();
    assert_eq!(members, expected, "{answer:#?}");
    assert_eq!(problem["type"], format!("/docs/problems#{code}"), "{answer:#?}");
    assert_eq!(problem["instance"], path.split('?').next().unwrap_or(path), "{answer:#?}");
    has_the_headers_of_an_api(answer);
    let detail = problem["detail"].as_str().unwrap_or("");
    for text in [detail, problem["allowed"].as_str().unwrap_or("")] {
        let inner = OF_THE_INSIDE.iter().find(|word| text.contains(*word));
        assert_eq!(inner, None, "a stranger need not know: {answer:#?}");
    }
    assert_eq!(answer.header("www-authenticate").is_some(), answer.status == 401, "{answer:#?}");
    assert_eq!(answer.header("allow").is_some(), answer.status == 405, "{answer:#?}");
    let short = match of_case {
        [] => format!("{} {code}", answer.status),
        extra => format!("{} {code} {{{}}}", answer.status, extra.join(", ")),
    };
    // What a field takes has a section of its own; what a path takes stands in `Allow`.
    if matches!(code, "invalid-field" | "method-not-allowed") { short } else { format!("{short}: {detail}") }
}

/// What every answer carries, whatever was asked and whatever came of it.
#[track_caller]
pub(crate) fn has_the_headers_of_an_api(answer: &Answer) {
    assert!(answer.status < 500, "{answer:#?}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:#?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:#?}");
    assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "{answer:#?}");
    for name in ["server", "x-powered-by", "set-cookie"] {
        assert_eq!(answer.header(name), None, "{answer:#?}");
    }
}
