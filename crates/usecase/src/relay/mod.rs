//! Tells partners what the outbox holds: at least once, in order for each ride and partner, with backoff, and a dead-letter
//! state that an operator sees.

pub mod dead_letters;
mod deliver;
mod queue;

use std::{
    collections::{HashMap, VecDeque},
    future,
    sync::Arc,
    time::Duration,
};

use entity::{OutboxEntry, Ride, Shards, outbox::LEASE_MS, value::Id};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
pub use queue::{RelayInbox, RelayWaker, queue};
use runtime::{Clock, Invalid, task::Shutdown, within};
use serde::{Deserialize, Serialize};

use crate::{
    port::{Dispatch, Payments},
    rides,
};

/// The `[relay]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Rides that are delivered at the same time.
    pub concurrency: usize,
    /// How often the outbox is searched for what is due (retries, other nodes' leftovers), milliseconds.
    pub sweep_ms: u32,
    /// Tries before a message becomes a dead letter. Authorising and requesting a driver go on until the ride ends.
    pub max_attempts: i32,
    /// Wait after the first failure, doubled each time, milliseconds.
    pub first_backoff_ms: u32,
    /// Longest wait between two tries, milliseconds.
    pub max_backoff_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { concurrency: 256, sweep_ms: 500, max_attempts: 12, first_backoff_ms: 500, max_backoff_ms: 60_000 }
    }
}

impl Config {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first setting out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("concurrency", self.concurrency, 1..=1024, "")?;
        within("sweep_ms", self.sweep_ms, 50..=60_000, "")?;
        within("max_attempts", self.max_attempts, 1..=1000, "")?;
        within("first_backoff_ms", self.first_backoff_ms, 1..=60_000, "")?;
        within("max_backoff_ms", self.max_backoff_ms, self.first_backoff_ms..=3_600_000, "")
    }
}

/// The relay.
#[derive(Clone)]
pub struct Relay {
    /// Settings of the component.
    pub config: Arc<Config>,
    /// Deadlines of rides that a delivery moves on.
    pub rides: Arc<rides::Config>,
    /// Where the outbox is.
    pub shards: Shards,
    /// Moves money.
    pub payments: Arc<dyn Payments>,
    /// Finds drivers.
    pub dispatch: Arc<dyn Dispatch>,
    /// The relay is an edge: it reads the time itself.
    pub clock: Clock,
}

/// A ride that is being delivered; `true` when it was woken again meanwhile.
type Busy = HashMap<Id<Ride>, bool>;

/// What one of the futures under way came to.
enum Done {
    /// There is nothing left to deliver for this ride now.
    Delivered(Id<Ride>),
    /// The outbox was searched: these rides have a due message.
    Searched(Vec<Id<Ride>>),
}

impl Relay {
    /// Delivers until shutdown, then finishes what is under way.
    ///
    /// The loop itself awaits nothing but its futures: one of them may have been given a database connection that
    /// it has not been polled to take, and waiting for another connection meanwhile would wait for itself.
    ///
    /// # Errors
    /// None today; the type lets the supervisor restart it.
    pub async fn run(&self, inbox: RelayInbox, shutdown: Shutdown) -> Result<(), entity::StoreError> {
        let mut inbox = inbox.0.lock().await;
        let mut busy = Busy::new();
        let mut under_way: FuturesUnordered<BoxFuture<'_, Done>> = FuturesUnordered::new();
        let mut searching = false;
        let mut found = VecDeque::new();
        let mut sweep = tokio::time::interval(Duration::from_millis(u64::from(self.config.sweep_ms)));
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let has_room = under_way.len() < self.config.concurrency;
            let woken = tokio::select! {
                biased;
                Some(done) = under_way.next(), if !under_way.is_empty() => match done {
                    Done::Delivered(ride) => busy.remove(&ride).filter(|again| *again).map(|_| ride),
                    Done::Searched(due) => {
                        searching = false;
                        found.extend(due);
                        None
                    }
                },
                () = shutdown.wait() => break,
                Some(ride) = inbox.recv(), if has_room => Some(ride),
                // All at a time would wait for connections until it is too late for them, and so would passengers' requests.
                () = future::ready(()), if has_room && !found.is_empty() => found.pop_front(),
                _ = sweep.tick(), if has_room && !searching && found.is_empty() => {
                    searching = true;
                    under_way.push(Box::pin(async { Done::Searched(self.due().await) }));
                    None
                }
            };
            if let Some(ride) = woken {
                if let Some(again) = busy.get_mut(&ride) {
                    *again = true;
                } else {
                    busy.insert(ride, false);
                    under_way.push(Box::pin(async move {
                        self.deliver_ride(ride).await;
                        Done::Delivered(ride)
                    }));
                }
            }
        }
        while under_way.next().await.is_some() {}
        Ok(())
    }

    /// Rides with a due message; an error is logged and tried again at the next sweep.
    async fn due(&self) -> Vec<Id<Ride>> {
        let limit = self.config.concurrency as u64 * 4;
        OutboxEntry::due_rides(&self.shards, self.clock.now(), self.longest_wait_ms(), limit).await.unwrap_or_else(
            |error| {
                tracing::warn!(%error, "the outbox could not be searched");
                vec![]
            },
        )
    }

    /// The longest that a message is leased or put off: one that is due later still was written before the clock was
    /// set back.
    fn longest_wait_ms(&self) -> i64 {
        i64::from(self.config.max_backoff_ms).max(LEASE_MS)
    }

    /// Wait before try number `attempts + 1`: doubled each time, the upper half of it drawn from the ride's id so
    /// that rides that failed together do not come back together.
    fn backoff_ms(&self, attempts: i32, ride: Id<Ride>) -> i64 {
        let doubled = i64::from(self.config.first_backoff_ms).saturating_mul(1 << attempts.clamp(0, 20));
        let full = doubled.min(i64::from(self.config.max_backoff_ms));
        let half = full / 2;
        half + (ride.value() >> 10).rem_euclid(half.max(1))
    }
}
