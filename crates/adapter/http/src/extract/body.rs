//! Bodies: bounded in size and time. JSON is told by field what is wrong.

use std::{fmt, marker::PhantomData, time::Duration};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{Method, header},
    web,
};
use bytes::BytesMut;
use futures_util::{StreamExt, future::LocalBoxFuture};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    Config,
    problem::{Code, Problem},
};

/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// What a body of TOML calls itself.
const TOML: &str = "application/toml";

/// A request body.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let checked = check_head(request);
        let payload = payload.take();
        Box::pin(async move {
            let body = read_in_time(payload, checked?).await?;
            parse(&body).map(Self)
        })
    }
}

/// A request body of TOML: its text. What it says is the handler's to judge.
pub struct TomlBody(pub String);

impl FromRequest for TomlBody {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let checked = match content_type(request).as_str() {
            TOML => limit(request),
            _ => Err(Problem::new(Code::UnsupportedMediaType, format!("Send {TOML}."))),
        };
        let payload = payload.take();
        Box::pin(async move {
            let body = read_in_time(payload, checked?).await?;
            let text =
                String::from_utf8(body.into()).map_err(|_| Problem::new(Code::Malformed, "The body is not UTF-8."));
            text.map(Self)
        })
    }
}

/// Content type and announced length, before anything is read; gives the limit.
fn check_head(request: &HttpRequest) -> Result<usize, Problem> {
    let kind = content_type(request);
    let is_patch = request.method() == Method::PATCH && kind == "application/merge-patch+json";
    if kind != "application/json" && !is_patch {
        return Err(Problem::new(Code::UnsupportedMediaType, "Send application/json."));
    }
    limit(request)
}

/// The content type without its parameters.
fn content_type(request: &HttpRequest) -> String {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// How long the body may be; refuses one that says that it is longer.
fn limit(request: &HttpRequest) -> Result<usize, Problem> {
    // A body is read as it is: RFC 9110, section 15.5.16.
    if request.headers().get_all(header::CONTENT_ENCODING).any(|coding| coding != "identity") {
        return Err(Problem::new(Code::UnsupportedMediaType, "Send the body without a content coding."));
    }
    let limit = request.app_data::<web::Data<Config>>().map_or(65_536, |config| config.body_limit);
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    if announced.and_then(|v| v.parse::<u64>().ok()).is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    Ok(limit)
}

async fn read_in_time(payload: Payload, limit: usize) -> Result<BytesMut, Problem> {
    let read = tokio::time::timeout(BODY_TIMEOUT, read(payload, limit)).await;
    read.unwrap_or_else(|_| Err(Problem::new(Code::Malformed, "The body did not come in time.")))
}

async fn read(mut payload: Payload, limit: usize) -> Result<BytesMut, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Code::Malformed, "The body is cut short."))?;
        if body.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("At most {limit} bytes.")).with("limit", limit)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let not_json = || Problem::new(Code::Malformed, "The body is not JSON.");
    // Derived structs would also take an array of their fields in order: only an object is what we document.
    if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(match serde_json::from_slice::<IgnoredAny>(body) {
            Ok(_) => Problem::invalid_field("body", "a JSON object"),
            Err(_) => not_json(),
        });
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value: T = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let is_of_field = error.inner().is_data() || is_of_value(error.inner());
        // The field may be wrong in what is no JSON at all further on.
        if is_of_field && serde_json::from_slice::<IgnoredAny>(body).is_ok() {
            field_problem(&error.path().to_string(), &error.inner().to_string())
        } else {
            not_json()
        }
    })?;
    json.end().map_err(|_| not_json())?;
    Ok(value)
}

/// Whether it is the value that is wrong, although the library says syntax: a number beyond its range, or anything but
/// a text where one of several names is due.
fn is_of_value(error: &serde_json::Error) -> bool {
    let message = error.to_string();
    ["number out of range", "expected value"].iter().any(|start| message.starts_with(start))
}

/// Which field, and what it may be, from what the JSON library says.
fn field_problem(path: &str, message: &str) -> Problem {
    let message = message.split(" at line ").next().unwrap_or(message);
    let parent = if path == "." { "" } else { path };
    let quoted = || message.split('`').nth(1).unwrap_or("");
    let child = |name: &str| match parent {
        "" => name.to_owned(),
        // For an unknown or missing field the path may end in the field itself.
        _ if parent == name || parent.ends_with(&format!(".{name}")) => parent.to_owned(),
        _ => format!("{parent}.{name}"),
    };
    if message.starts_with("missing field") {
        return Problem::invalid_field(&child(quoted()), "required");
    }
    if message.starts_with("duplicate field") {
        return Problem::invalid_field(&child(quoted()), "once");
    }
    if message.starts_with("unknown field") {
        let known = message.split_once("expected ").map_or("nothing", |(_, known)| known);
        let known = known.trim_start_matches("one of ").replace('`', "");
        return Problem::invalid_field(&child(quoted()), format!("no such field; known: {known}"));
    }
    let expected = message.split_once("expected ").map_or(message, |(_, expected)| expected);
    let expected = match expected {
        "f32" | "f64" => "a number".to_owned(),
        "number out of range" => "a number that is not as large".to_owned(),
        "value" => "one of its names, as a text".to_owned(),
        // The names of our integer types mean nothing to a client.
        "u8" | "u16" | "u32" | "u64" => "a whole number from 0".to_owned(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        other => other.replace('`', ""),
    };
    Problem::invalid_field(if parent.is_empty() { "body" } else { parent }, expected)
}

/// For `#[serde(deserialize_with = "object")]`: a nested struct from an object only, never from an array.
///
/// # Errors
/// Not an object, or what `T` says.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_map(Object(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dto::quote::QuoteBody;

    fn refused(body: &str) -> (String, String) {
        let problem = parse::<QuoteBody>(body.as_bytes()).err().expect("refused");
        let answer = problem.response("", "");
        let body = actix_web::body::MessageBody::try_into_bytes(answer.into_body()).ok().unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        (body["code"].as_str().unwrap().to_owned(), body["field"].as_str().unwrap_or("").to_owned())
    }

    #[test]
    fn every_kind_of_bad_body_names_its_field() {
        let point = r#"{"lat":1,"lng":2}"#;
        for (body, code, field) in [
            ("", "malformed", ""),
            ("nonsense", "malformed", ""),
            (r#"{"pickup":"#, "malformed", ""),
            ("[]", "invalid-field", "body"),
            ("null", "invalid-field", "body"),
            ("{}", "invalid-field", "pickup"),
            (&format!(r#"{{"pickup":{point}}}"#), "invalid-field", "dropoff"),
            (&format!(r#"{{"pickup":{point},"dropoff":{{"lat":1}}}}"#), "invalid-field", "dropoff.lng"),
            (&format!(r#"{{"pickup":{point},"dropoff":[1,2]}}"#), "invalid-field", "dropoff"),
            (&format!(r#"{{"pickup":{point},"dropoff":{{"lat":"x","lng":1}}}}"#), "invalid-field", "dropoff.lat"),
            (&format!(r#"{{"pickup":{point},"dropoff":{{"lat":1e400,"lng":1}}}}"#), "invalid-field", "dropoff.lat"),
            (&format!(r#"{{"pickup":{point},"dropoff":{{"lat":1e400,"lng":1}}"#), "malformed", ""),
            (&format!(r#"{{"pickup":{point},"dropoff":{point},"x":1}}"#), "invalid-field", "x"),
            (&format!(r#"{{"pickup":{point},"pickup":{point}}}"#), "invalid-field", "pickup"),
            (&format!(r#"{{"pickup":{point},"dropoff":{point}}} trailing"#), "malformed", ""),
            (r#"{"x":1,"#, "malformed", ""),
            (r#"{"x":1} trailing"#, "malformed", ""),
        ] {
            assert_eq!(refused(body), (code.to_owned(), field.to_owned()), "{body}");
        }
    }
}
