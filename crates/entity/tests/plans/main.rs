//! Every query uses the index that `docs/data.md` names for it, on tables as large as they are after a month. The methods
//! themselves are called, and what they ask is explained: no statement is written down here.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong by panicking")]

mod cases;
#[path = "../database/mod.rs"]
mod database;
#[path = "../document/mod.rs"]
mod document;
mod exempt;
mod found;
mod judge;
mod plan;
mod promise;
mod record;
mod rows;
mod seed;

use cases::World;
use database::{Engine, Places};
use entity::StoreConfig;
use judge::Judge;
use plan::Plan;
use sea_orm::{ConnectionTrait, DatabaseConnection};

/// PostgreSQL plans a prepared statement for its values five times before it considers a plan for any values.
const CALLS: usize = 7;

/// What is recorded is recorded of the whole process.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

on_each_engine! {
    async fn every_query_uses_the_key_that_the_document_names(engine) {
        let _alone = ONE_AT_A_TIME.lock().await;
        record::begin();
        let places = Places::make(engine, "plans", 1).await;
        places.store().await.unwrap().close().await;
        let raw = places.raw(0).await;
        if engine == Engine::Postgres {
            record::tell_plans(&raw).await;
        }
        seed::sow(engine, &raw).await;
        // One connection of each kind, so that each statement is prepared once and asked again.
        let config = StoreConfig { readers: 1, writers: 1, ..StoreConfig::default() };
        let world = World::known(places.store_with(config).await.unwrap()).await;
        let findings = match engine {
            Engine::Sqlite => on_sqlite(&world, &raw).await,
            Engine::Postgres => on_postgres(&world).await,
        };
        world.shards.close().await;
        raw.close().await.unwrap();
        assert!(findings.is_empty(), "{} findings:\n\n{}\n", findings.len(), findings.join("\n\n"));
    }
}

/// Nobody analyses a file of the product's; somebody may.
async fn on_sqlite(world: &World, raw: &DatabaseConnection) -> Vec<String> {
    let mut asked = Vec::new();
    for case in cases::all() {
        record::take();
        (case.run)(world).await.unwrap_or_else(|error| panic!("{}: {error}", case.call));
        let mut statements = record::take().statements;
        statements.retain(|sql| ["SELECT", "INSERT", "UPDATE", "DELETE"].iter().any(|word| sql.starts_with(word)));
        asked.push((case, statements));
    }
    let mut judge = Judge::new(Engine::Sqlite);
    for when in ["SQLite", "SQLite, analysed"] {
        for (case, statements) in &asked {
            let mut plans = Vec::new();
            for statement in statements {
                plans.push(Plan::of_sqlite(raw, statement.clone()).await);
            }
            judge.look_at(when, case, &plans);
        }
        raw.execute_unprepared("ANALYZE").await.unwrap();
    }
    judge.findings()
}

async fn on_postgres(world: &World) -> Vec<String> {
    let mut judge = Judge::new(Engine::Postgres);
    for case in cases::all() {
        record::take();
        for _ in 0..CALLS {
            (case.run)(world).await.unwrap_or_else(|error| panic!("{}: {error}", case.call));
        }
        let notices = record::take().notices;
        let plans: Vec<_> = notices.iter().filter_map(|notice| Plan::of_postgres(notice)).collect();
        assert!(plans.len() >= CALLS, "{}: {} plans were told", case.call, plans.len());
        judge.look_at("PostgreSQL", &case, &plans);
    }
    judge.findings()
}
