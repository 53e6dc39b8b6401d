//! Answers to those who are refused: the cheapest there are, because in a spike most answers are these. To the letter
//! what [`Problem`](crate::problem::Problem) would say, which a test compares.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    body::BoxBody,
    http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use runtime::Entropy;
use traffic::{Decision, Shed};

use crate::problem::{Code, PROBLEM_JSON, spread};

/// 429: one or several policies refused. `decision` is always there; without one the answer would name no policy.
pub(super) fn over_quota(decision: Option<&Decision>, path: &str, entropy: &Entropy) -> HttpResponse {
    let violated = || decision.iter().flat_map(|decision| decision.violated()).enumerate();
    // Names are letters, digits and hyphens.
    let detail = |body: &mut Vec<u8>| {
        write(body, &["Spent for now: "]);
        violated().for_each(|(at, name)| write(body, &[if at == 0 { "" } else { ", " }, name]));
        write(body, &["."]);
    };
    let names = |body: &mut Vec<u8>| {
        violated().for_each(|(at, name)| write(body, &[if at == 0 { "\"" } else { ",\"" }, name, "\""]));
    };
    let wait = decision.and_then(Decision::retry_after).unwrap_or_default();
    answer(Code::QuotaExceeded, "429", detail, path, names, wait, entropy)
}

/// 503: there is too much work in progress for a request of this priority. No policy was violated, and the member that
/// the draft asks for says so.
pub(super) fn shed(shed: &Shed, path: &str, entropy: &Entropy) -> HttpResponse {
    let detail = |body: &mut Vec<u8>| write(body, &[SHED]);
    answer(Code::ReducedCapacity, "503", detail, path, |_| (), shed.retry_after, entropy)
}

const SHED: &str = "There is more to do than can be done; what matters most to passengers under way goes first.";

/// Its body is written once, from the first letter to the last; `detail` and `violated` write what is between quotes and
/// between brackets.
fn answer(
    code: Code,
    status: &str,
    detail: impl FnOnce(&mut Vec<u8>),
    path: &str,
    violated: impl FnOnce(&mut Vec<u8>),
    wait: Duration,
    entropy: &Entropy,
) -> HttpResponse {
    let mut body = Vec::with_capacity(384 + path.len());
    write(&mut body, &["{\"code\":\"", code.name(), "\",\"detail\":\""]);
    detail(&mut body);
    write(&mut body, &["\",\"instance\":"]);
    // The one member that a client chooses the letters of. Writing to memory does not fail.
    let _ = serde_json::to_writer(&mut body, path);
    write(&mut body, &[",\"retryable\":true,\"status\":", status, ",\"title\":\"", code.title(), "\",\"type\":\""]);
    write(&mut body, &[code.type_uri_base(), code.name(), "\",\"violated-policies\":["]);
    violated(&mut body);
    write(&mut body, &["]}"]);
    let mut response = HttpResponse::with_body(code.status(), BoxBody::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    let seconds = spread(whole_seconds(wait), entropy);
    if let Ok(seconds) = HeaderValue::from_str(itoa::Buffer::new().format(seconds)) {
        headers.insert(RETRY_AFTER, seconds);
    }
    response
}

fn write(body: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| body.extend_from_slice(part.as_bytes()));
}

/// Rounded up: whoever comes back then is not early. At least a second, at most a day.
fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    u32::try_from(seconds.clamp(1, 86_400)).unwrap_or(86_400)
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use prometheus::Registry;
    use traffic::{Admission, Class, Config, Nanos, Policies, Priority};

    use super::*;
    use crate::problem::Problem;

    /// A decision that two policies refuse.
    fn refused() -> Decision {
        let policies = "[[policy]]\nname = \"first\"\nkey = \"address\"\nquota = 1\nwindow_s = 3\n\
            [[policy]]\nname = \"second\"\nkey = \"address\"\nquota = 1\nwindow_s = 7\n";
        let policies = Policies::parse(policies).unwrap();
        let admission = Admission::build(&Config::default(), policies, [1; 16], &Registry::new()).unwrap();
        let address = "192.0.2.1".parse().unwrap();
        assert!(admission.check_address(address, Class::Ride, Nanos(1)).is_admitted());
        admission.check_address(address, Class::Ride, Nanos(1))
    }

    async fn same(ours: HttpResponse, problem: Problem, path: &str) -> u32 {
        let theirs = problem.response(path, "id");
        let wait =
            |response: &HttpResponse| response.headers().get(RETRY_AFTER).unwrap().to_str().unwrap().parse().unwrap();
        let (ours_wait, theirs_wait): (u32, u32) = (wait(&ours), wait(&theirs));
        assert_eq!((ours.status(), ours.headers().len()), (theirs.status(), theirs.headers().len()));
        assert_eq!(ours.headers().get("content-type"), theirs.headers().get("content-type"));
        let [ours, theirs] = [ours, theirs].map(|response| to_bytes(response.into_body()));
        assert_eq!(ours.await.unwrap(), theirs.await.unwrap());
        assert!(ours_wait >= theirs_wait, "{ours_wait} {theirs_wait}");
        ours_wait
    }

    #[actix_web::test]
    async fn a_refusal_is_the_problem_that_it_stands_for_letter_by_letter() {
        let entropy = Entropy::seeded(3);
        for path in ["/v1/rides", "/v1/\"quoted\\\"", "/%00/\u{7f}/é"] {
            let problem = Problem::new(Code::QuotaExceeded, "Spent for now: first, second.")
                .with("violated-policies", ["first", "second"])
                .retry_after(7);
            same(over_quota(Some(&refused()), path, &entropy), problem, path).await;
            let problem = Problem::new(Code::ReducedCapacity, SHED).with("violated-policies", [""; 0]).retry_after(2);
            let no_place = Shed { priority: Priority::new(3), level: 2, retry_after: Duration::from_secs(2) };
            same(shed(&no_place, path, &entropy), problem, path).await;
        }
    }

    #[test]
    fn a_wait_is_rounded_up_and_never_nothing() {
        for (ms, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60), (90_000_000, 86_400)] {
            assert_eq!(whole_seconds(Duration::from_millis(ms)), seconds);
        }
        assert_eq!(whole_seconds(Duration::from_nanos(1_000_000_001)), 2);
        assert_eq!(whole_seconds(Duration::MAX), 86_400);
    }
}
