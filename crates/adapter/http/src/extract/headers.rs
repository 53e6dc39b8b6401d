//! Request headers of the contract.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{AsHeaderName, HeaderMap, IF_MATCH, IF_NONE_MATCH},
};

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
    let allowed = || Problem::invalid_field("Idempotency-Key", "once, 1 to 255 printable ASCII characters");
    let text = single(request.headers(), "Idempotency-Key").map_err(|Unclear| allowed())?.ok_or_else(missing)?;
    let key = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    if key.is_empty() {
        return Err(missing());
    }
    if key.len() > 255 || !key.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(allowed());
    }
    Ok(key.to_owned())
}

/// Whether `If-None-Match` has this version. A weak tag may match (RFC 9110, section 13.1.2).
#[must_use]
pub fn if_none_match(request: &HttpRequest, version: i32) -> bool {
    let is_this = |tag: &str| tag == "*" || version_of(tag.strip_prefix("W/").unwrap_or(tag)) == Some(version);
    listed(request, IF_NONE_MATCH).any(is_this)
}

/// The versions that `If-Match` insists on; `None` when there is no such header or it takes any. Only a strong tag
/// can match (RFC 9110, section 13.1.1).
#[must_use]
pub fn if_match(request: &HttpRequest) -> Option<Vec<i32>> {
    if !request.headers().contains_key(IF_MATCH) || listed(request, IF_MATCH).eq(["*"]) {
        return None;
    }
    Some(listed(request, IF_MATCH).filter_map(version_of).collect())
}

/// The version that an event stream goes on after. A number past every version there can be is the last of them.
///
/// # Errors
/// Not a number of 64 bits.
pub fn last_event_id(request: &HttpRequest) -> Result<Option<i32>, Problem> {
    let bad = || Problem::new(Code::Malformed, "Last-Event-ID is the id of an event: a number from 0.");
    let Some(text) = single(request.headers(), "Last-Event-ID").map_err(|Unclear| bad())? else { return Ok(None) };
    let seen: u64 = text.parse().ok().filter(|_| !text.starts_with('+')).ok_or_else(bad)?;
    Ok(Some(i32::try_from(seen).unwrap_or(i32::MAX)))
}

/// A header that says one thing came more than once, or is no text.
#[derive(Debug)]
pub(crate) struct Unclear;

/// The text of a header that says one thing.
pub(crate) fn single(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&str>, Unclear> {
    let mut lines = headers.get_all(name);
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(Unclear);
    }
    line.to_str().map(|text| Some(text.trim())).map_err(|_| Unclear)
}

/// The entity tags of a header, over all its lines.
fn listed(request: &HttpRequest, name: impl AsHeaderName) -> impl Iterator<Item = &str> {
    let lines = request.headers().get_all(name).filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// The version that a strong tag names, exactly as we write it: `"7"`.
fn version_of(tag: &str) -> Option<i32> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    digits.parse().ok().filter(|version: &i32| version.to_string() == digits)
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
    fn what_says_one_thing_is_not_said_twice() {
        let twice = |name: &str| TestRequest::default().append_header((name, "1")).append_header((name, "2"));
        let key = idempotency_key(&twice("Idempotency-Key").to_http_request()).err();
        assert_eq!(key.map(|p| p.code), Some(Code::InvalidField));
        let id = last_event_id(&twice("Last-Event-ID").to_http_request()).err();
        assert_eq!(id.map(|p| p.code), Some(Code::Malformed));
    }

    #[test]
    fn versions_in_conditions_may_be_weak_listed_or_any() {
        let with = |value: &str| TestRequest::default().insert_header(("If-None-Match", value)).to_http_request();
        for known in ["\"7\"", "W/\"7\"", "\"6\", \"7\"", "\"6\" ,W/\"7\"", "*"] {
            assert!(if_none_match(&with(known), 7), "{known}");
        }
        for other in
            ["\"8\"", "7", "W/7", "w/\"7\"", "W/W/\"7\"", "\"\"7\"\"", "\"07\"", "\"7", "\"*\"", "\"6\", 7", ""]
        {
            assert!(!if_none_match(&with(other), 7), "{other}");
        }
    }

    #[test]
    fn conditions_on_several_lines_are_one_list() {
        let with = |name: &str| {
            let request = TestRequest::default().append_header((name, "\"6\"")).append_header((name, "\"7\""));
            request.to_http_request()
        };
        assert!(if_none_match(&with("If-None-Match"), 7));
        assert_eq!(if_match(&with("If-Match")), Some(vec![6, 7]));
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
        // Past every version there can be, but a number.
        assert_eq!(last_event_id(&with("99999999999999")).ok(), Some(Some(i32::MAX)));
        for bad in ["", "-1", "+1", "x", "1.5", "7, 8", "0x7", "99999999999999999999"] {
            assert_eq!(last_event_id(&with(bad)).err().map(|p| p.code), Some(Code::Malformed), "{bad:?}");
        }
    }
}
