//! When the server is known to be away, and when everybody should stop.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// The stretches of time in which this tool itself took the server away, one a kill.
#[derive(Default)]
pub(crate) struct Outages(Mutex<Vec<Outage>>);

struct Outage {
    began: Instant,
    ended: Option<Instant>,
}

impl Outages {
    /// The server is about to be killed.
    pub(crate) fn begin(&self, now: Instant) {
        self.list().push(Outage { began: now, ended: None });
    }

    /// The server is back, for as many kills as it was gone.
    pub(crate) fn end(&self, now: Instant) {
        for outage in self.list().iter_mut().filter(|o| o.ended.is_none()) {
            outage.ended = Some(now);
        }
    }

    /// Whether something that went on from `since` to `failed` may blame an outage: they overlap. What began after the
    /// server was seen to be ready has no excuse.
    pub(crate) fn excuse(&self, since: Instant, failed: Instant) -> bool {
        self.list().iter().any(|o| o.began <= failed && o.ended.is_none_or(|ended| ended >= since))
    }

    fn list(&self) -> MutexGuard<'_, Vec<Outage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the replay ends before its last trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// `--deadline` has passed.
    Deadline,
    /// A person pressed Ctrl-C, or somebody sent a signal to end.
    Interrupted,
    /// Nobody answers any more.
    ServerGone,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "the deadline has passed",
            Self::Interrupted => "interrupted",
            Self::ServerGone => "the server is gone",
        })
    }
}

/// Why a trip's walk ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Everybody stops.
    Halted,
    /// This one cannot go on; the reason is among the broken promises.
    GaveUp,
}

/// Tells everybody to stop; every wait of the tool goes through [`Halt::guard`].
#[derive(Clone)]
pub(crate) struct Halt(Arc<watch::Sender<Option<Why>>>);

impl Halt {
    /// Nobody stops yet.
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Stops everybody; the first reason stays.
    pub(crate) fn stop(&self, why: Why) {
        self.0.send_if_modified(|now| {
            let first = now.is_none();
            now.get_or_insert(why);
            first
        });
    }

    /// The reason, once there is one.
    pub(crate) fn why(&self) -> Option<Why> {
        *self.0.borrow()
    }

    /// Waits until everybody should stop.
    pub(crate) async fn stopped(&self) {
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    /// What `work` gives, unless everybody should stop first.
    ///
    /// # Errors
    /// [`Stop::Halted`]; `work` is dropped.
    pub(crate) async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.stopped() => Err(Stop::Halted),
            done = work => Ok(done),
        }
    }

    /// Waits `pause`, unless everybody should stop first.
    ///
    /// # Errors
    /// [`Stop::Halted`].
    pub(crate) async fn pause(&self, pause: Duration) -> Result<(), Stop> {
        self.guard(tokio::time::sleep(pause)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_overlaps_an_outage_is_excused() {
        let outages = Outages::default();
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        assert!(!outages.excuse(at(0), at(9)));
        outages.begin(at(10));
        assert!(outages.excuse(at(0), at(11)) && outages.excuse(at(11), at(12)));
        assert!(!outages.excuse(at(0), at(9)), "it failed before the kill");
        outages.begin(at(20));
        outages.end(at(30));
        assert!(outages.excuse(at(29), at(40)), "it began while the server was away");
        assert!(!outages.excuse(at(31), at(40)), "the server was back");
        assert_eq!(outages.list().len(), 2);
    }

    #[tokio::test]
    async fn a_stop_ends_every_wait_and_keeps_its_first_reason() {
        let halt = Halt::new();
        assert_eq!(halt.guard(async { 4 }).await, Ok(4));
        halt.stop(Why::Deadline);
        halt.stop(Why::Interrupted);
        assert_eq!(halt.guard(std::future::pending::<()>()).await, Err(Stop::Halted));
        assert_eq!(halt.why(), Some(Why::Deadline));
    }
}
