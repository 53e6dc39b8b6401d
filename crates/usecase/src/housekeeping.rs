//! Removes what has expired and nobody can use any more.

use entity::{
    IdempotencyKey, OtpChallenge, Session, Shards, StoreError,
    value::{Millis, Shard},
};

/// How long an expired code is kept: the budgets of codes count it, milliseconds.
const KEEP_OTP_MS: i64 = 24 * 3600 * 1000;

/// The use case.
#[derive(Clone)]
pub struct Housekeeping {
    /// Where to clean.
    pub shards: Shards,
}

impl Housekeeping {
    /// Removes expired codes, sessions and idempotency keys and says how many rows went.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn run(&self, now: Millis) -> Result<u64, StoreError> {
        let Some(any) = Shard::new(0) else { return Ok(0) };
        let codes =
            self.shards.write(any, move |tx| Box::pin(OtpChallenge::purge_expired(tx, now.plus_ms(-KEEP_OTP_MS))));
        let codes: u64 = codes.await?;
        let sessions: u64 = self.shards.write(any, move |tx| Box::pin(Session::purge_expired(tx, now))).await?;
        let keys: u64 = self.shards.write(any, move |tx| Box::pin(IdempotencyKey::purge_expired(tx, now))).await?;
        Ok(codes + sessions + keys)
    }
}
