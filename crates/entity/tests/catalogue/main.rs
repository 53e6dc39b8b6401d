//! The rules of "one schema" (`docs/data.md`), read from the catalogue of a migrated database of each engine: what a migration
//! really made, whatever it says. And the document itself, which must list the same.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong by panicking")]

mod citus;
mod comparison;
#[path = "../database/mod.rs"]
mod database;
#[path = "../document/mod.rs"]
mod document;
mod reader;

use database::{Database, Engine};
use reader::{Catalogue, Kind, Table};

/// Tables that lie in no shard, and why they need none.
const WITHOUT_SHARD: [(&str, &str); 3] = [
    ("store_identity", "speaks of the database itself: which one of the store it is"),
    ("migration_lock", "held by whoever migrates this database"),
    ("seaql_migrations", "the migration library's own: the steps this database has had"),
];

/// Indexes that begin with another column than the shard: due work is read for all shards of a database at once. None is
/// unique, so none has to be looked up elsewhere.
const DUE: [&str; 4] = ["due_at", "dead_at", "expires_at", "full_at"];

/// A migrated database as it describes itself.
async fn migrated(engine: Engine) -> Catalogue {
    let database = Database::open(engine, "catalogue").await;
    reader::read(&database.raw(0).await).await
}

fn assert_none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

fn lies_in_a_shard(name: &str) -> bool {
    WITHOUT_SHARD.iter().all(|(exempt, _)| *exempt != name)
}

/// What breaks the rules, a line each.
fn findings(catalogue: &Catalogue) -> Vec<String> {
    let mut findings: Vec<String> = catalogue.triggers.iter().map(|name| format!("{name} is a trigger")).collect();
    for table in catalogue.tables.iter().filter(|table| lies_in_a_shard(&table.name)) {
        findings.extend(findings_in(table).into_iter().map(|finding| format!("{}: {finding}", table.name)));
    }
    findings
}

fn findings_in(table: &Table) -> Vec<String> {
    let mut findings = Vec::new();
    match table.columns.first() {
        Some(shard) if shard.name == "shard" => {
            if shard.kind != "smallint" || shard.is_null || shard.is_generated {
                findings.push(format!("shard must be a plain smallint not null, and is {shard:?}"));
            }
        }
        first => findings.push(format!("its first column must be shard, and is {first:?}")),
    }
    if table.keys.iter().filter(|key| key.kind == Kind::Primary).count() != 1 {
        findings.push("it has no primary key".to_owned());
    }
    for key in &table.keys {
        let leads = key.columns.first().is_some_and(|first| first == "shard");
        let is_due = key.kind == Kind::Index && key.columns.len() == 1 && DUE.contains(&&*key.columns[0]);
        if !leads && !is_due {
            findings.push(format!("shard must lead {key}"));
        }
    }
    for relation in &table.relations {
        let leads = |columns: &[String]| columns.first().is_some_and(|first| first == "shard");
        if !leads(&relation.columns) || !leads(&relation.their_columns) || !lies_in_a_shard(&relation.table) {
            findings.push(format!("{relation} leaves the shard"));
        }
        // A parent is never deleted, and a shard never updated: what else would happen then would happen unseen.
        if relation.on_delete != "NO ACTION" || relation.on_update != "NO ACTION" {
            let (on_delete, on_update) = (&relation.on_delete, &relation.on_update);
            findings.push(format!("{relation} says ON DELETE {on_delete}, ON UPDATE {on_update}"));
        }
    }
    findings
}

on_each_engine! {
    async fn the_shard_leads_every_key_and_no_relation_leaves_it(engine) {
        let catalogue = migrated(engine).await;
        assert_none("the schema does not run unchanged on every engine", &findings(&catalogue));
        for (exempt, why) in WITHOUT_SHARD {
            let needed = catalogue.tables.iter().find(|table| table.name == exempt).map(findings_in);
            let elsewhere = engine == Engine::Sqlite && exempt == "migration_lock";
            assert!(elsewhere || needed.is_some_and(|findings| !findings.is_empty()), "{exempt} ({why}) needs no exemption");
        }
    }

    async fn the_document_lists_every_table_column_index_and_relation_and_nothing_else(engine) {
        assert_none("docs/data.md differs from what the migrations make", &comparison::differences(&migrated(engine).await));
    }

    async fn what_breaks_a_rule_is_found(engine) {
        let database = Database::open(engine, "broken").await;
        let raw = database.raw(0).await;
        for (statement, found) in [
            ("CREATE TABLE a (shard integer, id bigint, PRIMARY KEY (shard, id))", "a: shard must be a plain smallint"),
            ("CREATE TABLE b (id bigint, shard smallint NOT NULL, PRIMARY KEY (shard, id))", "b: its first column must be shard"),
            ("CREATE TABLE c (shard smallint NOT NULL, id bigint PRIMARY KEY)", "c: shard must lead the primary key (id)"),
            ("CREATE TABLE d (shard smallint NOT NULL, id bigint)", "d: it has no primary key"),
            ("CREATE UNIQUE INDEX e ON passengers (email)", "passengers: shard must lead the unique index e (email)"),
            ("CREATE INDEX f ON passengers (locale)", "passengers: shard must lead the index f (locale)"),
            ("CREATE INDEX g ON passengers (shard, locale)", ""),
            (
                "CREATE TABLE h (shard smallint NOT NULL, id bigint, map smallint REFERENCES shard_map (shard), \
                 PRIMARY KEY (shard, id))",
                "h: (map) → shard_map (shard) leaves the shard",
            ),
            (
                "CREATE TABLE i (shard smallint NOT NULL, id bigint, PRIMARY KEY (shard, id), \
                 FOREIGN KEY (shard, id) REFERENCES passengers (shard, id) ON DELETE SET NULL)",
                "i: (shard, id) → passengers (shard, id) says ON DELETE SET NULL",
            ),
            (trigger(engine), "j is a trigger"),
        ] {
            let before = findings(&reader::read(&raw).await);
            sea_orm::ConnectionTrait::execute_unprepared(&raw, statement).await.unwrap();
            let after = findings(&reader::read(&raw).await);
            let new: Vec<_> = after.iter().filter(|finding| !before.contains(finding)).collect();
            assert_eq!(new.len(), usize::from(!found.is_empty()), "{statement}: {new:?}");
            assert!(new.iter().all(|finding| finding.starts_with(found)), "{statement}: {new:?}");
            let different = comparison::differences(&reader::read(&raw).await);
            assert!(!different.is_empty(), "{statement}: the document does not have it");
        }
    }
}

fn trigger(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "CREATE TRIGGER j AFTER DELETE ON quotes BEGIN SELECT 1; END",
        Engine::Postgres => {
            "CREATE TRIGGER j BEFORE UPDATE ON quotes FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        }
    }
}
