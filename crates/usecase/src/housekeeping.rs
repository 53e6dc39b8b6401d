//! Removes what has expired and nobody can use any more, a batch a transaction.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use entity::{
    Barrier, IdempotencyKey, KnownDevice, OtpBudget, OtpChallenge, Quote, Session, Shards, StoreError, Transaction, Tx,
    value::Millis,
};
use futures_util::future::BoxFuture;

/// How long the row of a full budget is kept, milliseconds: to a node whose clock is behind ours it is not full yet.
const KEEP_BUDGET_MS: i64 = 60 * 1000;
/// How long an expired quote that nobody used is kept to be looked at again, milliseconds.
const KEEP_QUOTE_MS: i64 = 30 * 24 * 3600 * 1000;
/// Rows that one transaction removes: what passengers write meanwhile waits some milliseconds.
const BATCH: u64 = 1000;

/// The use case. Clones go on where the others stopped.
#[derive(Clone)]
pub struct Housekeeping {
    shards: Shards,
    /// Quotes that expired by then were looked at, in each database: used ones stay, and need not be looked at again before
    /// a restart.
    quotes_seen: Arc<[AtomicI64]>,
}

impl Housekeeping {
    /// Cleans these shards.
    #[must_use]
    pub fn new(shards: Shards) -> Self {
        let quotes_seen = (0..shards.count()).map(|_| AtomicI64::new(i64::MIN)).collect();
        Self { shards, quotes_seen }
    }

    /// Removes expired codes, sessions, devices, idempotency keys and unused quotes, budgets that are full, and what was
    /// called off between two databases long ago, and says how many rows went. Each transaction asks `clock` anew: what is written after the clock was set back, while this is at
    /// work, has not expired.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails; what went before stays removed.
    pub async fn run(&self, clock: impl Fn() -> Millis + Clone + Send + Sync + 'static) -> Result<u64, StoreError> {
        let now = clock.clone();
        let codes = self.batches(move |tx| Box::pin(OtpChallenge::purge_expired(tx, now(), BATCH))).await?;
        let now = clock.clone();
        let full = move || now().plus_ms(-KEEP_BUDGET_MS);
        let budgets = self.batches(move |tx| Box::pin(OtpBudget::purge_full(tx, full(), BATCH))).await?;
        let now = clock.clone();
        let sessions = self.batches(move |tx| Box::pin(Session::purge_expired(tx, now(), BATCH))).await?;
        let now = clock.clone();
        let devices = self.batches(move |tx| Box::pin(KnownDevice::purge_expired(tx, now(), BATCH))).await?;
        let now = clock.clone();
        let keys = self.batches(move |tx| Box::pin(IdempotencyKey::purge_expired(tx, now(), BATCH))).await?;
        let now = clock.clone();
        let aborted = self.batches(move |tx| Box::pin(Transaction::purge_aborted(tx, now(), BATCH))).await?;
        let now = clock.clone();
        let cancelled = self.batches(move |tx| Box::pin(Barrier::purge_cancelled(tx, now(), BATCH))).await?;
        let quotes = self.quotes(clock().plus_ms(-KEEP_QUOTE_MS)).await?;
        Ok(codes + budgets + sessions + devices + keys + aborted + cancelled + quotes)
    }

    /// Runs `purge` until nothing is left for it.
    async fn batches<F>(&self, purge: F) -> Result<u64, StoreError>
    where
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<u64, StoreError>> + Clone + Send + Sync + 'static,
    {
        let mut total = 0;
        loop {
            let removed = self.shards.write_everywhere(purge.clone()).await?;
            total += removed.iter().sum::<u64>();
            if removed.iter().all(|removed| *removed < BATCH) {
                return Ok(total);
            }
        }
    }

    async fn quotes(&self, before: Millis) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let seen = self.quotes_seen.clone();
            let purge = self.shards.write_everywhere::<_, StoreError, _>(move |tx| {
                let after = seen[tx.database()].load(Ordering::Relaxed);
                Box::pin(Quote::purge_unused(tx, Millis(after), before, BATCH))
            });
            let purged = purge.await?;
            for (seen, purged) in self.quotes_seen.iter().zip(&purged) {
                total += purged.removed;
                // Also back to `before`, when the clock was put back: what expires where it has been is looked at then.
                seen.store(purged.next.unwrap_or(before).0, Ordering::Relaxed);
            }
            if purged.iter().all(|purged| purged.next.is_none()) {
                return Ok(total);
            }
        }
    }
}
