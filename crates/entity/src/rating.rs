//! Table `ratings`: what a passenger thought of a completed ride, once.

use sea_orm::ActiveValue::Set;

use crate::{
    Ride,
    store::{Rows, StoreError, Tx},
    value::{Id, Millis},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "ratings")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub ride_id: i64,
        pub stars: i16,
        pub tags: String,
        pub comment: Option<String>,
        pub rated_at: i64,
    }

    no_relations!();
}

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::Entity>()
}

/// A rating.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rating {
    /// 1…5.
    pub stars: u8,
    /// Short labels the client offers.
    pub tags: Vec<String>,
    /// Free text.
    pub comment: Option<String>,
    /// When it was given.
    pub rated_at: Millis,
}

impl Rating {
    /// Stores the rating; `false` when the ride has one already.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn insert_once(&self, tx: &Tx, ride_id: Id<Ride>) -> Result<bool, StoreError> {
        let tags = serde_json::to_string(&self.tags).map_err(|e| StoreError::corrupt("ratings", "tags", e))?;
        let row = row::ActiveModel {
            shard: Set(ride_id.shard().number()),
            ride_id: Set(ride_id.value()),
            stars: Set(i16::from(self.stars)),
            tags: Set(tags),
            comment: Set(self.comment.clone()),
            rated_at: Set(self.rated_at.0),
        };
        Ok(tx.insert_unless_there([row]).await? == 1)
    }
}
