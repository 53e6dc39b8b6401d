//! Rows of `scans`.

use std::fmt::Display;

use sea_orm::ActiveValue::Set;

use super::{Scan, ScanCounts, ScanState};
use crate::{
    store::StoreError,
    value::{Id, Millis},
};

pub(super) mod scan {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "scans")]
    pub(in crate::scan) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shard: i16,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub state: i16,
        pub epoch: i32,
        pub lease_until: i64,
        pub first_hour: i32,
        pub next_hour: i32,
        pub last_hour: i32,
        pub acceptances: i64,
        pub index_rows: i64,
        pub missing_index: i64,
        pub stale_index: i64,
        pub in_doubt: i64,
        pub in_flight: i64,
        pub findings: i32,
        pub worked_ms: i64,
        pub finished_at: Option<i64>,
        pub last_error: Option<String>,
    }

    no_relations!();
}

impl Scan {
    /// The columns that change.
    pub(super) fn changing(&self) -> Result<scan::ActiveModel, StoreError> {
        let counts = &self.counts;
        Ok(scan::ActiveModel {
            state: Set(self.state as i16),
            epoch: Set(self.epoch),
            lease_until: Set(self.lease_until.0),
            next_hour: Set(self.next_hour),
            acceptances: Set(signed(counts.acceptances)?),
            index_rows: Set(signed(counts.index_rows)?),
            missing_index: Set(signed(counts.missing_index)?),
            stale_index: Set(signed(counts.stale_index)?),
            in_doubt: Set(signed(counts.in_doubt)?),
            in_flight: Set(signed(counts.in_flight)?),
            findings: Set(i32::try_from(counts.findings).map_err(corrupt)?),
            worked_ms: Set(self.worked_ms),
            finished_at: Set(self.finished_at.map(|at| at.0)),
            last_error: Set(self.last_error.clone()),
            ..Default::default()
        })
    }

    /// All columns.
    pub(super) fn new_row(&self) -> Result<scan::ActiveModel, StoreError> {
        Ok(scan::ActiveModel {
            shard: Set(Self::SHARD.number()),
            id: Set(self.id.value()),
            first_hour: Set(self.first_hour),
            last_hour: Set(self.last_hour),
            ..self.changing()?
        })
    }
}

impl TryFrom<scan::Model> for Scan {
    type Error = StoreError;

    fn try_from(row: scan::Model) -> Result<Self, StoreError> {
        let count = |number: i64| u64::try_from(number).map_err(corrupt);
        Ok(Self {
            id: Id::raw(row.id),
            state: if row.state == ScanState::Running as i16 { ScanState::Running } else { ScanState::Finished },
            epoch: row.epoch,
            lease_until: Millis(row.lease_until),
            first_hour: row.first_hour,
            next_hour: row.next_hour,
            last_hour: row.last_hour,
            counts: ScanCounts {
                acceptances: count(row.acceptances)?,
                index_rows: count(row.index_rows)?,
                missing_index: count(row.missing_index)?,
                stale_index: count(row.stale_index)?,
                in_doubt: count(row.in_doubt)?,
                in_flight: count(row.in_flight)?,
                findings: count(row.findings.into())?,
            },
            worked_ms: row.worked_ms,
            finished_at: row.finished_at.map(Millis),
            last_error: row.last_error,
        })
    }
}

fn signed(count: u64) -> Result<i64, StoreError> {
    i64::try_from(count).map_err(corrupt)
}

fn corrupt(error: impl Display) -> StoreError {
    StoreError::corrupt("scans", "counts", error)
}
