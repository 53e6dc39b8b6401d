//! What lies in the database file, and which files are opened.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use database::{Database, Engine, NOW, Places};
use entity::{
    KnownDevice, OtpChallenge, Passenger, ProfilePatch, StoreConfig, StoreError,
    value::{Phone, PhoneHash},
};
use futures_util::future::join_all;
use migrations::Migrator;
use sea_orm::{ConnectionTrait, Statement};
use sea_orm_migration::MigratorTrait;

#[tokio::test(flavor = "multi_thread")]
async fn who_was_deleted_is_in_no_byte_of_the_file() {
    const PHONE: &str = "+12125550142";
    const NAME: &str = "Wilhelmina Featherstonehaugh";
    let database = Database::open(Engine::Sqlite, "deleted").await;
    let (phone, hash) = (Phone::parse(PHONE).unwrap(), PhoneHash([42; 32]));
    let traces = |bytes: &[u8]| {
        let found = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        [PHONE.as_bytes(), NAME.as_bytes(), &hash.0].map(found)
    };
    let written = database.shards.write(hash.shard(), move |tx| {
        let phone = phone.clone();
        Box::pin(async move {
            let id = OtpChallenge::draw_id(tx, hash, NOW)?;
            let challenge = OtpChallenge { id, phone: phone.clone(), phone_hash: hash, expires_at: NOW.plus_s(300) };
            challenge.insert(tx, [1; 32], 5).await?;
            Passenger::find_or_create(tx, &phone, hash, NOW).await?;
            let id = Passenger::find_by_phone(tx, hash).await?.unwrap().id;
            Passenger::patch(tx, id, ProfilePatch { name: Some(Some(NAME.to_owned())), ..Default::default() }).await?;
            Ok::<_, StoreError>(id)
        })
    });
    let id = written.await.unwrap();
    assert_eq!(traces(&database.bytes()), [true; 3]);

    let deleted = database.shards.write(hash.shard(), move |tx| {
        Box::pin(async move {
            OtpChallenge::forget_phone(tx, hash).await?;
            Passenger::anonymise(tx, id).await
        })
    });
    assert!(deleted.await.unwrap());
    database.shards.close().await;
    assert_eq!(traces(&database.bytes()), [false; 3]);
}

on_each_engine! {
    async fn a_database_that_a_newer_version_wrote_is_refused_in_plain_words(engine) {
        let database = Database::open(engine, "newer").await;
        let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9001_from_the_future', 0)";
        let connection = database.raw(0).await;
        connection.execute_unprepared(newer).await.unwrap();
        let refused = database.open_again().await.err().unwrap().to_string();
        let told = ["written by a newer version", "m9001_from_the_future"];
        assert!(told.iter().all(|told| refused.contains(told)), "{refused}");
    }

    async fn a_database_of_another_program_is_refused_and_gets_no_table_of_ours(engine) {
        let places = Places::make(engine, "another", 1).await;
        let connection = places.raw(0).await;
        connection.execute_unprepared("CREATE TABLE invoices (id INTEGER)").await.unwrap();
        let refused = places.store().await.err().unwrap().to_string();
        assert!(refused.contains("belongs to another program") && refused.contains("invoices"), "{refused}");
        for ours in ["seaql_migrations", "migration_lock", "rides"] {
            assert!(connection.execute_unprepared(&format!("SELECT * FROM {ours}")).await.is_err(), "{ours} was made");
        }
    }

    async fn nodes_that_start_together_migrate_each_database_once(engine) {
        let places = Places::make(engine, "together", 3).await;
        let small = StoreConfig { writers: 1, readers: 1, ..StoreConfig::default() };
        let nodes = join_all((0..6).map(|_| places.store_with(small.clone())));
        for (number, node) in nodes.await.into_iter().enumerate() {
            let node = node.unwrap_or_else(|error| panic!("node {number}: {error}"));
            let phone = PhoneHash([number as u8 * 40; 32]);
            let device = KnownDevice { phone_hash: phone, device_hash: [1; 32] };
            let write = node.write::<_, StoreError, _>(phone.shard(), move |tx| {
                Box::pin(async move { device.remember(tx, NOW).await })
            });
            write.await.unwrap();
            node.close().await;
        }
        for number in 0..3 {
            let connection = places.raw(number).await;
            let applied = "SELECT version FROM seaql_migrations";
            let asked = Statement::from_string(connection.get_database_backend(), applied);
            assert_eq!(connection.query_all_raw(asked).await.unwrap().len(), Migrator::migrations().len());
        }
    }
}
