//! What a migration sends where the database is a Citus cluster. There is none here: a schema stands in for the extension,
//! refuses what Citus would refuse, and notes what it was asked.

use futures_util::future::join_all;
use migrations::citus::{DISTRIBUTED, LOCAL, statements};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

use super::*;
use crate::database::{Places, has_postgres};

const SNAPSHOT: &str = include_str!("../../../../tests/snapshots/citus.sql");

/// Found before the catalogue's own, because the path says so.
const STAND_IN: &str = "
    CREATE SCHEMA stand_in;
    CREATE TABLE stand_in.pg_extension AS SELECT 'citus' AS extname;
    CREATE TABLE stand_in.pg_dist_partition (logicalrelid regclass, partkey text, colocationid int);
    CREATE TABLE stand_in.asked (number serial, statement text);
    CREATE FUNCTION stand_in.column_to_column_name(regclass, text) RETURNS text LANGUAGE sql AS 'SELECT $2';
    CREATE FUNCTION stand_in.create_distributed_table(
        table_name regclass, distribution_column text, colocate_with text DEFAULT 'default', shard_count int DEFAULT NULL
    ) RETURNS void LANGUAGE plpgsql AS $function$
    DECLARE
        parent regclass;
        followed int;
    BEGIN
        IF current_setting('citus.multi_shard_modify_mode', true) IS DISTINCT FROM 'sequential' THEN
            RAISE 'in parallel';
        END IF;
        IF EXISTS (SELECT 1 FROM stand_in.pg_dist_partition WHERE logicalrelid = table_name) THEN
            RAISE '% is distributed already', table_name;
        END IF;
        SELECT confrelid INTO parent FROM pg_constraint WHERE contype = 'f' AND conrelid = table_name
            AND confrelid NOT IN (SELECT logicalrelid FROM stand_in.pg_dist_partition);
        IF parent IS NOT NULL THEN
            RAISE '% refers to %, which is not distributed', table_name, parent;
        END IF;
        IF colocate_with = 'none' THEN
            SELECT coalesce(max(colocationid), 0) + 1 INTO followed FROM stand_in.pg_dist_partition;
        ELSIF shard_count IS NOT NULL THEN
            RAISE 'colocate_with or shard_count, not both';
        ELSE
            SELECT colocationid INTO STRICT followed FROM stand_in.pg_dist_partition WHERE logicalrelid = colocate_with::regclass;
        END IF;
        INSERT INTO stand_in.pg_dist_partition VALUES (table_name, distribution_column, followed);
        INSERT INTO stand_in.asked (statement) VALUES (current_query());
    END
    $function$;
    DO $path$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET search_path = public, stand_in, pg_catalog', current_database());
    END $path$";

/// Empty databases, the first of which looks like a cluster.
async fn cluster(name: &str, databases: usize) -> Places {
    let places = Places::make(Engine::Postgres, name, databases).await;
    places.raw(0).await.execute_unprepared(STAND_IN).await.unwrap();
    places
}

/// What it was asked since the last time.
async fn asked(cluster: &DatabaseConnection) -> Vec<String> {
    let take = "WITH gone AS (DELETE FROM asked RETURNING *) SELECT statement FROM gone ORDER BY number";
    let rows = cluster.query_all_raw(Statement::from_string(cluster.get_database_backend(), take)).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

async fn execute(cluster: &DatabaseConnection, statement: &str) {
    cluster.execute_unprepared(statement).await.unwrap();
}

#[test]
fn what_a_migration_sends_to_a_cluster_is_what_was_agreed() {
    let now: String = statements().iter().map(|statement| format!("{statement};\n")).collect();
    assert_eq!(now, SNAPSHOT, "look, then write this to tests/snapshots/citus.sql:\n{now}");
}

on_each_engine! {
    async fn every_table_is_distributed_behind_those_it_refers_to_or_stays_for_a_reason(engine) {
        let tables = migrated(engine).await.tables;
        let place = |name: &str| DISTRIBUTED.iter().position(|distributed| *distributed == name);
        for table in &tables {
            let stays = LOCAL.iter().any(|(local, _)| *local == table.name);
            assert!(place(&table.name).is_some() != stays, "{}: in one of the two lists", table.name);
            for relation in &table.relations {
                assert!(place(&relation.table) < place(&table.name), "{} refers to {}", table.name, relation.table);
            }
        }
        let listed = LOCAL.iter().map(|(name, _)| *name).chain(DISTRIBUTED);
        for name in listed.filter(|name| engine == Engine::Postgres || *name != "migration_lock") {
            assert!(tables.iter().any(|table| table.name == name), "there is no table {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_together_distribute_every_table_once() {
    if !has_postgres() {
        return;
    }
    let places = cluster("citus", 1).await;
    let raw = places.raw(0).await;
    for started in join_all([places.store(), places.store(), places.store()]).await {
        started.unwrap();
    }
    assert_eq!(asked(&raw).await, statements()[1..]);
    places.store().await.unwrap();
    assert!(asked(&raw).await.is_empty(), "nothing is left to do");
    // As if a later step had made it.
    execute(&raw, "DELETE FROM pg_dist_partition WHERE logicalrelid = 'ratings'::regclass").await;
    places.store().await.unwrap();
    assert_eq!(
        asked(&raw).await,
        ["SELECT create_distributed_table('ratings', 'shard', colocate_with => 'passengers')"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_distributed_in_another_way_is_refused_by_its_name() {
    if !has_postgres() {
        return;
    }
    let places = cluster("citus-other", 1).await;
    let raw = places.raw(0).await;
    places.store().await.unwrap();
    asked(&raw).await;
    for other in ["partkey = 'ride_id'", "colocationid = 7"] {
        execute(&raw, &format!("UPDATE pg_dist_partition SET {other} WHERE logicalrelid = 'payments'::regclass")).await;
        // It would have been distributed before the mistake is found.
        execute(&raw, "DELETE FROM pg_dist_partition WHERE logicalrelid = 'ratings'::regclass").await;
        let refused = places.store().await.err().expect("refused").to_string();
        let named = ["database 1", "`payments`", "undistribute_table('payments')"];
        assert!(named.iter().all(|word| refused.contains(word)), "{refused}");
        assert!(asked(&raw).await.is_empty(), "nothing was done");
        let right = "UPDATE pg_dist_partition SET partkey = 'shard', colocationid = 1";
        execute(&raw, right).await;
        places.store().await.unwrap();
        assert_eq!(asked(&raw).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_among_the_databases_keeps_no_prepared_transactions() {
    if !has_postgres() {
        return;
    }
    let places = cluster("citus-prepared", 2).await;
    let why = places.store().await.unwrap().cannot_prepare().await.unwrap().expect("it cannot");
    assert!(why.contains("database 1") && why.contains("Citus") && why.contains("PREPARE TRANSACTION"), "{why}");
}
