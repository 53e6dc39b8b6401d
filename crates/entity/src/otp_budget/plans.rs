//! How the database finds the rows, when there are many.

use migrations::Migrator;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, QueryOrder, QueryTrait, Statement};
use sea_orm_migration::MigratorTrait;

use super::*;

const ROWS: &str = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
    INSERT INTO otp_budgets (shard, kind, key_hash, full_at)
    SELECT i % 1024, i % 5, randomblob(32), 1790000000000 + i FROM n";

/// With every column: the database can skip over the first, at the price of a search in each shard.
const WHOLE_KEY: &str = "sqlite_autoindex_otp_budgets_1 (shard=? AND kind=? AND key_hash=?)";

async fn many_rows() -> DatabaseConnection {
    let database = Database::connect("sqlite::memory:").await.unwrap();
    Migrator::up(&database, None).await.unwrap();
    database.execute_unprepared(ROWS).await.unwrap();
    database.execute_unprepared("ANALYZE").await.unwrap();
    database
}

/// What SQLite would do, a line a step.
async fn plan(database: &DatabaseConnection, statement: Statement) -> String {
    let explain = Statement { sql: format!("EXPLAIN QUERY PLAN {}", statement.sql), ..statement };
    let steps = database.query_all_raw(explain).await.unwrap();
    let steps: Vec<String> = steps.iter().map(|step| step.try_get("", "detail").unwrap()).collect();
    steps.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_found_by_its_key_and_what_is_full_by_its_time() {
    let database = many_rows().await;
    let budget = |number: u8| OtpBudget {
        shard: Shard::from_first_bits(&[number; 32]),
        kind: OtpBudgetKind::Address,
        key_hash: [number; 32],
        allowance: Allowance::new(20, 600),
    };
    let read = OtpBudget::rows(&[budget(1), budget(2), budget(3)]).build(DbBackend::Sqlite);
    let full = Column::FullAt.lte(1_790_000_000_500_i64);
    let (next, gone) = (row::Entity::find().filter(full.clone()), row::Entity::delete_many().filter(full));
    for (statement, search, times) in [
        (read, WHOLE_KEY, 3),
        (budget(1).earlier().build(DbBackend::Sqlite), WHOLE_KEY, 1),
        (next.order_by_asc(Column::FullAt).build(DbBackend::Sqlite), "ix_otp_budgets_full", 1),
        (gone.build(DbBackend::Sqlite), "ix_otp_budgets_full", 1),
    ] {
        let plan = plan(&database, statement).await;
        assert!(!plan.contains("SCAN"), "{plan}");
        assert_eq!(plan.matches(search).count(), times, "{plan}");
    }
}
