//! One request and what its answer means.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout_at};

use super::{
    super::{
        book::End,
        crowd::{Fit, address},
        errand::Errand,
        http::{Answer, Conn, Request},
        kinds::Kind,
    },
    Engine,
};
use crate::wire::{Challenge, Sms};

/// Between two looks for an SMS.
const SMS_AGAIN: Duration = Duration::from_millis(100);

/// How a request ended, and when the client may come back.
pub(crate) struct Ended {
    pub(crate) end: End,
    /// Seconds of `Retry-After`.
    pub(crate) told: Option<u64>,
    /// When.
    pub(super) at: Instant,
}

impl Engine {
    /// Sends an errand, and moves its passenger on. Ends at `deadline` at the latest.
    pub(crate) async fn exchange(&self, errand: &Errand, deadline: Instant) -> Ended {
        let exchanged = timeout_at(deadline.into(), async {
            let place = self.places.acquire().await;
            let (conn, answer) = self.send(errand).await?;
            drop(place);
            Ok::<_, std::io::Error>((conn, answer))
        });
        let lost = |end| {
            self.state().crowd.give_back(errand, true);
            Ended { end, told: None, at: Instant::now() }
        };
        let (conn, answer) = match exchanged.await {
            Ok(Ok(exchanged)) => exchanged,
            Ok(Err(error)) => {
                self.state().book.example(|| format!("{}: {error}", errand.kind.route()));
                return lost(End::Connection);
            }
            Err(_) => return lost(End::Timeout),
        };
        let ended = self.judge(errand, &answer, conn.body(&answer));
        let challenge = match (&errand.newcomer, errand.kind, ended.end) {
            (Some(newcomer), Kind::Otp, End::Ok) => {
                let challenge = serde_json::from_slice::<Challenge>(conn.body(&answer));
                challenge.ok().map(|challenge| (newcomer.clone(), challenge.challenge_id))
            }
            _ => None,
        };
        self.keep(errand.source, conn, &answer);
        if let Some((newcomer, challenge)) = challenge
            && let Ok(Some(code)) = timeout_at(deadline.into(), self.read_code(&newcomer.phone, errand.source)).await
        {
            self.state().crowd.has_code(newcomer, challenge, code, Instant::now());
        }
        ended
    }

    /// One request and its answer; once more on a new connection when the server had closed the old one meanwhile.
    async fn send(&self, errand: &Errand) -> std::io::Result<(Conn, Answer)> {
        let request = Request {
            method: errand.kind.method(),
            path: &errand.path,
            token: errand.token.as_deref(),
            idempotency_key: errand.idempotency_key.as_deref(),
            body: errand.body.as_deref(),
        };
        self.ask(errand.source, &request).await
    }

    async fn ask(&self, source: u32, request: &Request<'_>) -> std::io::Result<(Conn, Answer)> {
        let bytes = request.write(self.server);
        let idle = self.state().idle[source as usize].pop();
        if let Some(mut conn) = idle
            && let Ok(answer) = conn.call(&bytes).await
        {
            return Ok((conn, answer));
        }
        let mut conn = Conn::open(address(source), self.server).await?;
        let answer = conn.call(&bytes).await?;
        Ok((conn, answer))
    }

    fn keep(&self, source: u32, conn: Conn, answer: &Answer) {
        if !answer.closes {
            self.state().idle[source as usize].push(conn);
        }
    }

    /// The code of the SMS, which the sandbox shows; until it does. A real SMS does not come through the gateway, so it
    /// is no part of the load, and a refusal of the sandbox's is waited out.
    async fn read_code(&self, phone: &str, source: u32) -> Option<String> {
        let path = format!("/sandbox/sms/{phone}");
        let request = Request { method: "GET", path: &path, token: None, idempotency_key: None, body: None };
        loop {
            let (conn, answer) = self.ask(source, &request).await.ok()?;
            let sms = (answer.status == 200).then(|| serde_json::from_slice::<Sms>(conn.body(&answer)).ok());
            self.keep(source, conn, &answer);
            if let Some(sms) = sms {
                return sms.map(|sms| sms.code);
            }
            sleep(SMS_AGAIN).await;
        }
    }

    fn judge(&self, errand: &Errand, answer: &Answer, body: &[u8]) -> Ended {
        let (at, state) = (Instant::now(), &mut *self.state());
        let end = match answer.status {
            429 => End::Refused429(state.book.refuser(violated(body))),
            503 if contains(body, b"temporary-reduced-capacity") => End::Refused503,
            500.. => End::Server5xx,
            status => match state.crowd.settle(errand, status, body, at) {
                Fit::Expected => return Ended { end: End::Ok, told: None, at },
                Fit::Unexpected => End::Unexpected,
            },
        };
        if matches!(end, End::Server5xx | End::Unexpected) {
            let (route, status) = (errand.kind.route(), answer.status);
            state.book.example(|| {
                let excerpt: String = String::from_utf8_lossy(body).chars().take(200).collect();
                format!("{route}: {status} {excerpt}")
            });
        }
        if end != End::Unexpected {
            state.crowd.give_back(errand, end == End::Server5xx);
        }
        Ended { end, told: answer.retry_after, at }
    }
}

/// The first policy that a refusal names: `"violated-policies":["address"]`. Looked for, not parsed: refusals are many.
pub(crate) fn violated(body: &[u8]) -> Option<&str> {
    const MEMBER: &[u8] = b"\"violated-policies\":[\"";
    let begin = body.windows(MEMBER.len()).position(|part| part == MEMBER)? + MEMBER.len();
    let rest = &body[begin..];
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_policy() {
        assert_eq!(
            violated(br#"{"code":"quota-exceeded","violated-policies":["address-open","x"]}"#),
            Some("address-open")
        );
        assert_eq!(violated(br#"{"code":"quota-exceeded"}"#), None);
        assert!(contains(br#"{"code":"temporary-reduced-capacity"}"#, b"temporary-reduced-capacity"));
    }
}
