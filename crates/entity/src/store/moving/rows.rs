//! The rows of a shard, whatever table they are of.

use std::{collections::HashMap, time::Duration};

use futures_util::future::BoxFuture;
use runtime::Stopwatch;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, DatabaseTransaction, EntityTrait, IdenStatic, IntoActiveModel, Iterable,
    ModelTrait, PrimaryKeyToColumn, QueryFilter, QueryOrder, QuerySelect, Value,
    sea_query::{Expr, ExprTrait},
};
use sha2::{Digest as _, Sha256};

use crate::{store::StoreError, value::Shard};

/// Rows that are read at a time.
const PAGE: u64 = 5_000;

/// The primary key of a row, without the shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Part {
    Small(i16),
    Int(i32),
    Big(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// What a table holds of a shard: each row's key with a hash of all that it says.
pub(super) type Listed = HashMap<Key, u128>;

/// How long reading may take.
#[derive(Clone, Copy)]
pub(super) struct Until(Option<(Stopwatch, Duration)>);

impl Until {
    /// As long as it takes.
    pub(super) const WHENEVER: Self = Self(None);

    /// So long since then.
    pub(super) fn after(begun: Stopwatch, time: Duration) -> Self {
        Self(Some((begun, time)))
    }

    /// # Errors
    /// [`StoreError::Busy`] when the time is over.
    fn check(self) -> Result<(), StoreError> {
        match self.0 {
            Some((begun, time)) if begun.elapsed() >= time => {
                Err(StoreError::Busy("no time is left to read".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// How rows are carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// They are not there.
    Insert,
    /// They are there and say something else.
    Update,
}

/// What comes of it, later.
type Later<'t, T> = BoxFuture<'t, Result<T, StoreError>>;
type List = for<'t> fn(&'t DatabaseTransaction, Shard, Until) -> Later<'t, Listed>;
type Carry = for<'t> fn(&'t DatabaseTransaction, &'t DatabaseTransaction, Shard, &'t [Key], How) -> Later<'t, ()>;
type Remove = for<'t> fn(&'t DatabaseTransaction, Shard, &'t [Key]) -> Later<'t, ()>;

/// What can be done with the rows of a shard in one table.
pub(crate) struct Rows {
    pub(super) name: &'static str,
    /// All of them, in the look of a transaction.
    pub(super) list: List,
    /// Those with these keys from one to the other.
    pub(super) carry: Carry,
    /// Those with these keys, away.
    pub(super) remove: Remove,
}

impl Rows {
    /// Of this table, whose every row is of one shard.
    pub(crate) fn of<E>() -> Self
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel> + Send + Sync,
        E::ActiveModel: Send,
    {
        Self {
            name: E::default().table_name(),
            list: |tx, shard, until| Box::pin(list::<E>(tx, shard, until)),
            carry: |from, to, shard, keys, how| Box::pin(carry::<E>(from, to, shard, keys, how)),
            remove: |tx, shard, keys| Box::pin(remove::<E>(tx, shard, keys)),
        }
    }
}

/// Every row of the shard.
async fn list<E: EntityTrait>(tx: &DatabaseTransaction, shard: Shard, until: Until) -> Result<Listed, StoreError> {
    let (of_shard, key) = columns::<E>()?;
    let mut listed = HashMap::new();
    let mut last: Option<Key> = None;
    loop {
        let mut query = E::find().filter(of_shard.eq(shard.number())).limit(PAGE);
        for column in &key {
            query = query.order_by_asc(*column);
        }
        if let Some(last) = &last {
            // By the database's own order, whatever that is for texts.
            let columns = Expr::tuple(key.iter().map(|column| Expr::col(*column)));
            query = query.filter(columns.gt(Expr::tuple(last.values().map(Expr::value))));
        }
        until.check()?;
        let rows = query.all(tx).await?;
        for row in &rows {
            let key = key_of::<E>(row, &key)?;
            listed.insert(key.clone(), hash::<E>(row)?);
            last = Some(key);
        }
        if (rows.len() as u64) < PAGE {
            return Ok(listed);
        }
    }
}

async fn carry<E>(
    from: &DatabaseTransaction,
    to: &DatabaseTransaction,
    shard: Shard,
    keys: &[Key],
    how: How,
) -> Result<(), StoreError>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: Send,
{
    let rows = E::find().filter(any::<E>(shard, keys)?).all(from).await?;
    let rows = rows.into_iter().map(|row| row.into_active_model().reset_all());
    match how {
        How::Insert => {
            E::insert_many(rows).exec_without_returning(to).await?;
        }
        How::Update => {
            for row in rows {
                E::update(row).exec(to).await?;
            }
        }
    }
    Ok(())
}

async fn remove<E: EntityTrait>(tx: &DatabaseTransaction, shard: Shard, keys: &[Key]) -> Result<(), StoreError> {
    E::delete_many().filter(any::<E>(shard, keys)?).exec(tx).await?;
    Ok(())
}

/// The column of the shard, and the other columns of the primary key.
fn columns<E: EntityTrait>() -> Result<(E::Column, Vec<E::Column>), StoreError> {
    let key: Vec<E::Column> = E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column).collect();
    match key.split_first() {
        Some((first, others)) if first.as_str() == "shard" => Ok((*first, others.to_vec())),
        _ => Err(StoreError::corrupt(E::default().table_name(), "shard", "does not lead the primary key")),
    }
}

/// One of these rows: keys joined by OR, each found by the primary key.
fn any<E: EntityTrait>(shard: Shard, keys: &[Key]) -> Result<Condition, StoreError> {
    let (of_shard, columns) = columns::<E>()?;
    let any = keys.iter().fold(Condition::any(), |any, key| {
        let whole = Condition::all().add(of_shard.eq(shard.number()));
        let with = |whole: Condition, (column, value): (&E::Column, Value)| whole.add(column.eq(value));
        any.add(columns.iter().zip(key.values()).fold(whole, with))
    });
    Ok(Condition::all().add(of_shard.eq(shard.number())).add(any))
}

fn key_of<E: EntityTrait>(row: &E::Model, columns: &[E::Column]) -> Result<Key, StoreError> {
    let part = |column: &E::Column| match row.get(*column) {
        Value::SmallInt(Some(value)) => Ok(Part::Small(value)),
        Value::Int(Some(value)) => Ok(Part::Int(value)),
        Value::BigInt(Some(value)) => Ok(Part::Big(value)),
        Value::String(Some(value)) => Ok(Part::Text(value)),
        Value::Bytes(Some(value)) => Ok(Part::Bytes(value)),
        _ => Err(unknown::<E>(*column)),
    };
    columns.iter().map(part).collect::<Result<_, _>>().map(Key)
}

impl Key {
    fn values(&self) -> impl Iterator<Item = Value> {
        self.0.iter().map(|part| match part.clone() {
            Part::Small(value) => value.into(),
            Part::Int(value) => value.into(),
            Part::Big(value) => value.into(),
            Part::Text(value) => value.into(),
            Part::Bytes(value) => value.into(),
        })
    }
}

/// Of all columns, each with its length: two rows that differ do not look alike.
fn hash<E: EntityTrait>(row: &E::Model) -> Result<u128, StoreError> {
    let mut hash = Sha256::new();
    for column in E::Column::iter() {
        let mut add = |bytes: Option<&[u8]>| match bytes {
            Some(bytes) => {
                hash.update((bytes.len() as u64).to_be_bytes());
                hash.update(bytes);
            }
            None => hash.update(u64::MAX.to_be_bytes()),
        };
        match row.get(column) {
            Value::SmallInt(value) => add(value.map(i16::to_be_bytes).as_ref().map(|bytes| bytes.as_slice())),
            Value::Int(value) => add(value.map(i32::to_be_bytes).as_ref().map(|bytes| bytes.as_slice())),
            Value::BigInt(value) => add(value.map(i64::to_be_bytes).as_ref().map(|bytes| bytes.as_slice())),
            Value::String(value) => add(value.as_deref().map(str::as_bytes)),
            Value::Bytes(value) => add(value.as_deref()),
            _ => return Err(unknown::<E>(column)),
        }
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hash.finalize()[..16]);
    Ok(u128::from_be_bytes(first))
}

fn unknown<E: EntityTrait>(column: E::Column) -> StoreError {
    StoreError::corrupt(E::default().table_name(), column.as_str(), "of a type that cannot be moved")
}
