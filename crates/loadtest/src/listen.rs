//! Listens to one event stream until it ends.

use std::time::{Duration, Instant};

use reqwest::Response;

use crate::{
    client::{Client, causes},
    follow::Follower,
    outage::Stop,
    sse::{Event, Item, Parser},
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
    Ended,
    /// The connection broke.
    Broke(String),
    /// It fell silent, or did not end after the terminal event.
    Hung(String),
    /// The ride has the status waited for; the stream is dropped.
    Reached,
    /// The time given is over.
    TimeUp,
}

/// Listens to one stream of a ride.
pub(crate) struct Listener<'a> {
    pub(crate) client: &'a Client,
    pub(crate) ride: &'a str,
    /// When the ride was acknowledged; none for a replay, which is not counted and timed.
    pub(crate) began: Option<Instant>,
    /// Stop listening at this status.
    pub(crate) until: Option<Status>,
    /// When the stream last said something, or was opened.
    pub(crate) since: Instant,
    /// How long to wait before the next stream.
    pub(crate) retry: Duration,
}

impl<'a> Listener<'a> {
    pub(crate) fn new(client: &'a Client, ride: &'a str) -> Self {
        Self { client, ride, began: None, until: None, since: Instant::now(), retry: RETRY }
    }

    /// Gives all events of `response` to `follower`, notes what they break, for at most `left`.
    ///
    /// # Errors
    /// [`Stop::Halted`].
    pub(crate) async fn listen(
        &mut self,
        mut response: Response,
        follower: &mut Follower<'_>,
        left: Duration,
    ) -> Result<Heard, Stop> {
        let (start, mut parser) = (Instant::now(), Parser::default());
        self.since = start;
        loop {
            if self.until.is_some() && self.until == follower.status() {
                return Ok(Heard::Reached);
            }
            let Some(left) = left.checked_sub(start.elapsed()) else { return Ok(Heard::TimeUp) };
            let ended = follower.end.is_some();
            let patience = left.min(if ended { END_WITHIN } else { SILENCE });
            let chunk = match self.client.halt.guard(tokio::time::timeout(patience, response.chunk())).await? {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Ok(Heard::Ended),
                Ok(Err(error)) => return Ok(Heard::Broke(causes(&error.without_url()))),
                Err(_) if ended => return Ok(Heard::Hung("it goes on after its terminal event".to_owned())),
                Err(_) if patience == SILENCE => {
                    return Ok(Heard::Hung(format!("silent for {} s", SILENCE.as_secs())));
                }
                Err(_) => return Ok(Heard::TimeUp),
            };
            self.since = Instant::now();
            for item in parser.push(&chunk) {
                match item {
                    Item::Retry(ms) => self.retry = Duration::from_millis(ms.min(10_000)),
                    Item::Comment(_) => self.client.tally.counts().heartbeats += 1,
                    Item::Event(event) => self.take(&event, follower),
                }
            }
        }
    }

    fn take(&self, event: &Event, follower: &mut Follower<'_>) {
        let before = follower.status();
        for (kind, detail) in follower.take(event) {
            let replay = if self.began.is_none() { "in a replay: " } else { "" };
            self.client.promises.broken(kind, Some(self.ride), format!("{replay}{detail}"));
        }
        if let Some(began) = self.began {
            count(self.client, &event.name, before, follower.status(), began);
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
