//! Table `passengers`: who signs in, in the shard of the phone's hash.

use sea_orm::{ActiveValue::Set, QuerySelect, entity::prelude::*};

use crate::{
    store::{Conn, Rows, StoreError, Tx},
    value::{Id, Millis, Phone, PhoneHash},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "passengers")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub phone_hmac: Option<Vec<u8>>,
        pub phone: Option<String>,
        pub name: Option<String>,
        pub email: Option<String>,
        pub locale: Option<String>,
    }

    no_relations!();
}

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::Entity>()
}

/// A passenger who has not been deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passenger {
    /// The id; its shard holds everything of this passenger.
    pub id: Id<Self>,
    /// The phone they sign in with.
    pub phone: Phone,
    /// What to call them.
    pub name: Option<String>,
    /// Where to write to.
    pub email: Option<String>,
    /// BCP 47 language tag.
    pub locale: Option<String>,
}

/// A JSON merge patch of a profile: `None` leaves, `Some(None)` removes, `Some(Some(v))` sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfilePatch {
    /// What to call them.
    pub name: Option<Option<String>>,
    /// Where to write to.
    pub email: Option<Option<String>>,
    /// BCP 47 language tag.
    pub locale: Option<Option<String>>,
}

/// What [`Passenger::find_or_create`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedUp {
    /// The phone was known.
    Known(Passenger),
    /// The passenger is new.
    New(Passenger),
}

impl Passenger {
    /// The passenger with this phone, made if there is none. Racing first sign-ins make one passenger.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn find_or_create(tx: &Tx, phone: &Phone, hash: PhoneHash, now: Millis) -> Result<SignedUp, StoreError> {
        if let Some(known) = Self::find_by_phone(tx, hash).await? {
            return Ok(SignedUp::Known(known));
        }
        let shard = hash.shard();
        let id = tx.draw(now, shard)?;
        let row = row::ActiveModel {
            shard: Set(shard.number()),
            id: Set(id.value()),
            phone_hmac: Set(Some(hash.0.to_vec())),
            phone: Set(Some(phone.reveal().to_owned())),
            ..Default::default()
        };
        match tx.insert_unless_there([row]).await? {
            // The id was taken; or, where several write at once, a racer made the passenger and the next run finds it.
            0 => Err(tx.collision()),
            _ => Ok(SignedUp::New(Self { id, phone: phone.clone(), name: None, email: None, locale: None })),
        }
    }

    /// The passenger, unless deleted.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn find(conn: impl Into<Conn<'_>>, id: Id<Self>) -> Result<Option<Self>, StoreError> {
        let conn = conn.into();
        let query = row::Entity::find_by_id((id.shard().number(), id.value()));
        conn.hold(query).one(&conn.0).await?.map_or(Ok(None), Self::from_row)
    }

    /// The passenger, unless deleted, in a transaction that nobody else writes anything of theirs in until its end: not
    /// even a row that refers to them.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn find_alone(tx: &Tx, id: Id<Self>) -> Result<Option<Self>, StoreError> {
        let query = row::Entity::find_by_id((id.shard().number(), id.value())).lock_exclusive();
        query.one(&tx.inner).await?.map_or(Ok(None), Self::from_row)
    }

    /// The passenger who signs in with this phone.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn find_by_phone(conn: impl Into<Conn<'_>>, hash: PhoneHash) -> Result<Option<Self>, StoreError> {
        let conn = conn.into();
        let query = row::Entity::find()
            .filter(row::Column::Shard.eq(hash.shard().number()))
            .filter(row::Column::PhoneHmac.eq(hash.0.to_vec()));
        conn.hold(query).one(&conn.0).await?.map_or(Ok(None), Self::from_row)
    }

    /// Whether this passenger exists and has not been deleted: the cheapest form of [`Passenger::find`].
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn is_active(conn: impl Into<Conn<'_>>, id: Id<Self>) -> Result<bool, StoreError> {
        let conn = conn.into();
        let query = row::Entity::find_by_id((id.shard().number(), id.value()))
            .filter(row::Column::PhoneHmac.is_not_null())
            .select_only()
            .column(row::Column::Id);
        let found: Option<i64> = conn.hold(query).into_tuple().one(&conn.0).await?;
        Ok(found.is_some())
    }

    /// Applies a merge patch; `None` when there is no such passenger.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn patch(tx: &Tx, id: Id<Self>, patch: ProfilePatch) -> Result<Option<Self>, StoreError> {
        let set = |value: Option<Option<String>>| value.map_or(sea_orm::ActiveValue::NotSet, Set);
        let changes = row::ActiveModel {
            name: set(patch.name),
            email: set(patch.email),
            locale: set(patch.locale),
            ..Default::default()
        };
        if changes.is_changed() {
            Self::update(id).set(changes).exec(&tx.inner).await?;
        }
        Self::find(tx, id).await
    }

    /// Removes everything that says who this was; the rides stay. `false` when there is no such passenger.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn anonymise(tx: &Tx, id: Id<Self>) -> Result<bool, StoreError> {
        let nothing = row::ActiveModel {
            phone_hmac: Set(None),
            phone: Set(None),
            name: Set(None),
            email: Set(None),
            locale: Set(None),
            ..Default::default()
        };
        let done = Self::update(id).set(nothing).exec(&tx.inner).await?;
        Ok(done.rows_affected == 1)
    }

    fn update(id: Id<Self>) -> sea_orm::UpdateMany<row::Entity> {
        row::Entity::update_many()
            .filter(row::Column::Shard.eq(id.shard().number()))
            .filter(row::Column::Id.eq(id.value()))
            .filter(row::Column::PhoneHmac.is_not_null())
    }

    fn from_row(row: row::Model) -> Result<Option<Self>, StoreError> {
        let Some(phone) = row.phone else { return Ok(None) };
        let phone = Phone::parse(&phone).map_err(|e| StoreError::corrupt("passengers", "phone", e))?;
        Ok(Some(Self { id: Id::raw(row.id), phone, name: row.name, email: row.email, locale: row.locale }))
    }
}
