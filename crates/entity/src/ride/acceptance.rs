//! Who accepted rides, by the log: what the driver index is checked against.

use std::{borrow::Cow, collections::BTreeSet};

use futures_util::future::try_join_all;
use sea_orm::{
    Condition, QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{ExprTrait as _, Query},
};
use serde::Deserialize;

use super::{
    Ride, RideRange,
    row::{event, ride},
};
use crate::{
    store::{Conn, Shards, StoreError, bound},
    value::{DriverId, Id, Millis, Shard},
};

/// The log, as far as it tells who accepted: the database derives `driver_id` from the event.
mod log {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "ride_events")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub ride_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub seq: i32,
        pub driver_id: Option<String>,
    }

    no_relations!();
}

/// A driver took a ride. A driver who let it go may take it once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// Which ride.
    pub ride_id: Id<Ride>,
    /// Who.
    pub driver_id: DriverId,
    /// Its event.
    pub seq: i32,
    /// When.
    pub at: Millis,
}

/// What the logs of some rides say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acceptances {
    /// By ride and then in order.
    pub found: Vec<Acceptance>,
    /// Rides with an event that cannot be read: it may have been one.
    pub unreadable: BTreeSet<Id<Ride>>,
}

/// A driver and a ride that they accepted, once or more often.
pub type Pair = (Id<Ride>, DriverId);

/// What is read of an event.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(borrow)]
    change: Cow<'a, str>,
    driver: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    id: DriverId,
}

impl Acceptances {
    /// The driver's last acceptance of the ride.
    #[must_use]
    pub fn last(&self, driver_id: &DriverId, ride_id: Id<Ride>) -> Option<&Acceptance> {
        self.found.iter().rfind(|one| one.ride_id == ride_id && one.driver_id == *driver_id)
    }
}

impl Ride {
    /// Every acceptance of several rides, from the text of their events: one question to each database that holds some,
    /// all at once.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails.
    pub async fn acceptances(shards: &Shards, ids: &[Id<Self>]) -> Result<Acceptances, StoreError> {
        use event::Column::{RideId, Shard};
        let mut all = Acceptances::default();
        for event in shards.rows_of_rides(event::Entity::find(), ids, (Shard, RideId)).await? {
            let ride_id = Id::raw(event.ride_id);
            match serde_json::from_str::<Glance<'_>>(&event.change) {
                Ok(glance) if glance.change != "accepted" => {}
                Ok(Glance { driver: Some(Named { id: driver_id }), .. }) => {
                    all.found.push(Acceptance { ride_id, driver_id, seq: event.seq, at: Millis(event.at) });
                }
                Ok(_) | Err(_) => {
                    all.unreadable.insert(ride_id);
                }
            }
        }
        all.found.sort_by_key(|acceptance| (acceptance.ride_id, acceptance.seq));
        Ok(all)
    }

    /// Those of these rides that the driver ever accepted by their logs, in any order: one owner check in each database that
    /// holds some of the rides, all at once.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails.
    pub async fn find_accepted(
        shards: &Shards,
        ids: &[Id<Self>],
        driver_id: &DriverId,
    ) -> Result<Vec<Self>, StoreError> {
        let acceptance = Query::select()
            .expr(Expr::cust("1"))
            .from(log::Entity)
            .and_where(log::Column::Shard.into_expr().equals((ride::Entity, ride::Column::Shard)))
            .and_where(log::Column::RideId.into_expr().equals((ride::Entity, ride::Column::Id)))
            .and_where(log::Column::DriverId.eq(driver_id.as_str()))
            .take();
        let accepted = ride::Entity::find().filter(Expr::exists(acceptance));
        let found = shards.rows_of_rides(accepted, ids, (ride::Column::Shard, ride::Column::Id)).await?;
        found.into_iter().map(Self::try_from).collect()
    }

    /// A page of the rides that a driver accepted by their logs, newest first, before `before`. They lie in their
    /// passengers' shards: every database is asked for all it holds, which is for operators and nobody in a hurry.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails: a part of the rides would look like all.
    pub async fn accepted_by(
        shards: &Shards,
        driver_id: &DriverId,
        before: Option<Id<Self>>,
        limit: u64,
    ) -> Result<Vec<Id<Self>>, StoreError> {
        let questions = shards.group_by_database(Shard::all(), |shard| *shard).map(|(database, shards)| async move {
            let mut query = log::Entity::find()
                .select_only()
                .column(log::Column::RideId)
                .distinct()
                .filter(log::Column::Shard.is_in(shards.iter().map(|shard| shard.number())))
                .filter(log::Column::DriverId.eq(driver_id.as_str()));
            if let Some(before) = before {
                query = query.filter(log::Column::RideId.lt(before.value()));
            }
            query.order_by_desc(log::Column::RideId).limit(limit).into_tuple::<i64>().all(&database.conn().0).await
        });
        let mut ids: Vec<i64> = try_join_all(questions).await?.into_iter().flatten().collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.truncate(bound(limit));
        Ok(ids.into_iter().map(Id::raw).collect())
    }

    /// Who accepted a shard's rides of this range, each pair once, by ride and driver: a page of `limit` at most, after the
    /// last of the page before.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn accepted_in(
        conn: impl Into<Conn<'_>>,
        shard: Shard,
        range: RideRange,
        after: Option<&Pair>,
        limit: u64,
    ) -> Result<Vec<Pair>, StoreError> {
        let from = after.map_or(range.first, |(ride_id, _)| ride_id.value());
        let mut query = log::Entity::find()
            .select_only()
            .columns([log::Column::RideId, log::Column::DriverId])
            .distinct()
            .filter(log::Column::Shard.eq(shard.number()))
            .filter(log::Column::DriverId.is_not_null())
            .filter(log::Column::RideId.gte(from))
            .filter(log::Column::RideId.lte(range.last));
        if let Some((_, driver_id)) = after {
            let beyond = Condition::any().add(log::Column::RideId.gt(from));
            query = query.filter(beyond.add(log::Column::DriverId.gt(driver_id.as_str())));
        }
        let query = query.order_by_asc(log::Column::RideId).order_by_asc(log::Column::DriverId).limit(limit);
        let pairs: Vec<(i64, String)> = query.into_tuple().all(&conn.into().0).await?;
        Ok(pairs.into_iter().map(|(ride_id, driver_id)| (Id::raw(ride_id), DriverId::raw(driver_id))).collect())
    }

    /// The same of several shards, in no order: one question to each database that holds some, all at once. `None` when there
    /// are more than `limit`: ask one shard after the other.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails.
    pub async fn accepted_among(
        shards: &Shards,
        among: &[Shard],
        range: RideRange,
        limit: u64,
    ) -> Result<Option<Vec<Pair>>, StoreError> {
        let questions =
            shards.group_by_database(among.iter().copied(), |shard| *shard).map(|(database, among)| async move {
                let query = log::Entity::find()
                    .select_only()
                    .columns([log::Column::RideId, log::Column::DriverId])
                    .filter(log::Column::Shard.is_in(among.iter().map(|shard| shard.number())))
                    .filter(log::Column::DriverId.is_not_null())
                    .filter(log::Column::RideId.gte(range.first))
                    .filter(log::Column::RideId.lte(range.last))
                    // No order and no duplicates removed, which would be work for rows that are not wanted.
                    .limit(limit + 1);
                query.into_tuple::<(i64, String)>().all(&database.conn().0).await
            });
        let pairs: Vec<_> = try_join_all(questions).await?.into_iter().flatten().collect();
        let pair = |(ride_id, driver_id)| (Id::raw(ride_id), DriverId::raw(driver_id));
        let mut pairs: Vec<Pair> = pairs.into_iter().map(pair).collect();
        let is_all = pairs.len() as u64 <= limit;
        // A driver may have accepted a ride twice.
        pairs.sort_unstable();
        pairs.dedup();
        Ok(is_all.then_some(pairs))
    }

    /// Whether the driver ever accepted the ride, by its log.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn has_acceptance(
        conn: impl Into<Conn<'_>>,
        ride_id: Id<Self>,
        driver_id: &DriverId,
    ) -> Result<bool, StoreError> {
        let query = log::Entity::find()
            .filter(log::Column::Shard.eq(ride_id.shard().number()))
            .filter(log::Column::RideId.eq(ride_id.value()))
            .filter(log::Column::DriverId.eq(driver_id.as_str()));
        Ok(query.one(&conn.into().0).await?.is_some())
    }

    /// The oldest ride of a shard that was accepted; what cannot be a ride is passed over.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn oldest_accepted(conn: impl Into<Conn<'_>>, shard: Shard) -> Result<Option<Id<Self>>, StoreError> {
        let query = log::Entity::find()
            .select_only()
            .column(log::Column::RideId)
            .filter(log::Column::Shard.eq(shard.number()))
            .filter(log::Column::DriverId.is_not_null())
            .filter(log::Column::RideId.gte(0))
            .order_by_asc(log::Column::RideId)
            // Said for the planner of SQLite: the index of acceptances gives this order, the log itself does not.
            .order_by_asc(log::Column::DriverId)
            .limit(1);
        Ok(query.into_tuple::<i64>().one(&conn.into().0).await?.map(Id::raw))
    }
}
