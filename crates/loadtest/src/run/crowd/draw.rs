//! Requests, each drawn for somebody who can make it.

use std::time::Instant;

use rand::{RngExt, rngs::StdRng};
use serde_json::json;

use super::{
    super::{errand::Errand, kinds::Kind},
    Code, Crowd, Offer, Place,
};

impl Crowd {
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
}
