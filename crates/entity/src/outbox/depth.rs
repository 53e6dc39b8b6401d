//! How much the outbox holds.

use futures_util::future::try_join_all;
use sea_orm::{QuerySelect, entity::prelude::*};

use super::{BANK, DISPATCH, INDEX, LANE_BITS, OutboxEntry, row};
use crate::store::{Shards, StoreError};

impl OutboxEntry {
    /// How many messages wait, and how many are dead, in all databases; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails: a part of them would look like fewer.
    pub async fn depth(shards: &Shards) -> Result<(u64, u64), StoreError> {
        let depths = shards.databases().map(|database| async {
            let due = database.due();
            let here = || due.here::<row::Entity, _>(row::Entity::find());
            let waiting = here().filter(row::Column::DueAt.is_not_null()).count(&due.conn.0).await?;
            let dead = here().filter(row::Column::DeadAt.is_not_null()).count(&due.conn.0).await?;
            Ok::<_, StoreError>((waiting, dead))
        });
        let depths = try_join_all(depths).await?;
        Ok(depths.into_iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1)))
    }

    /// How many messages wait for each partner, by the partner's name, in all databases; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails: a part of them would look like fewer.
    pub async fn waiting_by_lane(shards: &Shards) -> Result<[(&'static str, u64); 3], StoreError> {
        let lane = || Expr::cust(format!("seq & {LANE_BITS}"));
        let query = row::Entity::find()
            .select_only()
            .expr_as(lane(), "lane")
            .column_as(row::Column::Seq.count(), "waiting")
            .filter(row::Column::DueAt.is_not_null())
            .group_by(lane());
        let counts = shards.databases().map(|database| async {
            let due = database.due();
            due.here::<row::Entity, _>(query.clone()).into_tuple::<(i32, i64)>().all(&due.conn.0).await
        });
        let counts: Vec<(i32, i64)> = try_join_all(counts).await?.into_iter().flatten().collect();
        Ok([("bank", BANK), ("driver_index", INDEX), ("dispatch", DISPATCH)].map(|(name, lane)| {
            let of_lane = counts.iter().filter(|(of, _)| *of == lane);
            (name, of_lane.map(|(_, waiting)| waiting.unsigned_abs()).sum())
        }))
    }
}
