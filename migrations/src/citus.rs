//! A database that is a Citus cluster: the tables are distributed over its nodes by `shard`, so that everything of a shard
//! lies on one node and one transaction there is as local as on a plain server (`docs/decisions/0020-citus.md`).

use std::collections::BTreeMap;

use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

/// The tables that are distributed, all by `shard`, each behind those that it refers to. A step that makes a table names it
/// here or in [`LOCAL`].
pub const DISTRIBUTED: [&str; 17] = [
    "passengers",
    "sessions",
    "otp_challenges",
    "otp_budgets",
    "known_devices",
    "quotes",
    "rides",
    "ride_events",
    "driver_rides",
    "payments",
    "ratings",
    "idempotency_keys",
    "outbox",
    "transactions",
    "barriers",
    "scans",
    "scan_findings",
];

/// The tables that stay where the gateway connects to, on the coordinator, and why. No statement reads one together with a
/// distributed one, which is all that a copy on every node would be good for, and a copy is locked and written everywhere.
pub const LOCAL: [(&str, &str); 4] = [
    ("seaql_migrations", "the steps this database has had: read and written by whoever migrates"),
    ("migration_lock", "its row is held while somebody migrates"),
    ("store_identity", "one row, read at the start"),
    (
        "shard_map",
        "every write holds a row of it, before anything else; `shard` is what it speaks of, not where it lies",
    ),
];

/// The one whose pieces all others follow.
const FIRST: &str = DISTRIBUTED[0];

/// Into how many pieces the tables are cut: room for as many nodes, sixteen shards each on average. Citus can change it later.
const PIECES: u8 = 64;

/// Before anything else in the transaction of a migration: one connection to each node, so that a step which changes a table
/// and a step which makes one do not hinder each other.
const ONE_AFTER_THE_OTHER: &str = "SET LOCAL citus.multi_shard_modify_mode TO 'sequential'";

/// Whether the database is a Citus cluster.
///
/// # Errors
/// The database fails.
pub async fn is_present(connection: &impl ConnectionTrait) -> Result<bool, DbErr> {
    if connection.get_database_backend() != DbBackend::Postgres {
        return Ok(false);
    }
    let asked = Statement::from_string(DbBackend::Postgres, "SELECT 1 FROM pg_extension WHERE extname = 'citus'");
    Ok(connection.query_one_raw(asked).await?.is_some())
}

/// Prepares the transaction of a migration.
///
/// # Errors
/// The database fails.
pub async fn begin(transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
    transaction.execute_unprepared(ONE_AFTER_THE_OTHER).await.map(drop)
}

/// Distributes the tables that are not distributed yet, when all of them are there; which ones it were. A row that was
/// written before goes along.
///
/// # Errors
/// The database fails, or somebody has distributed one of the tables in another way.
pub async fn distribute(transaction: &impl ConnectionTrait) -> Result<Vec<&'static str>, DbErr> {
    let found = distributed(transaction).await?;
    let together = found.get(FIRST).map(|(_, group)| *group);
    let mut done = Vec::new();
    for table in DISTRIBUTED {
        match found.get(table) {
            None => {
                transaction.execute_unprepared(&statement(table)).await?;
                done.push(table);
            }
            Some((column, group)) if column == "shard" && Some(*group) == together => {}
            Some((column, _)) => {
                return Err(DbErr::Custom(format!(
                    "the table `{table}` was distributed by `{column}` already, and not as it must be, by `shard` together \
                     with `{FIRST}`: call undistribute_table('{table}') and start again"
                )));
            }
        }
    }
    Ok(done)
}

/// Everything that a first migration sends to a cluster beside the steps, in its order.
#[must_use]
pub fn statements() -> Vec<String> {
    std::iter::once(ONE_AFTER_THE_OTHER.to_owned()).chain(DISTRIBUTED.map(statement)).collect()
}

/// The first says into how many pieces. The others follow it, and may not say: Citus takes one or the other.
fn statement(table: &str) -> String {
    let how = match table {
        FIRST => format!("colocate_with => 'none', shard_count => {PIECES}"),
        _ => format!("colocate_with => '{FIRST}'"),
    };
    format!("SELECT create_distributed_table('{table}', 'shard', {how})")
}

/// The tables that Citus has distributed by a column: by which, and the number of the group that lies together.
async fn distributed(connection: &impl ConnectionTrait) -> Result<BTreeMap<String, (String, i32)>, DbErr> {
    let asked = Statement::from_string(
        DbBackend::Postgres,
        "SELECT relname::text, column_to_column_name(logicalrelid, partkey)::text, colocationid::int \
         FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid \
         WHERE relnamespace = current_schema()::regnamespace AND partkey IS NOT NULL",
    );
    let mut found = BTreeMap::new();
    for row in connection.query_all_raw(asked).await? {
        found.insert(row.try_get_by_index(0)?, (row.try_get_by_index(1)?, row.try_get_by_index(2)?));
    }
    Ok(found)
}
