//! Listens to one event stream until it ends.

use std::time::{Duration, Instant};

use reqwest::Response;

use crate::{
    client::{Client, causes},
    follow::Follower,
    outage::Stop,
    promises::Kind,
    sse::{Item, Parser},
    wire::Status,
};

/// A stream says something at least every 15 s (heartbeat): three times that is silence.
const SILENCE: Duration = Duration::from_secs(45);
/// After the terminal event a stream ends at once.
const END_WITHIN: Duration = Duration::from_secs(5);
/// How long to wait before the next stream when this one did not say.
const RETRY: Duration = Duration::from_millis(500);

/// How a stream ended.
pub(crate) enum Heard {
    /// Properly, with its last chunk.
    Ended {
        /// When it last said something.
        since: Instant,
        /// How long to wait before the next one.
        retry: Duration,
    },
    /// The connection broke, or it fell silent, or it did not end after the terminal event.
    Broke {
        /// What happened.
        error: String,
        /// When it last said something.
        since: Instant,
        /// How long to wait before the next one.
        retry: Duration,
    },
    /// The time given is over.
    TimeUp,
}

/// Gives all events of `response` to `follower`, notes what they break, for at most `left`. `began` is when the ride was
/// acknowledged.
///
/// # Errors
/// [`Stop::Halted`].
pub(crate) async fn listen(
    client: &Client,
    mut response: Response,
    follower: &mut Follower<'_>,
    ride: &str,
    began: Instant,
    left: Duration,
) -> Result<Heard, Stop> {
    let (start, mut parser, mut retry) = (Instant::now(), Parser::default(), RETRY);
    let mut since = start;
    loop {
        let Some(left) = left.checked_sub(start.elapsed()) else { return Ok(Heard::TimeUp) };
        let ended = follower.end.is_some();
        let patience = left.min(if ended { END_WITHIN } else { SILENCE });
        let chunk = match client.halt.guard(tokio::time::timeout(patience, response.chunk())).await? {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return Ok(Heard::Ended { since, retry }),
            Ok(Err(error)) => return Ok(Heard::Broke { error: causes(&error.without_url()), since, retry }),
            Err(_) if ended => {
                let error = "it goes on after its terminal event".to_owned();
                return Ok(Heard::Broke { error, since, retry });
            }
            Err(_) if patience == SILENCE => {
                return Ok(Heard::Broke { error: format!("silent for {} s", SILENCE.as_secs()), since, retry });
            }
            Err(_) => return Ok(Heard::TimeUp),
        };
        since = Instant::now();
        for item in parser.push(&chunk) {
            match item {
                Item::Retry(ms) => retry = Duration::from_millis(ms.min(10_000)),
                Item::Comment(_) => client.tally.counts().heartbeats += 1,
                Item::Event(event) => {
                    let before = follower.status();
                    for (kind, detail) in follower.take(&event) {
                        client.promises.broken(kind, Some(ride), detail);
                    }
                    count(client, &event.name, before, follower.status(), began);
                }
            }
        }
    }
}

fn count(client: &Client, name: &str, before: Option<Status>, now: Option<Status>, began: Instant) {
    let mut counts = client.tally.counts();
    if name == "location" {
        counts.locations += 1;
        return;
    }
    counts.events += 1;
    if before == now {
        return;
    }
    let span = match now {
        Some(Status::Accepted) => "from request to accepted",
        Some(status) if status.is_terminal() => "from request to the end",
        _ => return,
    };
    counts.spans.entry(span).or_default().add(began.elapsed());
}

/// Listens to the replay of a ride that has ended; none when it broke and a kill excuses it.
///
/// # Errors
/// [`Stop::Halted`].
pub(crate) async fn listen_again(
    client: &Client,
    mut response: Response,
    follower: &mut Follower<'_>,
    ride: &str,
) -> Result<Option<()>, Stop> {
    let (start, mut parser) = (Instant::now(), Parser::default());
    loop {
        let error = match client.halt.guard(tokio::time::timeout(END_WITHIN, response.chunk())).await? {
            Ok(Ok(Some(chunk))) => {
                for item in parser.push(&chunk) {
                    if let Item::Event(event) = item {
                        for (kind, detail) in follower.take(&event) {
                            client.promises.broken(kind, Some(ride), format!("in a replay: {detail}"));
                        }
                    }
                }
                continue;
            }
            Ok(Ok(None)) => return Ok(Some(())),
            Ok(Err(error)) => causes(&error.without_url()),
            Err(_) => format!("no end of the replay within {} s", END_WITHIN.as_secs()),
        };
        if !client.outages.excuse(start) {
            client.promises.broken(Kind::StreamEnd, Some(ride), error);
        }
        return Ok(None);
    }
}
