//! Where answers take passengers.

use std::time::{Duration, Instant};

use super::{
    super::{
        errand::{Conflict, Errand, QuoteBody, RideBody},
        kinds::Kind,
    },
    Crowd, Offer, Person, Place,
};
use crate::wire::{Challenge, Status, Tokens};

/// A quote is used within this time; the product's own default is 300 s.
pub(super) const QUOTE_LIVES: Duration = Duration::from_secs(240);
/// A fee is agreed to within this time; the product's own default is 60 s.
const FEE_LIVES: Duration = Duration::from_secs(45);

/// Whether an answer is one that the contract has for this passenger here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Expected,
    Unexpected,
}

impl Crowd {
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
}
