//! `GET /v1/rides/{id}/events`: server-sent events (WHATWG HTML, "Server-sent events").

use std::time::Duration;

use actix_web::{Error, HttpRequest, HttpResponse, web};
use bytes::Bytes;
use entity::{Ride, value::Millis};
use prometheus::IntGauge;
use runtime::task::Shutdown;
use tokio::time::Interval;
use usecase::rides::follow_ride::{Feed, Next};

use crate::{
    Api,
    dto::ride::{LocationView, RideView},
    extract::{CallerAnd, PathId, last_event_id},
    openapi::Problems,
    problem::Answer,
};

/// A comment at least this often keeps proxies from closing the stream, and finds clients that left.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What clients are told to wait before they reconnect, milliseconds, plus up to as much again.
const RETRY_MS: u32 = 1_000;

/// Follows a ride: every version in order, and the driver's position. Ends after the terminal version.
#[utoipa::path(get, path = "/v1/rides/{id}/events", operation_id = "follow_ride", tag = "rides", security(("bearer" = [])),
    params(("id" = String, Path, description = "The ride"),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, pattern = "^[0-9]+$",
            description = "The version that the client saw last")),
    responses((status = 200, description = "`event: ride` with the ride, `event: location` with a position",
            body = String, content_type = "text/event-stream"),
        (status = 204, description = "The ride is over and everything was seen"), Problems))]
pub(crate) async fn follow(
    api: web::Data<Api>,
    CallerAnd(caller, id): CallerAnd<PathId<Ride>>,
    request: HttpRequest,
) -> Answer {
    let seen = last_event_id(&request)?;
    let Some(feed) = api.follow_ride.run(caller.passenger_id, id.0, seen).await? else {
        return Ok(HttpResponse::NoContent().finish());
    };
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    // Not at once: the first event is there already.
    heartbeat.reset();
    heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let now = api.clock.now();
    let token_life = u64::try_from(caller.token_ends.since_ms(now)).unwrap_or(0);
    let retry = RETRY_MS + api.entropy.below(RETRY_MS);
    let stream = Stream {
        api: api.clone(),
        feed,
        heartbeat,
        token_ends: caller.token_ends,
        token_timer: Box::pin(tokio::time::sleep(Duration::from_millis(token_life))),
        shutdown: api.supervisor.shutdown_signal(),
        greeting: Some(format!("retry: {retry}\n\n")),
        told_stale: None,
        _open: Open::new(&api.metrics.streams),
    };
    let body = futures_util::stream::unfold(stream, |mut stream| async move {
        stream.next().await.map(|text| (Ok::<_, Error>(Bytes::from(text)), stream))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(Box::pin(body)))
}

/// One open stream: no task, no connection to the database while it waits.
struct Stream {
    api: web::Data<Api>,
    feed: Feed,
    heartbeat: Interval,
    token_ends: Millis,
    token_timer: std::pin::Pin<Box<tokio::time::Sleep>>,
    shutdown: Shutdown,
    greeting: Option<String>,
    told_stale: Option<Millis>,
    _open: Open,
}

impl Stream {
    /// The next piece of the stream; `None` at its end.
    async fn next(&mut self) -> Option<String> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        let next = tokio::select! {
            biased;
            () = self.shutdown.wait() => return None,
            () = &mut self.token_timer => return None,
            _ = self.heartbeat.tick() => return self.beat().await,
            next = self.feed.next() => next,
        };
        match next {
            Ok(Next::Version { ride, replayed }) => {
                let location = if replayed { None } else { super::rides::location(&self.api, &ride) };
                let data = serde_json::to_string(&RideView::new(&ride, location)).ok()?;
                Some(format!("event: ride\nid: {}\ndata: {data}\n\n", ride.version))
            }
            Ok(Next::Location(position)) => Some(location_event(&LocationView::new(position, self.api.clock.now()))),
            Ok(Next::End) => None,
            Err(error) => {
                // The client comes back with the last id it saw: nothing is lost.
                tracing::warn!(%error, "an event stream could not read its ride");
                None
            }
        }
    }

    /// A sign of life; also a look at the database, in case a wake-up came to another node.
    async fn beat(&mut self) -> Option<String> {
        if let Err(error) = self.feed.look().await {
            tracing::warn!(%error, "an event stream could not read its ride");
            return None;
        }
        let now = self.api.clock.now();
        // The timer knows nothing of a clock that was set, nor of a machine that slept.
        if now >= self.token_ends {
            return None;
        }
        let stale = self.feed.stale_position(now).filter(|p| self.told_stale != Some(p.observed_at));
        let told = stale.map(|position| {
            self.told_stale = Some(position.observed_at);
            location_event(&LocationView::new(position, now))
        });
        Some(format!(": alive\n\n{}", told.unwrap_or_default()))
    }
}

fn location_event(location: &LocationView) -> String {
    let data = serde_json::to_string(location).unwrap_or_default();
    format!("event: location\ndata: {data}\n\n")
}

/// Counts the stream while it is open.
struct Open(IntGauge);

impl Open {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
