//! Request headers of the contract.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use crate::problem::{Code, Problem};

/// The `Idempotency-Key` (IETF draft httpapi-idempotency-key): a quoted string or bare, 1…255 characters.
pub struct IdempotencyKey(pub String);

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(idempotency_key(request).map(Self))
    }
}

fn idempotency_key(request: &HttpRequest) -> Result<String, Problem> {
    let missing = || Problem::new(Code::IdempotencyKeyMissing, "Send an Idempotency-Key of 1 to 255 characters.");
    let header = request.headers().get("Idempotency-Key").ok_or_else(missing)?;
    let allowed = || Problem::invalid_field("Idempotency-Key", "1 to 255 printable ASCII characters");
    let text = header.to_str().map_err(|_| allowed())?.trim();
    let key = match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(quoted) => quoted,
        None => text,
    };
    if key.is_empty() {
        return Err(missing());
    }
    if key.len() > 255 || !key.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(allowed());
    }
    Ok(key.to_owned())
}

/// Whether `If-None-Match` has this version.
#[must_use]
pub fn if_none_match(request: &HttpRequest, version: i32) -> bool {
    let header = request.headers().get("If-None-Match").and_then(|v| v.to_str().ok()).unwrap_or("");
    tags(header).any(|tag| tag == "*" || tag == version.to_string())
}

/// The versions that `If-Match` insists on; `None` when there is no such header or it takes any. Only a strong tag
/// can match (RFC 9110, section 13.1.1).
#[must_use]
pub fn if_match(request: &HttpRequest) -> Option<Vec<i32>> {
    let text = request.headers().get("If-Match")?.to_str().unwrap_or("");
    let version = |tag: &str| {
        let tag = tag.trim().strip_prefix('"')?.strip_suffix('"')?;
        tag.parse().ok().filter(|version: &i32| version.to_string() == tag)
    };
    (text.trim() != "*").then(|| text.split(',').filter_map(version).collect())
}

/// The version that an event stream goes on after.
///
/// # Errors
/// Not a version.
pub fn last_event_id(request: &HttpRequest) -> Result<Option<i32>, Problem> {
    let Some(header) = request.headers().get("Last-Event-ID") else { return Ok(None) };
    let bad = || Problem::new(Code::Malformed, "Last-Event-ID is the id of an event: a number from 0.");
    let text = header.to_str().map_err(|_| bad())?.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).map(Some).ok_or_else(bad)
}

/// Entity tags of a list, without quotes and weakness.
fn tags(header: &str) -> impl Iterator<Item = &str> {
    header.split(',').map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_key_may_be_quoted_or_bare_and_is_bounded() {
        let with = |value: &str| TestRequest::default().insert_header(("Idempotency-Key", value)).to_http_request();
        assert_eq!(idempotency_key(&with("abc")).ok().as_deref(), Some("abc"));
        assert_eq!(idempotency_key(&with("\"abc\"")).ok().as_deref(), Some("abc"));
        assert!(idempotency_key(&with(&"k".repeat(255))).is_ok());
        assert_eq!(idempotency_key(&with(&"k".repeat(256))).err().unwrap().code, Code::InvalidField);
        assert_eq!(idempotency_key(&with("\"\"")).err().unwrap().code, Code::IdempotencyKeyMissing);
        let none = TestRequest::default().to_http_request();
        assert_eq!(idempotency_key(&none).err().unwrap().code, Code::IdempotencyKeyMissing);
    }

    #[test]
    fn versions_in_conditions_may_be_weak_listed_or_any() {
        let with = |value: &str| TestRequest::default().insert_header(("If-None-Match", value)).to_http_request();
        assert!(if_none_match(&with("\"7\""), 7));
        assert!(if_none_match(&with("W/\"7\""), 7));
        assert!(if_none_match(&with("\"6\", \"7\""), 7));
        assert!(if_none_match(&with("*"), 7));
        assert!(!if_none_match(&with("\"8\""), 7));
    }

    #[test]
    fn a_version_insisted_on_may_be_listed_but_not_weak() {
        let with = |value: &str| TestRequest::default().insert_header(("If-Match", value)).to_http_request();
        assert_eq!(if_match(&with("\"7\"")), Some(vec![7]));
        assert_eq!(if_match(&with("\"6\", \"7\"")), Some(vec![6, 7]));
        assert_eq!(if_match(&with("*")), None);
        for never in ["W/\"7\"", "7", "\"07\"", "\"+7\"", "nonsense", ""] {
            assert_eq!(if_match(&with(never)), Some(vec![]), "{never}");
        }
        assert_eq!(if_match(&TestRequest::default().to_http_request()), None);
    }

    #[test]
    fn a_last_event_id_is_a_plain_number() {
        let with = |value: &str| TestRequest::default().insert_header(("Last-Event-ID", value)).to_http_request();
        assert_eq!(last_event_id(&with("7")).ok(), Some(Some(7)));
        for bad in ["", "-1", "+1", "x", "1.5", "99999999999999"] {
            assert_eq!(last_event_id(&with(bad)).err().map(|p| p.code), Some(Code::Malformed), "{bad:?}");
        }
    }
}
