//! Bodies that a schema calls invalid, one wrong thing in each.

use serde_json::{Value, json};

/// Longer than any text that the API takes, shorter than the largest body.
const VERY_LONG: usize = 10_000;

/// What the answer to a wrong body has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Expected {
    /// 422 `invalid-field` that names this very field.
    Blamed,
    /// 400 `malformed`.
    NotJson,
    /// Some 4xx: the schema would allow it, its meaning cannot be.
    Refused,
}

/// A body with one thing wrong.
pub(crate) struct Wrong {
    /// The field, `pickup.lat`; `body` for the whole.
    pub(crate) field: String,
    pub(crate) what: &'static str,
    pub(crate) body: String,
    pub(crate) expected: Expected,
}

/// A body that is fine: every required field.
pub(crate) fn sample(schema: &Value) -> Value {
    sample_of("", schema)
}

fn sample_of(name: &str, schema: &Value) -> Value {
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    match kinds(schema)[0] {
        "object" => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            required.map(|name| (name.to_owned(), sample_of(name, &schema["properties"][name]))).collect()
        }
        "array" => json!([]),
        "integer" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "number" => json!(1.5),
        "string" => json!(text_for(name)),
        other => panic!("no sample of {other}"),
    }
}

/// A text that means something where the schema does not say what.
fn text_for(name: &str) -> &'static str {
    match name {
        "phone" => "+12125550123",
        "observed_at" => "2026-01-01T00:00:00Z",
        "by" => "driver",
        _ => "1",
    }
}

/// Everything that is wrong in exactly one place.
pub(crate) fn wrong_bodies(schema: &Value) -> Vec<Wrong> {
    let sample = sample(schema);
    let mut wrong: Vec<Wrong> = Vec::new();
    let kinds = [("null", json!(null)), ("true", json!(true)), ("7", json!(7)), ("text", json!("text"))];
    let kinds = kinds.into_iter().chain([("[]", json!([])), ("[object]", json!([sample]))]);
    wrong.extend(kinds.map(|(what, body)| whole(what, body.to_string(), Expected::Blamed)));
    let good = sample.to_string();
    let syntax = [
        ("nothing", String::new()),
        ("cut in half", good[..good.len() / 2].to_owned()),
        ("cut before its end", good[..good.len() - 1].to_owned()),
        ("more after its end", format!("{good}}}")),
        ("a form", "phone=1&code=2".to_owned()),
        ("a byte order mark", format!("\u{feff}{good}")),
        ("10000 open arrays", "[".repeat(VERY_LONG)),
        ("half a surrogate pair", "{\"\\ud800\":1}".to_owned()),
    ];
    wrong.extend(syntax.map(|(what, body)| whole(what, body, Expected::NotJson)));
    fields(schema, &sample, &mut Vec::new(), &mut wrong);
    wrong
}

fn whole(what: &'static str, body: String, expected: Expected) -> Wrong {
    Wrong { field: "body".to_owned(), what, body, expected }
}

/// What stands where a field's value should.
enum Instead {
    Nothing,
    Json(Value),
    /// As it is, JSON or not.
    Raw(&'static str),
}

fn fields(schema: &Value, sample: &Value, path: &mut Vec<String>, wrong: &mut Vec<Wrong>) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let mut add = |path: &[String], what, instead, expected| {
        wrong.push(Wrong { field: path.join("."), what, body: with(sample, path, instead), expected });
    };
    let mut inner = Vec::new();
    for (name, property) in schema["properties"].as_object().expect("an object has properties") {
        path.push(name.clone());
        if required.contains(&json!(name)) {
            add(path, "missing", Instead::Nothing, Expected::Blamed);
        }
        for (what, instead, expected) in instead_of(property) {
            add(path, what, instead, expected);
        }
        if kinds(property).contains(&"object") {
            inner.push((property, path.clone()));
        }
        path.pop();
    }
    assert_eq!(schema["additionalProperties"], false, "the schema of a body is closed: {schema}");
    path.push("surprise".to_owned());
    add(path, "unknown", Instead::Json(json!(1)), Expected::Blamed);
    path.pop();
    for (property, mut path) in inner {
        fields(property, sample, &mut path, wrong);
    }
}

fn instead_of(schema: &Value) -> Vec<(&'static str, Instead, Expected)> {
    use Expected::{Blamed, NotJson, Refused};
    let kinds = kinds(schema);
    let values = [
        ("null", json!(null)),
        ("true", json!(true)),
        ("7", json!(7)),
        ("7.5", json!(7.5)),
        ("text", json!("text")),
        ("[]", json!([])),
        ("{}", json!({})),
    ];
    let other_kinds = values.into_iter().filter(|(_, value)| !kinds.iter().any(|kind| is_a(value, kind)));
    let mut all: Vec<_> = other_kinds.map(|(what, value)| (what, Instead::Json(value), Blamed)).collect();
    let mut add = |what, value: Value, expected| all.push((what, Instead::Json(value), expected));
    let number = |name: &str| schema.get(name).and_then(Value::as_f64);
    let length = |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    if kinds.contains(&"string") {
        if length("minLength").is_some_and(|least| least > 0) {
            add("empty", json!(""), Blamed);
        }
        match length("maxLength") {
            Some(most) => add("too long", json!("x".repeat(most + 1)), Blamed),
            None => add("10000 characters", json!("x".repeat(VERY_LONG)), Refused),
        }
        if schema.get("pattern").is_some() || schema.get("enum").is_some() {
            // A pattern that only keeps control characters out takes any plain text.
            let plain = schema["pattern"].as_str().is_some_and(|pattern| pattern.starts_with(r"^[^\x00"));
            add("another pattern", json!(if plain { "\0" } else { "x" }), Blamed);
        }
        add("NUL", json!("a\0b"), Refused);
        add("control characters", json!("a\u{1b}[2J\r\n"), Refused);
    }
    if kinds.contains(&"array") {
        let item = sample_of("", &schema["items"]);
        if let Some(most) = length("maxItems") {
            add("too many", json!(vec![item; most + 1]), Blamed);
        }
        for (what, value) in [("[null]", json!([null])), ("[7]", json!([7])), ("[{}]", json!([{}]))] {
            if !kinds_contain(&schema["items"], &value[0]) {
                add(what, value, Blamed);
            }
        }
        add("[NUL]", json!(["a\0b"]), Refused);
    }
    let step = if kinds.contains(&"integer") { 1.0 } else { 0.000_1 };
    let as_json = |value: f64| if value.fract() == 0.0 { json!(value as i64) } else { json!(value) };
    if let Some(least) = number("minimum") {
        add("below the least", as_json(least - step), Blamed);
    }
    if let Some(most) = number("maximum") {
        add("above the most", as_json(most + step), Blamed);
    }
    if kinds.contains(&"integer") || kinds.contains(&"number") {
        all.push(("1e300", Instead::Raw("1e300"), Blamed));
        all.push(("1e999", Instead::Raw("1e999"), Blamed));
        all.push(("2^64", Instead::Raw("18446744073709551616"), Blamed));
        all.push(("NaN", Instead::Raw("NaN"), NotJson));
        all.push(("007", Instead::Raw("007"), NotJson));
    }
    all
}

fn with(sample: &Value, path: &[String], instead: Instead) -> String {
    const MARK: &str = "here";
    let mut body = sample.clone();
    let (last, parents) = path.split_last().expect("a field has a name");
    let parent = parents.iter().fold(&mut body, |value, name| &mut value[name.as_str()]);
    let parent = parent.as_object_mut().expect("fields are in objects");
    match instead {
        Instead::Nothing => drop(parent.remove(last)),
        Instead::Json(value) => drop(parent.insert(last.clone(), value)),
        Instead::Raw(text) => {
            parent.insert(last.clone(), json!(MARK));
            return body.to_string().replacen(&format!("\"{MARK}\""), text, 1);
        }
    }
    body.to_string()
}

/// The JSON types that a schema takes; never empty.
fn kinds(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => panic!("a schema without a type: {schema}"),
    }
}

fn kinds_contain(schema: &Value, value: &Value) -> bool {
    kinds(schema).iter().any(|kind| is_a(value, kind))
}

fn is_a(value: &Value, kind: &str) -> bool {
    match value {
        Value::Null => kind == "null",
        Value::Bool(_) => kind == "boolean",
        Value::Number(number) => kind == "number" || kind == "integer" && !number.is_f64(),
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
    }
}
