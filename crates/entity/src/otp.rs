//! Table `otp_challenges`: codes sent to phones, stored hashed.

use sea_orm::{ActiveValue::Set, QueryFilter, entity::prelude::*, sea_query::Expr};

use crate::{
    store::{Rows, StoreError, Tx, purge},
    value::{Id, Millis, Phone, PhoneHash},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "otp_challenges")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub phone_hmac: Vec<u8>,
        pub phone: String,
        pub code_hash: Vec<u8>,
        pub attempts_left: i16,
        pub expires_at: i64,
    }

    no_relations!();
}

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::Entity>()
}

/// A code that was sent and waits to be typed.
#[derive(Clone, Debug)]
pub struct OtpChallenge {
    /// The id, in the shard of the phone.
    pub id: Id<Self>,
    /// Where the code was sent.
    pub phone: Phone,
    /// The phone's hash.
    pub phone_hash: PhoneHash,
    /// Until when the code works.
    pub expires_at: Millis,
}

/// What a typed code came to.
#[derive(Clone, Debug)]
pub enum OtpCheck {
    /// Right: the challenge is used up.
    Right(OtpChallenge),
    /// Wrong.
    Wrong {
        /// How many more tries there are.
        attempts_left: i16,
    },
    /// Expired, used, exhausted, or never sent.
    Gone,
}

impl OtpChallenge {
    /// Draws the id of a challenge: the code's hash is bound to it.
    ///
    /// # Errors
    /// [`StoreError::Id`] when the clock is out of range.
    pub fn draw_id(tx: &Tx, phone_hash: PhoneHash, now: Millis) -> Result<Id<Self>, StoreError> {
        Ok(tx.draw(now, phone_hash.shard())?)
    }

    /// Stores a challenge.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn insert(&self, tx: &Tx, code_hash: [u8; 32], attempts: i16) -> Result<(), StoreError> {
        tx.insert_drawn(row::ActiveModel {
            shard: Set(self.id.shard().number()),
            id: Set(self.id.value()),
            phone_hmac: Set(self.phone_hash.0.to_vec()),
            phone: Set(self.phone.reveal().to_owned()),
            code_hash: Set(code_hash.to_vec()),
            attempts_left: Set(attempts),
            expires_at: Set(self.expires_at.0),
        })
        .await
    }

    /// Removes a challenge whose code was not sent: it counts for nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn withdraw(tx: &Tx, id: Id<Self>) -> Result<(), StoreError> {
        row::Entity::delete_by_id((id.shard().number(), id.value())).exec(&tx.inner).await?;
        Ok(())
    }

    /// Removes every challenge of a phone, which stands in them.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn forget_phone(tx: &Tx, phone_hash: PhoneHash) -> Result<(), StoreError> {
        row::Entity::delete_many()
            .filter(row::Column::Shard.eq(phone_hash.shard().number()))
            .filter(row::Column::PhoneHmac.eq(phone_hash.0.to_vec()))
            .exec(&tx.inner)
            .await?;
        Ok(())
    }

    /// Checks a typed code with `matches` (constant time, given the stored hash) and uses up one attempt, or the
    /// whole challenge when it was right.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn check(
        tx: &Tx,
        id: Id<Self>,
        now: Millis,
        matches: impl FnOnce(&[u8]) -> bool + Send,
    ) -> Result<OtpCheck, StoreError> {
        let key = (id.shard().number(), id.value());
        let query = tx.hold(row::Entity::find_by_id(key));
        let Some(found) = query.one(&tx.inner).await? else { return Ok(OtpCheck::Gone) };
        // A clock that was set back gives no code a second life.
        let expired = found.expires_at <= now.0 || id.created_at().is_from_the_future(now);
        if found.attempts_left <= 0 || expired {
            return Ok(OtpCheck::Gone);
        }
        let right = matches(&found.code_hash);
        let attempts_left = if right { 0 } else { found.attempts_left - 1 };
        let done = row::Entity::update_many()
            .col_expr(row::Column::AttemptsLeft, Expr::value(attempts_left))
            .filter(row::Column::Shard.eq(key.0))
            .filter(row::Column::Id.eq(key.1))
            .filter(row::Column::AttemptsLeft.eq(found.attempts_left))
            .exec(&tx.inner)
            .await?;
        if done.rows_affected == 0 {
            return Err(StoreError::Conflict);
        }
        if !right {
            return Ok(OtpCheck::Wrong { attempts_left });
        }
        Ok(OtpCheck::Right(Self::from_row(found)?))
    }

    /// Removes challenges that expired by `before`, the oldest `limit`, and says how many; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn purge_expired(tx: &Tx, before: Millis, limit: u64) -> Result<u64, StoreError> {
        purge::oldest::<row::Entity>(tx, row::Column::ExpiresAt, before, limit).await
    }

    fn from_row(row: row::Model) -> Result<Self, StoreError> {
        let corrupt = |column, detail| StoreError::corrupt("otp_challenges", column, detail);
        let phone = Phone::parse(&row.phone).map_err(|_| corrupt("phone", "not E.164"))?;
        let hash = row.phone_hmac.try_into().map_err(|_| corrupt("phone_hmac", "not 32 bytes"))?;
        Ok(Self { id: Id::raw(row.id), phone, phone_hash: PhoneHash(hash), expires_at: Millis(row.expires_at) })
    }
}
