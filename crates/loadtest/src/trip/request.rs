//! The quote and the ride's request, and what their answers must say.

use rand::{RngExt, rngs::StdRng};
use serde_json::Value;

use super::Context;
use crate::{
    api::Request,
    client::{Answer, Client},
    outage::Stop,
    passenger::{Passenger, Taken},
    promises::Kind,
    trips::Trip,
    wire::{Money, Quote, QuoteOption, Ride, Status},
};

/// Quotes and requests; none when the gateway refuses the quote. The ride is acknowledged when this returns.
pub(super) async fn request(
    cx: &Context,
    index: usize,
    trip: &Trip,
    passenger: &mut Passenger,
    sampled: bool,
    rng: &mut StdRng,
) -> Result<Option<(Ride, Money)>, Stop> {
    let client = &cx.client;
    for round in 0..3 {
        let request = Request::quote(trip);
        let answer = passenger.send(client, &request).await?;
        if answer.status == 422 {
            client.promises.broken(Kind::QuoteRefused, None, answer.excerpt());
            return Ok(None);
        }
        let mut quote: Quote = client.read(&request, &answer, 201)?;
        let quoted: Value = client.read(&request, &answer, 201)?;
        if quote.options.is_empty() {
            return Err(client.unexpected(&request, &answer));
        }
        let option = quote.options.swap_remove(rng.random_range(0..quote.options.len()));
        check_option(client, &option);
        let request = Request::ride(&quote.quote_id, &option.product, &format!("{}-{index}-{round}", cx.tag));
        passenger.unsure = true;
        let answer = passenger.send(client, &request).await?;
        if answer.code().as_deref() == Some("quote-expired") {
            // Waiting out a limit or a restart took longer than the quote lives. No ride: its key would have answered.
            passenger.unsure = false;
            continue;
        }
        let ride: Ride = client.read(&request, &answer, 201)?;
        passenger.unsure = false;
        check_ride(client, &ride, &quote.quote_id, &option);
        let about = Some(ride.id.as_str());
        if !answer.is_tagged(ride.version) {
            let detail = format!("POST: version {}, ETag {:?}", ride.version, answer.header("etag"));
            client.promises.broken(Kind::EtagDiffers, about, detail);
        }
        if answer.header("location").is_none_or(|l| !l.ends_with(&format!("/v1/rides/{}", ride.id))) {
            let detail = format!("POST rides: Location {:?}", answer.header("location"));
            client.promises.broken(Kind::UnexpectedAnswer, about, detail);
        }
        passenger.rides.push(Taken {
            id: ride.id.clone(),
            request: request.clone(),
            answer,
            quote: quoted,
            quoted: option.fare.clone(),
            sampled,
            cancelled: None,
            end: None,
        });
        if sampled {
            let again = passenger.send(client, &request).await?;
            passenger.rides.last().into_iter().for_each(|taken| check_same_key(client, taken, &again));
        }
        return Ok(Some((ride, option.fare)));
    }
    client.promises.broken(Kind::UnexpectedAnswer, None, "three quotes in a row expired before their ride");
    Err(Stop::GaveUp)
}

fn check_option(client: &Client, option: &QuoteOption) {
    let sum: i64 = option.breakdown.iter().map(|line| line.amount.amount).sum();
    if sum != option.fare.amount {
        let detail = format!("quote of {}: fare {}, breakdown adds up to {sum}", option.product, option.fare);
        client.promises.broken(Kind::FareDiffers, None, detail);
    }
}

fn check_ride(client: &Client, ride: &Ride, quote: &str, option: &QuoteOption) {
    let broken = |kind, detail: String| client.promises.broken(kind, Some(&ride.id), detail);
    if ride.fare != option.fare {
        broken(Kind::FareDiffers, format!("quoted {}, ride {}", option.fare, ride.fare));
    }
    if ride.version != 1 || ride.status != Status::Requested {
        broken(Kind::EventSequence, format!("a new ride is {} at version {}", ride.status, ride.version));
    }
    if ride.quote_id != quote || ride.product != option.product {
        broken(Kind::UnexpectedAnswer, format!("a ride for quote {} and {}", ride.quote_id, ride.product));
    }
}

/// The answer to a key used again must be the first answer.
pub(crate) fn check_same_key(client: &Client, taken: &Taken, again: &Answer) {
    let broken = |kind, detail: String| client.promises.broken(kind, Some(&taken.id), detail);
    let id = serde_json::from_slice::<Ride>(&again.body).ok().map(|ride| ride.id);
    if let Some(other) = id.filter(|other| *other != taken.id) {
        broken(Kind::TwoRides, format!("the same key made ride {other} too"));
    } else if again.status != taken.answer.status || again.body != taken.answer.body {
        broken(Kind::KeyReplay, format!("{} {}", again.status, again.excerpt()));
    } else if again.header("idempotency-replayed") != Some("true") {
        broken(Kind::KeyReplay, format!("Idempotency-Replayed is {:?}", again.header("idempotency-replayed")));
    }
}
