//! Table `scan_findings`: rows of the driver index that did not agree with the logs.

use sea_orm::{ActiveValue::Set, QueryOrder, QuerySelect, entity::prelude::*};

use super::{MOST_FINDINGS, Scan};
use crate::{
    IndexRow,
    store::{Conn, Rows, StoreError, Tx},
    value::{DriverId, Id, Shard},
};

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "scan_findings")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub scan_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub number: i32,
        pub index_shard: i16,
        pub driver_id: String,
        pub ride_id: i64,
        pub state: i16,
        pub repaired: Option<i16>,
    }

    no_relations!();
}

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::Entity>()
}

/// Rows of one statement: engines bound its parameters.
const ROWS_A_STATEMENT: usize = 500;

/// In which way index and log do not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum Mismatch {
    /// An acceptance without its row.
    MissingIndex = 1,
    /// A row without an acceptance, or where nobody looks for it.
    StaleIndex = 2,
    /// Nobody can tell.
    InDoubt = 3,
}

/// What a repair made of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum Mended {
    /// Nothing: it agreed by then.
    Nothing = 0,
    /// The missing row was written.
    Written = 1,
    /// The stale row was removed.
    Removed = 2,
}

/// Something that did not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its place among the findings of its scan, from 1.
    pub number: i64,
    /// The row of the driver index, where it lies or belongs.
    pub row: IndexRow,
    /// In which way.
    pub mismatch: Mismatch,
    /// What was made of it, if anything.
    pub mended: Option<Mended>,
}

impl Finding {
    /// A page of what a scan found, in its order, after a number.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails or a row cannot be read.
    pub async fn page(conn: impl Into<Conn<'_>>, scan: &Scan, after: i64, limit: u64) -> Result<Vec<Self>, StoreError> {
        let rows = row::Entity::find()
            .filter(row::Column::Shard.eq(Scan::SHARD.number()))
            .filter(row::Column::ScanId.eq(scan.id.value()))
            // What lies beyond was noted after the last checkpoint.
            .filter(row::Column::Number.lte(number(scan.counts.findings)?))
            .filter(row::Column::Number.gt(i32::try_from(after).unwrap_or(i32::MAX)))
            .order_by_asc(row::Column::Number)
            .limit(limit)
            .all(&conn.into().0)
            .await?;
        rows.into_iter().map(Self::from_row).collect()
    }

    /// How many of them nothing was made of yet.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn left(conn: impl Into<Conn<'_>>, scan: &Scan) -> Result<u64, StoreError> {
        let left = row::Entity::find()
            .filter(row::Column::Shard.eq(Scan::SHARD.number()))
            .filter(row::Column::ScanId.eq(scan.id.value()))
            .filter(row::Column::Number.lte(number(scan.counts.findings)?))
            .filter(row::Column::Repaired.is_null());
        Ok(left.count(&conn.into().0).await?)
    }

    /// Notes what was made of it.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn mark(&self, tx: &Tx, scan_id: Id<Scan>, mended: Mended) -> Result<(), StoreError> {
        let at = u64::try_from(self.number).unwrap_or(0);
        row::Entity::update_many()
            .col_expr(row::Column::Repaired, Expr::value(Some(mended as i16)))
            .filter(row::Column::Shard.eq(Scan::SHARD.number()))
            .filter(row::Column::ScanId.eq(scan_id.value()))
            .filter(row::Column::Number.eq(number(at)?))
            .exec(&tx.inner)
            .await?;
        Ok(())
    }

    pub(super) async fn insert(
        tx: &Tx,
        scan_id: Id<Scan>,
        after: u64,
        found: &[(IndexRow, Mismatch)],
    ) -> Result<(), StoreError> {
        let numbered = (after + 1..=MOST_FINDINGS).zip(found);
        let mut rows = Vec::with_capacity(found.len());
        for (at, (row, mismatch)) in numbered {
            rows.push(row::ActiveModel {
                shard: Set(Scan::SHARD.number()),
                scan_id: Set(scan_id.value()),
                number: Set(number(at)?),
                index_shard: Set(row.shard.number()),
                driver_id: Set(row.driver_id.as_str().to_owned()),
                ride_id: Set(row.ride_id.value()),
                state: Set(*mismatch as i16),
                repaired: Set(None),
            });
        }
        for rows in rows.chunks(ROWS_A_STATEMENT) {
            row::Entity::insert_many(rows.to_vec()).exec_without_returning(&tx.inner).await?;
        }
        Ok(())
    }

    /// Forgets what was noted after the last checkpoint.
    pub(super) async fn forget_after(tx: &Tx, scan: &Scan) -> Result<(), StoreError> {
        let after = row::Column::Number.gt(number(scan.counts.findings)?);
        Self::of(scan.id).filter(after).exec(&tx.inner).await?;
        Ok(())
    }

    pub(super) async fn forget_all(tx: &Tx, scan_id: Id<Scan>) -> Result<(), StoreError> {
        Self::of(scan_id).exec(&tx.inner).await?;
        Ok(())
    }

    fn of(scan_id: Id<Scan>) -> sea_orm::DeleteMany<row::Entity> {
        row::Entity::delete_many()
            .filter(row::Column::Shard.eq(Scan::SHARD.number()))
            .filter(row::Column::ScanId.eq(scan_id.value()))
    }

    fn from_row(row: row::Model) -> Result<Self, StoreError> {
        let corrupt = |column| StoreError::corrupt("scan_findings", column, "not one of the known numbers");
        let mismatch = [Mismatch::MissingIndex, Mismatch::StaleIndex, Mismatch::InDoubt];
        let mended = [Mended::Nothing, Mended::Written, Mended::Removed];
        let known =
            |code: i16| mended.into_iter().find(|known| *known as i16 == code).ok_or_else(|| corrupt("repaired"));
        let index_shard = u16::try_from(row.index_shard).ok().and_then(Shard::new);
        Ok(Self {
            number: row.number.into(),
            row: IndexRow {
                shard: index_shard.ok_or_else(|| corrupt("index_shard"))?,
                driver_id: DriverId::raw(row.driver_id),
                ride_id: Id::raw(row.ride_id),
            },
            mismatch: mismatch.into_iter().find(|m| *m as i16 == row.state).ok_or_else(|| corrupt("state"))?,
            mended: row.repaired.map(known).transpose()?,
        })
    }
}

fn number(number: u64) -> Result<i32, StoreError> {
    i32::try_from(number).map_err(|error| StoreError::corrupt("scan_findings", "number", error))
}
