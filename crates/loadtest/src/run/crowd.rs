//! The passengers of a run and where each of them stands, so that a request is drawn for somebody who can make it: a ride
//! by who has a quote, a cancellation by who has a ride. What the server answers moves them on.

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt, rngs::StdRng};
use serde_json::json;

use super::{
    errand::{Conflict, Errand, Newcomer, QuoteBody, RideBody},
    groups::Groups,
    kinds::Kind,
};
use crate::{
    trips::Trip,
    wire::{Challenge, Status, Tokens},
};

/// A quote is used within this time; the product's own default is 300 s.
const QUOTE_LIVES: Duration = Duration::from_secs(240);
/// A code is typed within this time; the product's own default is 300 s.
const CODE_LIVES: Duration = Duration::from_secs(240);
/// A fee is agreed to within this time; the product's own default is 60 s.
const FEE_LIVES: Duration = Duration::from_secs(45);
/// Newcomers who have a code and did not type it yet, at most.
const WAITING_CODES: usize = 10_000;

/// Where a passenger stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// No ride, no quote.
    Idle,
    /// Has a quote.
    Quoted,
    /// Has a ride that can be called off.
    Riding,
    /// Has a ride that is on its way: nobody calls it off any more.
    Aboard,
    /// Asked for something that moves them on, and waits.
    Busy,
}

/// Everybody.
pub(crate) struct Crowd {
    people: Vec<Person>,
    groups: Groups,
    /// Who has had a ride, and who has one that ended, in no order.
    known: Vec<u32>,
    ended: Vec<u32>,
    codes: Vec<Code>,
    trips: Arc<[Trip]>,
    /// Tells this run's phones from another's, and one from the next.
    phones: (u64, u64),
    sources: u32,
    most: usize,
    /// The first passenger sends so many times as much as each other.
    hot: Option<f64>,
    /// Distinguishes this run's idempotency keys.
    tag: u32,
}

struct Person {
    access: Arc<str>,
    /// None after a lost answer: used again too late, it would end the session.
    refresh: Option<String>,
    quote: Option<Offer>,
    ride: Option<String>,
    past: Option<String>,
    /// The fee of calling the ride off, agreed to.
    fee: Option<(String, Instant)>,
    /// Changes with the place: an answer to an older question does not move anybody.
    epoch: u32,
}

struct Offer {
    id: String,
    product: String,
    until: Instant,
}

struct Code {
    newcomer: Newcomer,
    challenge: String,
    code: String,
    until: Instant,
}

/// Whether an answer is one that the contract has for this passenger here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Expected,
    Unexpected,
}

/// The address of the `number`-th source: 127.0.1.1, 127.0.1.2, …
pub(crate) fn address(number: u32) -> Ipv4Addr {
    let (block, host) = (1 + number / 250, 1 + number % 250);
    Ipv4Addr::new(127, 0, u8::try_from(block).unwrap_or(u8::MAX), u8::try_from(host).unwrap_or(u8::MAX))
}

impl Crowd {
    /// Nobody yet. `run` tells the phones of one run from those of another.
    pub(crate) fn new(sources: u32, most: usize, hot: Option<f64>, trips: Arc<[Trip]>, run: u32) -> Self {
        let phones = (u64::from(run % 10_000), 0);
        let (people, known, ended, codes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let groups = Groups::default();
        Self { people, groups, known, ended, codes, trips, phones, sources, most, hot, tag: run }
    }

    /// How many are signed in.
    pub(crate) fn len(&self) -> usize {
        self.people.len()
    }

    /// How many have neither a quote nor a ride.
    pub(crate) fn idle(&self) -> usize {
        self.groups.of(Place::Idle).len()
    }

    /// Somebody whom the server has not seen.
    pub(crate) fn newcomer(&mut self) -> Newcomer {
        let (run, next) = self.phones;
        self.phones.1 += 1;
        // As the replay's: numbers of a length that North America does not have.
        let number = (run * 1_000_000 + next) % 10_000_000_000;
        let source = u32::try_from(next % u64::from(self.sources)).unwrap_or_default();
        Newcomer { phone: format!("+121{number:010}"), device: format!("load-{run}-{next}"), source }
    }

    /// The request for a code.
    pub(crate) fn otp(newcomer: Newcomer) -> Errand {
        let body = json!({ "phone": newcomer.phone, "device_id": newcomer.device }).to_string();
        Errand { body: Some(body), source: newcomer.source, newcomer: Some(newcomer), ..Errand::open(Kind::Otp) }
    }

    /// The sign-in with a code.
    pub(crate) fn token(newcomer: Newcomer, challenge: &str, code: &str) -> Errand {
        let body = json!({ "challenge_id": challenge, "code": code, "device_id": newcomer.device }).to_string();
        Errand { body: Some(body), source: newcomer.source, newcomer: Some(newcomer), ..Errand::open(Kind::Token) }
    }

    /// Somebody has read the code that was sent.
    pub(crate) fn has_code(&mut self, newcomer: Newcomer, challenge: String, code: String, now: Instant) {
        if self.codes.len() < WAITING_CODES {
            self.codes.push(Code { newcomer, challenge, code, until: now + CODE_LIVES });
        }
    }

    /// The sign-in of one of those who have a code.
    pub(crate) fn take_code(&mut self, newcomer: &Newcomer) -> Option<Errand> {
        let index = self.codes.iter().position(|code| code.newcomer.phone == newcomer.phone)?;
        let Code { newcomer, challenge, code, .. } = self.codes.swap_remove(index);
        Some(Self::token(newcomer, &challenge, &code))
    }

    /// A request of this kind by somebody who can make it; none when there is nobody.
    pub(crate) fn draw(&mut self, kind: Kind, rng: &mut StdRng, now: Instant) -> Option<Errand> {
        let open = |source| Some(Errand { source, ..Errand::open(kind) });
        match kind {
            Kind::Otp => Some(Self::otp(self.newcomer())),
            Kind::Token => loop {
                let Code { newcomer, challenge, code, until } = self.codes.pop()?;
                if until > now {
                    return Some(Self::token(newcomer, &challenge, &code));
                }
            },
            Kind::RideStates => open(rng.random_range(0..self.sources)),
            Kind::Products => {
                let trip = &self.trips[rng.random_range(0..self.trips.len())];
                let path = format!("/v1/products?lat={}&lng={}", trip.pickup_lat, trip.pickup_lng);
                open(rng.random_range(0..self.sources)).map(|errand| Errand { path, ..errand })
            }
            _ => {
                let who = self.somebody(kind, rng, now)?;
                Some(self.errand(kind, who, rng, now))
            }
        }
    }

    fn somebody(&mut self, kind: Kind, rng: &mut StdRng, now: Instant) -> Option<u32> {
        if self.people.is_empty() {
            return None;
        }
        let of = |list: &[u32], rng: &mut StdRng| (!list.is_empty()).then(|| list[rng.random_range(0..list.len())]);
        let everybody = u32::try_from(self.people.len()).unwrap_or(u32::MAX);
        if let Some(times) = self.hot {
            let others = everybody - 1;
            let is_hot = rng.random::<f64>() < times / (times + f64::from(others)) || others == 0;
            return Some(if is_hot { 0 } else { rng.random_range(1..everybody) });
        }
        let groups = &self.groups;
        match kind {
            Kind::Quote => of(groups.of(Place::Idle), rng).or_else(|| of(groups.of(Place::Quoted), rng)),
            Kind::Request => loop {
                let who = of(self.groups.of(Place::Quoted), rng)?;
                if self.people[who as usize].quote.as_ref().is_some_and(|quote| quote.until > now) {
                    return Some(who);
                }
                self.move_to(who, Place::Idle);
            },
            Kind::Cancel => of(groups.of(Place::Riding), rng),
            Kind::Ride => of(&self.known, rng),
            Kind::Receipt => of(&self.ended, rng),
            Kind::Refresh => {
                let who = of(groups.of(Place::Idle), rng)?;
                self.people[who as usize].refresh.is_some().then_some(who)
            }
            // Mostly those who wait for a car look for it.
            Kind::Current if rng.random::<f64>() < 0.8 => {
                of(groups.of(Place::Riding), rng).or_else(|| Some(rng.random_range(0..everybody)))
            }
            _ => Some(rng.random_range(0..everybody)),
        }
    }

    fn errand(&mut self, kind: Kind, who: u32, rng: &mut StdRng, now: Instant) -> Errand {
        let moves = self.hot.is_none() && matches!(kind, Kind::Quote | Kind::Request | Kind::Cancel | Kind::Refresh);
        let prior = moves.then(|| self.groups.place(who));
        if moves {
            self.groups.put(who, Place::Busy);
        }
        let person = &self.people[who as usize];
        let mut errand = Errand {
            who: Some(who),
            source: who % self.sources,
            token: Some(person.access.clone()),
            prior,
            epoch: person.epoch,
            ..Errand::open(kind)
        };
        let id_of = |ride: &Option<String>| ride.clone().unwrap_or_default();
        match kind {
            Kind::Quote => {
                let trip = &self.trips[rng.random_range(0..self.trips.len())];
                let body = json!({
                    "pickup": { "lat": trip.pickup_lat, "lng": trip.pickup_lng },
                    "dropoff": { "lat": trip.dropoff_lat, "lng": trip.dropoff_lng },
                });
                errand.body = Some(body.to_string());
            }
            Kind::Request => {
                if let Some(Offer { id, product, .. }) = &person.quote {
                    errand.body = Some(json!({ "quote_id": id, "product": product }).to_string());
                    // The quote's own key: who asks again after a lost answer gets the ride of the first time.
                    errand.idempotency_key = Some(format!("load-{}-{id}", self.tag));
                }
            }
            Kind::Cancel => {
                let mut body = json!({ "reason": crate::api::CHANGED_PLANS });
                if let Some((token, _)) = person.fee.as_ref().filter(|(_, until)| *until > now) {
                    body["confirmation_token"] = token.as_str().into();
                }
                errand.body = Some(body.to_string());
                errand.path = format!("/v1/rides/{}/cancel", id_of(&person.ride));
            }
            Kind::Ride => {
                errand.path =
                    format!("/v1/rides/{}", id_of(if person.ride.is_some() { &person.ride } else { &person.past }));
            }
            Kind::Receipt => errand.path = format!("/v1/rides/{}/receipt", id_of(&person.past)),
            Kind::Refresh => {
                errand.token = None;
                errand.body = person.refresh.as_ref().map(|token| json!({ "refresh_token": token }).to_string());
            }
            _ => {}
        }
        errand
    }

    /// The errand came to nothing. `lost`: it may have had its effect all the same.
    pub(crate) fn give_back(&mut self, errand: &Errand, lost: bool) {
        let (Some(who), Some(prior)) = (errand.who, errand.prior) else { return };
        if lost && errand.kind == Kind::Refresh {
            self.people[who as usize].refresh = None;
        }
        self.groups.put(who, prior);
    }

    /// What an answer that is no refusal changes, and whether it is one of the contract's.
    pub(crate) fn settle(&mut self, errand: &Errand, status: u16, body: &[u8], now: Instant) -> Fit {
        self.give_back(errand, false);
        let settled = match errand.who {
            None => self.newcomer_settled(errand, status, body),
            Some(who) => self.person_settled(who, errand, status, body, now),
        };
        if settled.is_some() { Fit::Expected } else { Fit::Unexpected }
    }

    fn newcomer_settled(&mut self, errand: &Errand, status: u16, body: &[u8]) -> Option<()> {
        match (errand.kind, status) {
            (Kind::Otp, 202) => serde_json::from_slice::<Challenge>(body).ok().map(drop),
            (Kind::Token, 200) => {
                let tokens: Tokens = serde_json::from_slice(body).ok()?;
                self.join(tokens);
                Some(())
            }
            (Kind::Products | Kind::RideStates, 200) => Some(()),
            _ => None,
        }
    }

    /// Somebody is signed in; beyond the most that this crowd holds, nobody remembers them.
    fn join(&mut self, tokens: Tokens) {
        if self.people.len() >= self.most {
            return;
        }
        let (access, refresh) = (tokens.access_token.into(), Some(tokens.refresh_token));
        self.people.push(Person { access, refresh, quote: None, ride: None, past: None, fee: None, epoch: 0 });
        self.groups.join();
    }

    fn person_settled(&mut self, who: u32, errand: &Errand, status: u16, body: &[u8], now: Instant) -> Option<()> {
        let is_current = self.people[who as usize].epoch == errand.epoch && self.groups.place(who) != Place::Busy;
        match (errand.kind, status) {
            (Kind::Quote, 201) => {
                let QuoteBody { quote_id, options } = serde_json::from_slice(body).ok()?;
                let product = options.into_iter().next()?.product;
                if errand.prior.is_some() {
                    self.people[who as usize].quote = Some(Offer { id: quote_id, product, until: now + QUOTE_LIVES });
                    self.move_to(who, Place::Quoted);
                }
            }
            (Kind::Request, 201) => {
                let ride: RideBody = serde_json::from_slice(body).ok()?;
                self.has_ride(who, ride.id);
            }
            (Kind::Request, 409) => {
                let conflict: Conflict = serde_json::from_slice(body).ok()?;
                match (conflict.code.as_str(), conflict.ride_id) {
                    ("already-riding", Some(ride)) => self.has_ride(who, ride),
                    ("quote-used", _) => self.move_to(who, Place::Idle),
                    _ => return None,
                }
            }
            (Kind::Cancel, 200) => self.ride_over(who),
            (Kind::Cancel, 409) => {
                let conflict: Conflict = serde_json::from_slice(body).ok()?;
                match (conflict.code.as_str(), conflict.confirmation_token, conflict.from) {
                    ("cancellation-fee", Some(token), _) => {
                        self.people[who as usize].fee = Some((token, now + FEE_LIVES));
                    }
                    ("illegal-transition", _, Some(Status::InProgress)) => self.move_to(who, Place::Aboard),
                    ("illegal-transition", _, Some(_)) => self.ride_over(who),
                    _ => return None,
                }
            }
            (Kind::Current, 204) => {
                if is_current && self.people[who as usize].ride.is_some() {
                    self.ride_over(who);
                }
            }
            (Kind::Current | Kind::Ride, 200) => {
                let ride: RideBody = serde_json::from_slice(body).ok()?;
                let is_this = self.people[who as usize].ride.as_ref() == Some(&ride.id);
                if is_current && is_this && ride.status.is_terminal() {
                    self.ride_over(who);
                } else if is_current && is_this && ride.status == Status::InProgress {
                    self.move_to(who, Place::Aboard);
                }
            }
            (Kind::Refresh, 200) => {
                let tokens: Tokens = serde_json::from_slice(body).ok()?;
                let person = &mut self.people[who as usize];
                (person.access, person.refresh) = (tokens.access_token.into(), Some(tokens.refresh_token));
            }
            (Kind::History | Kind::Receipt | Kind::Profile, 200) => {}
            _ => return None,
        }
        Some(())
    }

    fn has_ride(&mut self, who: u32, ride: String) {
        let person = &mut self.people[who as usize];
        if person.ride.is_none() && person.past.is_none() {
            self.known.push(who);
        }
        (person.ride, person.quote, person.fee) = (Some(ride), None, None);
        self.move_to(who, Place::Riding);
    }

    fn ride_over(&mut self, who: u32) {
        let person = &mut self.people[who as usize];
        if person.past.is_none() {
            self.ended.push(who);
        }
        person.past = person.ride.take().or(person.past.take());
        person.fee = None;
        self.move_to(who, Place::Idle);
    }

    fn move_to(&mut self, who: u32, place: Place) {
        self.people[who as usize].epoch += 1;
        self.groups.put(who, place);
    }
}

#[cfg(test)]
#[path = "crowd_test.rs"]
mod tests;
