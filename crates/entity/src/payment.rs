//! Table `payments`: what became of the money of a ride. Goes on after the ride's last version (capture, void).

use sea_orm::{ActiveValue::Set, entity::prelude::*};
use serde::{Deserialize, Serialize};

use crate::{
    Ride,
    store::{Conn, Rows, StoreError, Tx},
    value::Id,
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "payments")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub ride_id: i64,
        pub status: i16,
        pub captured: i64,
    }

    no_relations!();
}

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::Entity>()
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum PaymentStatus {
    /// Nothing is decided.
    Pending = 0,
    /// The fare is reserved.
    Authorised = 1,
    /// The bank said no.
    Declined = 2,
    /// Money was taken.
    Captured = 3,
    /// What was reserved is free again.
    Voided = 4,
    /// Taking or freeing it did not work; an operator has a dead letter.
    Failed = 5,
}

impl PaymentStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Authorised, Self::Declined, Self::Captured, Self::Voided, Self::Failed];

    pub(crate) fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|s| *s as i16 == code)
    }
}

/// The payment of a ride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Where it stands.
    pub status: PaymentStatus,
    /// Minor units taken, in the ride's currency.
    pub captured: i64,
}

impl Payment {
    /// Opens the payment of a new ride: pending.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn open(tx: &Tx, ride_id: Id<Ride>) -> Result<(), StoreError> {
        row::Entity::insert(row::ActiveModel {
            shard: Set(ride_id.shard().number()),
            ride_id: Set(ride_id.value()),
            status: Set(PaymentStatus::Pending as i16),
            captured: Set(0),
        })
        .exec_without_returning(&tx.inner)
        .await?;
        Ok(())
    }

    /// The payment of a ride.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn find(conn: impl Into<Conn<'_>>, ride_id: Id<Ride>) -> Result<Option<Self>, StoreError> {
        let key = (ride_id.shard().number(), ride_id.value());
        let Some(found) = row::Entity::find_by_id(key).one(&conn.into().0).await? else { return Ok(None) };
        let status = PaymentStatus::from_code(found.status);
        let status = status.ok_or_else(|| StoreError::corrupt("payments", "status", found.status))?;
        Ok(Some(Self { status, captured: found.captured }))
    }

    /// Moves the payment from one of `from` to `to`; `false` when it stood elsewhere.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn advance(
        tx: &Tx,
        ride_id: Id<Ride>,
        from: &[PaymentStatus],
        to: PaymentStatus,
        captured: i64,
    ) -> Result<bool, StoreError> {
        let done = row::Entity::update_many()
            .set(row::ActiveModel { status: Set(to as i16), captured: Set(captured), ..Default::default() })
            .filter(row::Column::Shard.eq(ride_id.shard().number()))
            .filter(row::Column::RideId.eq(ride_id.value()))
            .filter(row::Column::Status.is_in(from.iter().map(|s| *s as i16)))
            .exec(&tx.inner)
            .await?;
        Ok(done.rows_affected == 1)
    }
}
