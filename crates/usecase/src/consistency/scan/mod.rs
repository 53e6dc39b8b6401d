//! Compares the whole index with all logs, while others write: in windows of time, with a checkpoint after each, by one node
//! at a time. Whoever dies is followed by another.

mod listed;
mod pace;
mod run;
mod sums;
mod window;

use std::{sync::Arc, time::Duration};

use entity::{
    DriverRide, Ride, Scan, ScanState, Shards, StoreError,
    scan::LEASE_MS,
    value::{Id, Millis, Shard},
};
use run::{Halt, Run};
use runtime::{Clock, task::Shutdown};
use tokio::sync::Notify;

use super::Config;

/// How often a node looks whether there is a scan that nobody works on.
const LOOK_EVERY: Duration = Duration::from_millis(LEASE_MS.unsigned_abs() / 3);

/// Is told from time to time how far a scan is.
pub type Told<'t> = &'t (dyn Fn(&Scan) + Send + Sync);

/// The use case. It is an edge, as the relay: it reads the time itself. Clones wake each other.
#[derive(Clone)]
pub struct Scanner {
    config: Arc<Config>,
    shards: Shards,
    clock: Clock,
    wake: Arc<Notify>,
}

/// The scan that is running after it was asked for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// A new one.
    New(Scan),
    /// The one that was running already.
    Running(Scan),
}

/// What [`Scanner::work`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Worked {
    /// There is no scan to work on.
    Nothing,
    /// Somebody else has it.
    Elsewhere(Scan),
    /// It is finished.
    Finished(Scan),
    /// It is not finished, and anybody may go on.
    Stopped(Scan),
}

impl Scanner {
    pub(super) fn new(config: Arc<Config>, shards: Shards, clock: Clock) -> Self {
        Self { config, shards, clock, wake: Arc::default() }
    }

    /// Begins a scan of everything there is now, unless one is running.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails.
    pub async fn begin(&self) -> Result<Begun, StoreError> {
        if let Some(running) = self.running().await? {
            return Ok(Begun::Running(running));
        }
        let now = self.clock.now();
        let last = Id::<Ride>::new(now, 0, Scan::SHARD)?.hour();
        let first = self.oldest_hour().await?.unwrap_or(last).min(last);
        let begin = self.shards.write::<_, StoreError, _>(Scan::SHARD, move |tx| {
            Box::pin(async move { Scan::begin(tx, first, last, now).await })
        });
        match begin.await? {
            Some(scan) => {
                self.wake.notify_one();
                Ok(Begun::New(scan))
            }
            None => self.running().await?.map(Begun::Running).ok_or(StoreError::Conflict),
        }
    }

    async fn running(&self) -> Result<Option<Scan>, StoreError> {
        Scan::running(self.shards.read(Scan::SHARD)).await
    }

    async fn oldest_hour(&self) -> Result<Option<i32>, StoreError> {
        let mut oldest = None;
        for shard in Shard::all() {
            let conn = || self.shards.read(shard);
            let by_log = Ride::oldest_accepted(conn(), shard).await?;
            let by_index = DriverRide::oldest_indexed(conn(), shard).await?;
            oldest = [oldest, by_log, by_index].into_iter().flatten().min();
        }
        Ok(oldest.map(Id::hour))
    }

    /// Works on every scan that nobody else works on, until shutdown.
    ///
    /// # Errors
    /// None today; the type lets the supervisor restart it.
    pub async fn run(&self, shutdown: Shutdown) -> Result<(), StoreError> {
        loop {
            match self.work(&shutdown, &|_| {}).await {
                Ok(Worked::Finished(scan)) => report(&scan),
                Ok(Worked::Stopped(_)) => return Ok(()),
                Ok(Worked::Nothing | Worked::Elsewhere(_)) => {}
                Err(error) => tracing::warn!(%error, "a scan cannot go on now"),
            }
            tokio::select! {
                biased;
                () = shutdown.wait() => return Ok(()),
                () = self.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Works on the scan that is running, from its last checkpoint to its end, unless somebody else does.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails: it is noted, and anybody may go on in some seconds.
    pub async fn work(&self, shutdown: &Shutdown, told: Told<'_>) -> Result<Worked, StoreError> {
        let Some(scan) = self.running().await? else { return Ok(Worked::Nothing) };
        let now = self.clock.now();
        let wanted = scan.clone();
        let take_up = self.shards.write::<_, StoreError, _>(Scan::SHARD, move |tx| {
            let scan = wanted.clone();
            Box::pin(async move { scan.take_up(tx, now).await })
        });
        let Some(mine) = take_up.await? else { return Ok(Worked::Elsewhere(scan)) };
        let mut run = Run::new(self, mine, shutdown, told);
        let halted = match run.finish().await {
            Ok(()) => return Ok(Worked::Finished(run.into_scan())),
            Err(halted) => halted,
        };
        let scan = run.into_scan();
        match halted {
            Halt::Stopped => {
                self.let_go(&scan, None).await?;
                Ok(Worked::Stopped(scan))
            }
            // Somebody else took it up, because this node was not heard of for so long.
            Halt::Store(StoreError::Conflict) => Ok(Worked::Elsewhere(scan)),
            Halt::Store(error) => {
                if let Err(again) = self.let_go(&scan, Some(error.to_string())).await {
                    tracing::debug!(error = %again, "what stopped the scan could not be noted");
                }
                Err(error)
            }
        }
    }

    async fn let_go(&self, scan: &Scan, error: Option<String>) -> Result<(), StoreError> {
        let (scan, now) = (scan.clone(), self.clock.now());
        let let_go = self.shards.write::<_, StoreError, _>(Scan::SHARD, move |tx| {
            let (scan, error) = (scan.clone(), error.clone());
            Box::pin(async move { scan.let_go(tx, error.as_deref(), now).await })
        });
        let_go.await
    }

    fn now(&self) -> Millis {
        self.clock.now()
    }
}

fn report(scan: &Scan) {
    debug_assert_eq!(scan.state, ScanState::Finished);
    let counts = &scan.counts;
    let (missing, stale, in_doubt) = (counts.missing_index, counts.stale_index, counts.in_doubt);
    let (id, acceptances, index_rows) = (scan.id, counts.acceptances, counts.index_rows);
    if counts.mismatches() == 0 {
        tracing::info!(%id, acceptances, index_rows, "the driver index agrees with the rides");
    } else {
        tracing::error!(%id, acceptances, index_rows, missing, stale, in_doubt, "the driver index does not agree with the rides");
    }
}
