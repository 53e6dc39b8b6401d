//! The driver index can be compared with the rides' logs: from either end, and as a whole.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use crate::index;

pub(crate) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0006_consistency"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.get_connection().execute_unprepared(who_accepted(m.get_database_backend())).await?;
        let of_acceptances = |name, columns: &[&'static str]| {
            index(name, "ride_events", columns).and_where(Expr::cust("driver_id IS NOT NULL")).to_owned()
        };
        // The acceptances of a driver, in every shard.
        m.create_index(of_acceptances("ix_ride_events_driver", &["shard", "driver_id", "ride_id"])).await?;
        // The acceptances of rides by their age.
        m.create_index(of_acceptances("ix_ride_events_accepted", &["shard", "ride_id", "driver_id"])).await?;
        // The index rows of a ride, and of rides by their age.
        m.create_index(index("ix_driver_rides_ride", "driver_rides", &["shard", "ride_id", "driver_id"])).await?;
        m.create_table(scans()).await?;
        m.create_table(scan_findings()).await?;
        // One scan at a time.
        let running =
            index("uq_scans_running", "scans", &["shard"]).unique().and_where(Expr::cust("state = 0")).to_owned();
        m.create_index(running).await
    }
}

/// Who accepted, by the event itself; NULL for every other event. The database derives it, so that it cannot say anything else
/// than the event does. (Where the cast is written out, PostgreSQL would refuse an event with an escaped NUL.)
fn who_accepted(engine: DbBackend) -> &'static str {
    match engine {
        DbBackend::Sqlite => {
            "ALTER TABLE ride_events ADD COLUMN driver_id varchar(64) GENERATED ALWAYS AS (\
             CASE WHEN instr(change, '\"accepted\"') > 0 AND json_valid(change) THEN \
             CASE WHEN json_extract(change, '$.change') = 'accepted' THEN json_extract(change, '$.driver.id') END END) VIRTUAL"
        }
        _ => {
            "ALTER TABLE ride_events ADD COLUMN driver_id varchar(64) GENERATED ALWAYS AS (\
             CASE WHEN position('\"accepted\"' in change) > 0 AND position('\\u0000' in change) = 0 THEN \
             CASE WHEN change::jsonb ->> 'change' = 'accepted' THEN change::jsonb #>> '{driver,id}' END END) STORED"
        }
    }
}

/// All of them lie in one shard.
fn scans() -> TableCreateStatement {
    let mut key = Index::create();
    key.name("pk_scans").col("shard").col("id");
    Table::create()
        .table("scans")
        .col(small("shard"))
        .col(big("id"))
        .col(small("state"))
        // One more each time somebody takes it up: who did so before may not go on.
        .col(int("epoch"))
        .col(big("lease_until"))
        // Hours of ride ids.
        .col(int("first_hour"))
        .col(int("next_hour"))
        .col(int("last_hour"))
        .col(big("acceptances"))
        .col(big("index_rows"))
        .col(big("missing_index"))
        .col(big("stale_index"))
        .col(big("in_doubt"))
        .col(big("in_flight"))
        .col(int("findings"))
        .col(big("worked_ms"))
        .col(ColumnDef::new("finished_at").big_integer())
        .col(ColumnDef::new("last_error").string_len(500))
        .primary_key(&mut key)
        .to_owned()
}

fn scan_findings() -> TableCreateStatement {
    let mut key = Index::create();
    key.name("pk_scan_findings").col("shard").col("scan_id").col("number");
    let mut scan = ForeignKey::create();
    scan.from_col("shard").from_col("scan_id").to_tbl("scans").to_col("shard").to_col("id");
    Table::create()
        .table("scan_findings")
        .col(small("shard"))
        .col(big("scan_id"))
        .col(int("number"))
        // The row of the driver index: where it lies or belongs.
        .col(small("index_shard"))
        .col(ColumnDef::new("driver_id").string_len(64).not_null())
        .col(big("ride_id"))
        .col(small("state"))
        // NULL until it has been put right.
        .col(ColumnDef::new("repaired").small_integer())
        .primary_key(&mut key)
        .foreign_key(&mut scan)
        .to_owned()
}

fn small(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).small_integer().not_null().to_owned()
}

fn int(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).integer().not_null().to_owned()
}

fn big(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().to_owned()
}
