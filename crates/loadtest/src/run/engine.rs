//! Sends requests when they are due, whatever the server does, and takes down what became of them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{sleep, timeout_at},
};

use super::{
    arrivals::Arrival,
    book::{Book, End, Event},
    crowd::{Crowd, Fit, address},
    errand::Errand,
    http::{Answer, Conn, Request},
    kinds::{Kind, Mix, Routes},
    scenario::Retry,
};
use crate::wire::{Challenge, Sms};

/// Between two looks for an SMS.
const SMS_AGAIN: Duration = Duration::from_millis(100);
/// Draws of a kind before one that anybody can send is taken.
const DRAWS: u32 = 12;

/// The generator.
pub(crate) struct Engine {
    pub(crate) server: SocketAddr,
    pub(crate) deadline: Duration,
    pub(crate) routes: Routes,
    /// A mix a phase.
    pub(crate) mixes: Vec<Mix>,
    pub(crate) retry: Option<Retry>,
    /// Clients come back until then, from the start.
    pub(crate) until: Duration,
    places: Semaphore,
    max_in_flight: u32,
    state: Mutex<State>,
}

/// What all requests share.
pub(crate) struct State {
    pub(crate) crowd: Crowd,
    pub(crate) book: Book,
    pub(crate) rng: StdRng,
    /// Idle connections by source, the one used last at the end.
    idle: Vec<Vec<Conn>>,
}

/// How a request ended, and when the client may come back.
pub(crate) struct Ended {
    pub(crate) end: End,
    /// Seconds of `Retry-After`.
    pub(crate) told: Option<u64>,
    /// When.
    at: Instant,
}

impl Engine {
    #[allow(clippy::too_many_arguments, reason = "each is one thing that a scenario says, named where it is made")]
    pub(crate) fn new(
        server: SocketAddr,
        deadline: Duration,
        max_in_flight: u32,
        routes: Routes,
        mixes: Vec<Mix>,
        retry: Option<Retry>,
        sources: u32,
        (crowd, book, seed): (Crowd, Book, u64),
    ) -> Self {
        let idle = (0..sources).map(|_| Vec::new()).collect();
        let state = Mutex::new(State { crowd, book, rng: StdRng::seed_from_u64(seed), idle });
        let places = Semaphore::new(max_in_flight as usize);
        Self { server, deadline, routes, mixes, retry, until: Duration::MAX, places, max_in_flight, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was not expected so far, for people to read.
    pub(crate) fn examples(&self) -> String {
        self.state().book.examples.join("; ")
    }

    /// Requests under way.
    pub(crate) fn in_flight(&self) -> u32 {
        self.max_in_flight - u32::try_from(self.places.available_permits()).unwrap_or_default()
    }

    /// Sends everything that `arrivals` hands out, and waits for the last to end.
    pub(crate) async fn run(self: &Arc<Self>, mut arrivals: mpsc::Receiver<Vec<Arrival>>) {
        let mut clients = tokio::task::JoinSet::new();
        while let Some(batch) = arrivals.recv().await {
            for arrival in batch {
                self.launch(arrival, &mut clients);
            }
            while clients.try_join_next().is_some() {}
        }
        while clients.join_next().await.is_some() {}
    }

    fn launch(self: &Arc<Self>, arrival: Arrival, clients: &mut tokio::task::JoinSet<()>) {
        let waits = self.retry.is_some();
        if !waits && self.places.available_permits() == 0 {
            let mut state = self.state();
            let kind = self.mixes[usize::from(arrival.phase)].at(state.rng.random());
            let event = self.event(kind, None, 0, arrival, End::NotSent);
            state.book.add(&event, self.max_in_flight);
            return;
        }
        let errand = self.draw(&self.mixes[usize::from(arrival.phase)], Instant::now());
        clients.spawn(self.clone().client(errand, arrival));
    }

    /// A request of this mix that somebody can send.
    pub(crate) fn draw(&self, mix: &Mix, now: Instant) -> Errand {
        let state = &mut *self.state();
        for draw in 0..DRAWS {
            let kind = mix.at(state.rng.random());
            if let Some(errand) = state.crowd.draw(kind, &mut state.rng, now) {
                state.book.redrawn += u64::from(draw > 0);
                return errand;
            }
        }
        state.book.redrawn += 1;
        let fallback = if state.crowd.len() > 0 { Kind::Current } else { Kind::Otp };
        match state.crowd.draw(fallback, &mut state.rng, now) {
            Some(errand) => errand,
            None => {
                let newcomer = state.crowd.newcomer();
                Crowd::otp(newcomer)
            }
        }
    }

    /// The request for a quote of somebody who has none and no ride; none when there is nobody.
    pub(crate) fn draw_quote_of_the_idle(&self, now: Instant) -> Option<Errand> {
        let state = &mut *self.state();
        (state.crowd.idle() > 0).then(|| state.crowd.draw(Kind::Quote, &mut state.rng, now)).flatten()
    }

    /// A client's request, and its next tries where clients come back.
    async fn client(self: Arc<Self>, errand: Errand, arrival: Arrival) {
        let start = self.state().book.start;
        let obeys = self.retry.as_ref().is_none_or(|retry| self.state().rng.random::<f64>() < retry.obey);
        let (mut arrival, mut tries) = (arrival, 0);
        loop {
            let sent = start.elapsed();
            let ended = self.exchange(&errand, start + arrival.due + self.deadline).await;
            let mut event = self.event(errand.kind, errand.who, errand.source, arrival, ended.end);
            (event.sent, event.ended, event.is_retry) = (sent, ended.at.saturating_duration_since(start), tries > 0);
            let is_refused = self.note(&event, &ended);
            let Some(retry) = &self.retry else { return };
            let wait = match ended.told {
                Some(told) if obeys => Duration::from_secs(told),
                _ => Duration::from_millis(retry.else_after_ms),
            };
            arrival.due = start.elapsed() + wait;
            tries += 1;
            if !is_refused || tries > retry.tries || arrival.due > self.until {
                return;
            }
            sleep(wait).await;
        }
    }

    /// Takes it down; whether it was refused.
    fn note(&self, event: &Event, ended: &Ended) -> bool {
        let in_flight = self.in_flight();
        let is_refused = matches!(ended.end, End::Refused429(_) | End::Refused503);
        let mut state = self.state();
        state.book.add(event, in_flight);
        state.book.clients += u64::from(!event.is_retry);
        state.book.clients_served += u64::from(ended.end == End::Ok);
        if is_refused && let Some(told) = ended.told {
            *state.book.told.entry(told).or_default() += 1;
        }
        is_refused
    }

    fn event(&self, kind: Kind, who: Option<u32>, source: u32, arrival: Arrival, end: End) -> Event {
        let Arrival { due, phase } = arrival;
        let priority = self.routes.priority(kind);
        Event { due, sent: due, ended: due, phase, kind, priority, end, who, source, is_retry: false }
    }

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
