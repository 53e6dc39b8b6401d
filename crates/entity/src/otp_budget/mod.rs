//! Table `otp_budgets`: how many more codes may be sent to a phone, for an address, for a device, and at all. A bucket is
//! a row; one that is full needs none.

mod allowance;

use futures_util::future::try_join_all;
use sea_orm::{
    ActiveValue::Set,
    Condition, QueryFilter, QueryOrder, Select, UpdateMany,
    entity::prelude::*,
    sea_query::{ExprTrait, OnConflict},
};

pub use allowance::{Allowance, Standing};

use row::Column;

use crate::{
    store::{Conn, Rows, Shards, StoreError, Tx, purge},
    value::{Millis, Shard},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "otp_budgets")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub kind: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub key_hash: Vec<u8>,
        pub full_at: i64,
    }

    no_relations!();
}

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::Entity>()
}

/// What a budget counts. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OtpBudgetKind {
    /// Codes sent to one phone.
    Phone = 0,
    /// Those of them that one address asked for.
    PhoneAddress = 1,
    /// Codes that one address asked for.
    Address = 2,
    /// Codes that one device asked for.
    Device = 3,
    /// All codes.
    Global = 4,
}

/// One budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtpBudget {
    /// Where its row lives: with the phone, or by its own hash.
    pub shard: Shard,
    /// What it counts.
    pub kind: OtpBudgetKind,
    /// Whose it is; a keyed hash, so that the table tells nobody who asked for a code.
    pub key_hash: [u8; 32],
    /// How much it is.
    pub allowance: Allowance,
}

/// What some budgets say about one more code.
#[derive(Clone, Debug)]
pub struct OtpVerdict(Vec<(OtpBudget, Standing)>);

impl OtpBudget {
    /// Asks `budgets` for one code, wherever their rows lie. Nothing is taken.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails.
    pub async fn ask(shards: &Shards, budgets: &[Self], now: Millis) -> Result<OtpVerdict, StoreError> {
        let groups = shards.group_by_database(budgets.iter().copied(), |budget| budget.shard);
        let asked = try_join_all(groups.map(|(database, group)| Self::ask_one(database.conn(), group, now))).await?;
        Ok(OtpVerdict::joined(asked))
    }

    /// Takes a code from every one of `budgets`, which lie in the transaction's database, if every one has one; from none
    /// otherwise: then the verdict says how long to wait.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn take(tx: &Tx, budgets: &[Self], now: Millis) -> Result<OtpVerdict, StoreError> {
        // Whoever takes from the same budgets waits, and all come in the same order.
        let query = tx.hold(Self::rows(budgets).order_by_asc(Column::Shard).order_by_asc(Column::Kind));
        let found = query.order_by_asc(Column::KeyHash).all(&tx.inner).await?;
        let verdict = OtpVerdict::of(budgets, &found, now);
        let (mut known, mut new) = (Vec::new(), Vec::new());
        for (budget, standing) in &verdict.0 {
            let Standing::Admits { full_at, .. } = standing else { return Ok(verdict) };
            let row = row::ActiveModel {
                shard: Set(budget.shard.number()),
                kind: Set(budget.kind as i16),
                key_hash: Set(budget.key_hash.to_vec()),
                full_at: Set(full_at.0),
            };
            if found.iter().any(|found| budget.is_kept_in(found)) { known.push(row) } else { new.push(row) }
        }
        if !known.is_empty() {
            let key = [Column::Shard, Column::Kind, Column::KeyHash];
            let replace = OnConflict::columns(key).update_column(Column::FullAt).to_owned();
            row::Entity::insert_many(known).on_conflict(replace).exec_without_returning(&tx.inner).await?;
        }
        // A row that is not there cannot be held: where several write at once, a racer may have just made it.
        let wanted = new.len() as u64;
        if wanted > 0 && tx.insert_unless_there(new).await? < wanted {
            return Err(tx.collision());
        }
        Ok(verdict)
    }

    /// Gives a code that was taken back to every one of `budgets`, which lie in the transaction's database: it was not sent.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn give_back(tx: &Tx, budgets: &[Self]) -> Result<(), StoreError> {
        let mut in_order = budgets.to_vec();
        in_order.sort_by_key(|budget| (budget.shard, budget.kind as i16, budget.key_hash));
        for budget in in_order {
            budget.earlier().exec(&tx.inner).await?;
        }
        Ok(())
    }

    /// `budgets` by the database that their rows lie in: those of the database that holds `home`, then the others, in the
    /// order of the databases. A group is one transaction on the shard of any of its budgets.
    #[must_use]
    pub fn by_database(shards: &Shards, budgets: Vec<Self>, home: Shard) -> (Vec<Self>, Vec<Vec<Self>>) {
        let groups = shards.group_by_database(budgets, |budget| budget.shard).map(|(_, group)| group);
        let (mut at_home, mut others) = (Vec::new(), Vec::new());
        for group in groups {
            match group.first() {
                Some(first) if shards.same_database(first.shard, home) => at_home = group,
                _ => others.push(group),
            }
        }
        (at_home, others)
    }

    /// Removes the rows of buckets that were full by `before`, the oldest `limit`, and says how many; due work, so it
    /// names no shard. No row means a full bucket.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn purge_full(tx: &Tx, before: Millis, limit: u64) -> Result<u64, StoreError> {
        purge::oldest::<row::Entity>(tx, Column::FullAt, before, limit).await
    }

    async fn ask_one(conn: Conn<'_>, budgets: Vec<Self>, now: Millis) -> Result<OtpVerdict, StoreError> {
        let found = Self::rows(&budgets).all(&conn.0).await?;
        Ok(OtpVerdict::of(&budgets, &found, now))
    }

    fn is_kept_in(&self, row: &row::Model) -> bool {
        row.kind == self.kind as i16 && row.key_hash == self.key_hash
    }

    /// The rows lie in several shards: keys joined by OR, each found by the primary key.
    fn rows(budgets: &[Self]) -> Select<row::Entity> {
        let any = budgets.iter().fold(Condition::any(), |any, budget| any.add(budget.key()));
        row::Entity::find().filter(any)
    }

    fn earlier(&self) -> UpdateMany<row::Entity> {
        let earlier = Expr::col(Column::FullAt).sub(self.allowance.interval_ms());
        row::Entity::update_many().col_expr(Column::FullAt, earlier).filter(self.key())
    }

    fn key(&self) -> Condition {
        Condition::all()
            .add(Column::Shard.eq(self.shard.number()))
            .add(Column::Kind.eq(self.kind as i16))
            .add(Column::KeyHash.eq(self.key_hash.to_vec()))
    }
}

impl OtpVerdict {
    fn of(budgets: &[OtpBudget], rows: &[row::Model], now: Millis) -> Self {
        let standing = |budget: &OtpBudget| {
            let row = rows.iter().find(|row| budget.is_kept_in(row));
            (*budget, budget.allowance.ask(row.map(|row| Millis(row.full_at)), now))
        };
        Self(budgets.iter().map(standing).collect())
    }

    /// Several verdicts as one: what is not the asker's alone comes before the device.
    #[must_use]
    pub fn joined(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut standings: Vec<_> = parts.into_iter().flat_map(|part| part.0).collect();
        standings.sort_by_key(|(budget, _)| (budget.kind == OtpBudgetKind::Device, budget.kind as i16));
        Self(standings)
    }

    /// Each budget and what it says.
    pub fn standings(&self) -> impl Iterator<Item = &(OtpBudget, Standing)> {
        self.0.iter()
    }

    /// How long until every budget has a code, milliseconds; 0: they all have one.
    #[must_use]
    pub fn wait_ms(&self) -> i64 {
        let wait_ms = |standing| match standing {
            Standing::Admits { .. } => 0,
            Standing::Refuses { wait_ms } => wait_ms,
        };
        self.0.iter().map(|(_, standing)| wait_ms(*standing)).max().unwrap_or(0)
    }
}
