//! Rows of several rides at once.

use futures_util::future::try_join_all;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, Select};

use super::{Shards, StoreError};
use crate::{Ride, value::Id};

impl Shards {
    /// What `query` finds where the columns `shard` and `ride_id` name one of these rides: one question to each database that
    /// holds some of the rides, all at once.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails.
    pub(crate) async fn rows_of_rides<E: EntityTrait>(
        &self,
        query: Select<E>,
        ids: &[Id<Ride>],
        (shard, ride_id): (E::Column, E::Column),
    ) -> Result<Vec<E::Model>, StoreError> {
        let questions = self.group_by_database(ids.iter().copied(), |id| id.shard()).map(|(database, ids)| {
            // Pairs joined by OR: each is found by a key, which a row value list is not on every engine.
            let any = ids.iter().fold(Condition::any(), |any, id| {
                any.add(Condition::all().add(shard.eq(id.shard().number())).add(ride_id.eq(id.value())))
            });
            let query = query.clone().filter(any);
            async move { query.all(&database.conn().0).await }
        });
        Ok(try_join_all(questions).await?.into_iter().flatten().collect())
    }
}
