//! `RateLimit-Policy` and `RateLimit`: what every limit that spoke about a request has left
//! (draft-ietf-httpapi-ratelimit-headers-11).

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use arrayvec::ArrayVec;
use traffic::{Decision, Quota};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Longest field that is sent, bytes: two decisions of eight policies with names of 40 characters, and those of a handler.
const LONGEST: usize = 2048;

/// The decisions about one request, in their order.
#[derive(Default)]
pub(super) struct Spoken {
    decisions: ArrayVec<Decision, 2>,
    /// Limits that a handler keeps itself.
    pub(super) of_handler: Vec<Quota<'static>>,
}

/// What a handler leaves in the extensions of its answer: limits that it keeps itself and that did not refuse.
pub(crate) struct OfHandler(pub(crate) Vec<Quota<'static>>);

impl Spoken {
    /// Takes note of a decision, and tells whether it lets the request go on.
    pub(super) fn admits(&mut self, decision: Decision) -> bool {
        let is_admitted = decision.is_admitted();
        // There are two.
        let _ = self.decisions.try_push(decision);
        is_admitted
    }

    /// The decision that was made last.
    pub(super) fn last(&self) -> Option<&Decision> {
        self.decisions.last()
    }

    /// Both fields, one item a limit. Units are requests, which the draft takes for granted where nothing else is said; a
    /// request that costs more than one is told by what is left.
    pub(super) fn describe(&self, headers: &mut HeaderMap) {
        let (mut policies, mut limits) = (List::default(), List::default());
        let quotas = self.decisions.iter().flat_map(Decision::quotas).chain(self.of_handler.iter().copied());
        for Quota { policy, quota, window_s, remaining, reset_s } in quotas {
            policies.item(policy, [(";q=", quota), (";w=", window_s)]);
            limits.item(policy, [(";r=", remaining), (";t=", reset_s)]);
        }
        for (name, list) in [(POLICY, &policies), (LIMIT, &limits)] {
            if !list.0.is_empty()
                && let Ok(value) = HeaderValue::from_bytes(&list.0)
            {
                headers.insert(name, value);
            }
        }
    }
}

/// A list of structured fields (RFC 9651) as it is written.
#[derive(Default)]
struct List(ArrayVec<u8, LONGEST>);

impl List {
    /// Adds an item with its parameters, or nothing of it where it does not fit.
    fn item(&mut self, name: &str, parameters: [(&str, u32); 2]) {
        let before = self.0.len();
        let mut numbers = [itoa::Buffer::new(), itoa::Buffer::new()];
        let [first, second] = &mut numbers;
        let comma = if before == 0 { "\"" } else { ", \"" };
        let [(q, first_value), (w, second_value)] = parameters;
        let parts = [comma, name, "\"", q, first.format(first_value), w, second.format(second_value)];
        if parts.iter().any(|part| self.0.try_extend_from_slice(part.as_bytes()).is_err()) {
            self.0.truncate(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_whole_items_only() {
        let mut list = List::default();
        list.item("address", [(";q=", 4000), (";w=", 2)]);
        list.item("a-b", [(";q=", u32::MAX), (";w=", 0)]);
        assert_eq!(std::str::from_utf8(&list.0), Ok("\"address\";q=4000;w=2, \"a-b\";q=4294967295;w=0"));
        for _ in 0..100 {
            list.item(&"n".repeat(40), [(";q=", u32::MAX), (";w=", u32::MAX)]);
        }
        assert!(list.0.ends_with(b";q=4294967295;w=4294967295") && list.0.len() > LONGEST - 100);
    }
}
