//! Sends requests when they are due, whatever the server does, and takes down what became of them.

mod exchange;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub(crate) use exchange::{Ended, violated};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::{Semaphore, mpsc},
    time::sleep,
};

use super::{
    arrivals::Arrival,
    book::{Book, End, Event},
    crowd::Crowd,
    errand::Errand,
    http::Conn,
    kinds::{Kind, Mix, Routes},
    scenario::Retry,
};

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
}
