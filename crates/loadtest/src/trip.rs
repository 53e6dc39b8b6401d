//! One trip: a passenger asks for a quote, requests the ride, follows it to its end, and settles it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    api::Request,
    client::{Client, Opened},
    follow::Follower,
    listen::{Heard, listen},
    outage::{Stop, Why},
    passenger::{End, Passenger, Phones, Taken},
    promises::Kind,
    settle,
    tally::Ending,
    trips::Trip,
    wire::{Money, Quote, QuoteOption, Ride, Status, Transitions},
};

/// So many streams of one ride may end wrongly before its passenger gives up.
const STREAMS: u32 = 5;

/// What all trips share.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) transitions: Transitions,
    pub(crate) phones: Phones,
    pub(crate) seed: u64,
    /// Makes this run's idempotency keys its own.
    pub(crate) tag: String,
    /// Longer than this no ride may take.
    pub(crate) ride_bound: Duration,
    pub(crate) check_every: usize,
}

/// A trip that is over.
pub(crate) struct Driven {
    pub(crate) passenger: Passenger,
    pub(crate) ending: Ending,
}

impl Driven {
    /// Whether the passenger is free for another trip.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self.ending, Ending::Final(_) | Ending::Refused)
    }
}

/// Drives trip number `index`.
pub(crate) async fn drive(cx: Arc<Context>, index: usize, trip: Trip, mut passenger: Passenger) -> Driven {
    let began = Instant::now();
    let rides_before = passenger.rides.len();
    let walked = walk(&cx, index, &trip, &mut passenger).await;
    let taken = passenger.rides.get(rides_before);
    let ending = match (walked, taken) {
        (Ok(ending), _) => ending,
        (Err(_), Some(Taken { end: Some(end), .. })) => Ending::Final(end.status),
        (Err(Stop::GaveUp), _) => Ending::GaveUp,
        (Err(Stop::Halted), taken) => {
            if cx.client.halt.why() == Some(Why::Deadline) {
                let ride = taken.map(|t| t.id.as_str());
                let detail = if ride.is_some() { "no end by the deadline" } else { "no ride by the deadline" };
                cx.client.promises.broken(Kind::OutOfTime, ride, detail);
            }
            Ending::Cut
        }
    };
    if let Ending::Final(_) = ending {
        cx.client.tally.span("whole trip", began.elapsed());
    }
    Driven { passenger, ending }
}

async fn walk(cx: &Context, index: usize, trip: &Trip, passenger: &mut Passenger) -> Result<Ending, Stop> {
    let newcomer = !passenger.signed_in();
    passenger.sign_in(&cx.client, &cx.phones).await?;
    if newcomer {
        cx.client.tally.counts().passengers += 1;
    }
    let mut rng = StdRng::seed_from_u64(cx.seed ^ (index as u64).rotate_left(32));
    let sampled = index.is_multiple_of(cx.check_every);
    let Some((ride, fare)) = request(cx, index, trip, passenger, sampled, &mut rng).await? else {
        return Ok(Ending::Refused);
    };
    let mut follower = Follower::new(&cx.transitions, &ride.id, &fare, sampled);
    if index.is_multiple_of(2) {
        // Half of the passengers ask for every event after the ride they got, the others for the ride as it is now.
        follower = follower.after(ride.version, ride.status);
    }
    if let Some(ending) = follow(cx, passenger, &ride.id, &mut follower).await? {
        return Ok(ending);
    }
    let Follower { kept, end, .. } = follower;
    let Some(end) = end else { return Err(Stop::GaveUp) };
    if let Some(taken) = passenger.rides.last_mut() {
        let (status, version) = (end.status, end.version);
        taken.end = Some(End { status, version, at: Instant::now(), receipt: None, rated: None });
    }
    if let Some(cancellation) = &end.cancellation {
        let cause = format!("{}: {}", cancellation.by, cancellation.reason);
        *cx.client.tally.counts().cancelled_by.entry(cause).or_default() += 1;
    }
    let stars = rng.random_range(1..=5);
    settle::settle(cx, passenger, &end, &fare, stars, sampled.then_some(kept)).await?;
    Ok(Ending::Final(end.status))
}

/// Quotes and requests; none when the gateway refuses the quote. The ride is acknowledged when this returns.
async fn request(
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
        let (id, quoted) = (ride.id.clone(), option.fare.clone());
        passenger.rides.push(Taken { id, quoted, sampled, end: None });
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
        if sampled {
            let again = passenger.send(client, &request).await?;
            settle::check_same_key(client, &ride.id, &answer, &again);
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

/// Listens until the terminal event, over as many streams as it takes; an ending when there is no such event.
async fn follow(
    cx: &Context,
    passenger: &mut Passenger,
    ride: &str,
    follower: &mut Follower<'_>,
) -> Result<Option<Ending>, Stop> {
    let (client, began) = (&cx.client, Instant::now());
    let (mut wrong, mut streams) = (0, 0);
    while follower.end.is_none() {
        let Some(left) = cx.ride_bound.checked_sub(began.elapsed()) else {
            let detail = format!("no end after {} s, last seen {:?}", cx.ride_bound.as_secs(), follower.status());
            client.promises.broken(Kind::StuckRide, Some(ride), detail);
            return Ok(Some(Ending::Stuck));
        };
        let request = Request::events(ride, follower.last());
        let response = match passenger.open(client, &request).await? {
            Opened::Stream(response) => response,
            Opened::Answer(answer) if answer.status == 404 => return Ok(Some(lost(client, ride, "its events"))),
            Opened::Answer(answer) => return Err(client.unexpected(&request, &answer)),
        };
        client.tally.counts().resumed += u64::from(streams > 0);
        streams += 1;
        let heard = listen(client, response, follower, ride, began, left).await?;
        let (detail, since, retry) = match heard {
            Heard::TimeUp => continue,
            Heard::Ended { .. } if follower.end.is_some() => continue,
            Heard::Ended { retry, .. } if passenger.token_ended(Instant::now()) => {
                client.halt.pause(retry).await?;
                continue;
            }
            Heard::Ended { since, retry } => ("it ended without a terminal event".to_owned(), since, retry),
            Heard::Broke { error, since, retry } => (error, since, retry),
        };
        let excused = client.outages.excuse(since);
        if !excused {
            client.promises.broken(Kind::StreamEnd, Some(ride), format!("after event {:?}: {detail}", follower.last()));
            wrong += 1;
            if wrong >= STREAMS {
                return Err(Stop::GaveUp);
            }
        }
        if follower.end.is_some() {
            continue;
        }
        client.halt.pause(retry).await?;
        if excused && let Some(ending) = look_again(client, passenger, ride, follower).await? {
            return Ok(Some(ending));
        }
    }
    Ok(None)
}

/// After the server was killed: the ride is there, and no older than what was seen of it.
async fn look_again(
    client: &Client,
    passenger: &mut Passenger,
    ride: &str,
    follower: &Follower<'_>,
) -> Result<Option<Ending>, Stop> {
    let request = Request::show(ride);
    let answer = passenger.send(client, &request).await?;
    if answer.status == 404 {
        return Ok(Some(lost(client, ride, "the ride after a kill")));
    }
    let shown: Ride = client.read(&request, &answer, 200)?;
    if follower.last().is_some_and(|last| shown.version < last) {
        let detail = format!("version {} after version {:?} was seen", shown.version, follower.last());
        client.promises.broken(Kind::WentBack, Some(ride), detail);
    }
    Ok(None)
}

/// Notes that an acknowledged ride is not found.
pub(crate) fn lost(client: &Client, ride: &str, what: &str) -> Ending {
    client.promises.broken(Kind::LostRide, Some(ride), format!("404 for {what}"));
    Ending::Lost
}
