//! Removing what has expired, a batch at a time: the only writer is not held for long.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{StoreError, Tx};
use crate::value::Millis;

/// Where a batch ends that goes on after `after`: at most `limit` rows, more only if they expired in one millisecond.
/// `None` when what there is up to `before` fits.
pub(crate) async fn batch_end<E: EntityTrait>(
    tx: &Tx,
    expires_at: E::Column,
    after: Millis,
    before: Millis,
    limit: u64,
) -> Result<Option<Millis>, StoreError> {
    let end: Option<i64> = tx
        .here::<E, _>(E::find())
        .select_only()
        .column(expires_at)
        .filter(expires_at.gt(after.0))
        .filter(expires_at.lte(before.0))
        .order_by_asc(expires_at)
        .offset(limit.saturating_sub(1))
        .limit(1)
        .into_tuple()
        .one(&tx.inner)
        .await?;
    Ok(end.map(Millis))
}

/// Removes the oldest rows that expired by `before`, a batch, and says how many; fewer than `limit` were the last.
pub(crate) async fn oldest<E: EntityTrait>(
    tx: &Tx,
    expires_at: E::Column,
    before: Millis,
    limit: u64,
) -> Result<u64, StoreError> {
    let end = batch_end::<E>(tx, expires_at, Millis(i64::MIN), before, limit).await?.unwrap_or(before);
    Ok(tx.here::<E, _>(E::delete_many()).filter(expires_at.lte(end.0)).exec(&tx.inner).await?.rows_affected)
}
