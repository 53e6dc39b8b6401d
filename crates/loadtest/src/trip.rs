//! One trip: a passenger asks for a quote, requests the ride, follows it to its end, and settles it.

mod request;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
pub(crate) use request::check_same_key;

use crate::{
    api::Request,
    cancel,
    client::Client,
    follow::Follower,
    listen::{Heard, Listener},
    outage::{Stop, Why},
    passenger::{End, Passenger, Phones, Taken},
    promises::Kind,
    settle,
    tally::Ending,
    trips::Trip,
    wire::{Ride, Status, Transitions},
};

/// So many streams of one ride may end wrongly before its passenger gives up.
const STREAMS: u32 = 5;
/// One ride in so many is looked at closely: the same key again, every event replayed.
const SAMPLE_EVERY: usize = 10;

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
    /// Every so many passengers, one calls the ride off.
    pub(crate) cancel_every: Option<usize>,
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
        (Err(_), Some(Taken { end: Some(end), .. })) => Ending::Final(end.ride.status),
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
    let (client, newcomer) = (&cx.client, !passenger.signed_in());
    passenger.sign_in(client, &cx.phones).await?;
    if newcomer {
        client.tally.counts().passengers += 1;
    }
    let mut rng = StdRng::seed_from_u64(cx.seed ^ (index as u64).rotate_left(32));
    let sampled = index.is_multiple_of(SAMPLE_EVERY);
    let Some((ride, fare)) = request::request(cx, index, trip, passenger, sampled, &mut rng).await? else {
        return Ok(Ending::Refused);
    };
    let mut follower = Follower::new(&cx.transitions, &ride.id, &fare, sampled);
    if index.is_multiple_of(2) {
        // Half of the passengers ask for every event after the ride they got, the others for the ride as it is now.
        follower = follower.after(ride.version, ride.status);
    }
    let stars = rng.random_range(1..=5);
    let cancels = cx.cancel_every.is_some_and(|every| index % every == every / 2);
    let cancel_at = cancels.then(|| cancel::MOMENTS[rng.random_range(0..cancel::MOMENTS.len())]);
    if let Some(ending) = follow(cx, passenger, &ride.id, &mut follower, cancel_at).await? {
        return Ok(ending);
    }
    let Follower { kept: events, end, .. } = follower;
    let Some(end) = end else { return Err(Stop::GaveUp) };
    if let Some(taken) = passenger.rides.last_mut() {
        cancel::check(client, taken, &end);
        taken.end = Some(End { ride: end.clone(), events, receipt: None, rated: None });
    }
    if let Some(cancellation) = &end.cancellation {
        let cause = format!("{}: {}", cancellation.by, cancellation.reason);
        *client.tally.counts().cancelled_by.entry(cause).or_default() += 1;
    }
    settle::settle(client, passenger, &end, &fare, stars).await?;
    Ok(Ending::Final(end.status))
}

/// Listens until the terminal event, over as many streams as it takes, and calls the ride off when it is at `cancel_at`;
/// an ending when there is no such event.
async fn follow(
    cx: &Context,
    passenger: &mut Passenger,
    ride: &str,
    follower: &mut Follower<'_>,
    cancel_at: Option<Status>,
) -> Result<Option<Ending>, Stop> {
    let (client, began) = (&cx.client, Instant::now());
    let (mut wrong, mut streams) = (0, 0);
    let mut listener = Listener { began: Some(began), until: cancel_at, ..Listener::new(client, ride) };
    while follower.end.is_none() {
        let Some(left) = cx.ride_bound.checked_sub(began.elapsed()) else {
            let detail = format!("no end after {} s, last seen {:?}", cx.ride_bound.as_secs(), follower.status());
            client.promises.broken(Kind::StuckRide, Some(ride), detail);
            return Ok(Some(Ending::Stuck));
        };
        let request = Request::events(ride, follower.last());
        let answer = passenger.send(client, &request).await?;
        let response = match answer.stream {
            Some(response) => response,
            None if answer.status == 404 => return Ok(Some(lost(client, ride, "its events"))),
            None => return Err(client.unexpected(&request, &answer)),
        };
        client.tally.counts().resumed += u64::from(streams > 0);
        streams += 1;
        let (detail, excused) = match listener.listen(response, follower, left).await? {
            Heard::TimeUp => continue,
            Heard::Reached => {
                listener.until = None;
                cancel::call_off(client, passenger, ride).await?;
                continue;
            }
            Heard::Ended if follower.end.is_some() => continue,
            Heard::Ended if passenger.token_ended(Instant::now()) => {
                client.halt.pause(listener.retry).await?;
                continue;
            }
            Heard::Ended => {
                let excused = client.outages.excuse_end(listener.since, Instant::now());
                ("it ended without a terminal event".to_owned(), excused)
            }
            Heard::Broke(error) => (error, client.outages.excuse(listener.since, Instant::now())),
            Heard::Hung(detail) => (detail, false),
        };
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
        client.halt.pause(listener.retry).await?;
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
