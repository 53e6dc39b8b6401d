//! An operator gives a message that was given up another life.

use entity::{Message, OutboxEntry, OutboxKey, Shards, StoreError, value::Millis};

/// The use case.
#[derive(Clone)]
pub struct RequeueDeadLetter {
    /// Where the outbox is.
    pub shards: Shards,
}

impl RequeueDeadLetter {
    /// Lets the relay try again from the first backoff on; `None` when there is no such dead letter.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn run(&self, key: OutboxKey, now: Millis) -> Result<Option<Message>, StoreError> {
        self.shards.write(key.ride_id.shard(), move |tx| Box::pin(OutboxEntry::requeue(tx, key, now))).await
    }
}
