//! The passengers of a run and where each of them stands, so that a request is drawn for somebody who can make it: a ride
//! by who has a quote ([`draw`]), a cancellation by who has a ride. What the server answers moves them on ([`answers`]).

mod answers;
mod draw;

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use answers::Fit;
use serde_json::json;

use super::{
    errand::{Errand, Newcomer},
    groups::Groups,
    kinds::Kind,
};
use crate::trips::Trip;

/// A code is typed within this time; the product's own default is 300 s.
const CODE_LIVES: Duration = Duration::from_secs(240);
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

    fn move_to(&mut self, who: u32, place: Place) {
        self.people[who as usize].epoch += 1;
        self.groups.put(who, place);
    }
}

#[cfg(test)]
#[path = "crowd_test.rs"]
mod tests;
