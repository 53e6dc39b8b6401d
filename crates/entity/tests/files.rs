//! What lies in the database file, and which files are opened.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use database::{Database, NOW};
use entity::{
    OtpChallenge, Passenger, ProfilePatch, StoreError,
    value::{Phone, PhoneHash},
};
use sea_orm::ConnectionTrait;

#[tokio::test(flavor = "multi_thread")]
async fn who_was_deleted_is_in_no_byte_of_the_file() {
    const PHONE: &str = "+12125550142";
    const NAME: &str = "Wilhelmina Featherstonehaugh";
    let database = Database::open("deleted").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_a_newer_version_wrote_is_refused_in_plain_words() {
    let database = Database::open("newer").await;
    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9001_from_the_future', 0)";
    let connection = sea_orm::Database::connect(database.dsn()).await.unwrap();
    connection.execute_unprepared(newer).await.unwrap();
    let refused = database.open_again().await.err().unwrap().to_string();
    assert!(refused.contains("written by a newer version") && refused.contains("m9001_from_the_future"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_program_is_refused_and_gets_no_table_of_ours() {
    let database = Database::open("another").await;
    let dsn = database.dsn().replace(".db", "-another.db");
    let connection = sea_orm::Database::connect(format!("{dsn}?mode=rwc")).await.unwrap();
    connection.execute_unprepared("CREATE TABLE invoices (id INTEGER)").await.unwrap();
    let refused = database.open_at(&dsn).await.err().unwrap().to_string();
    assert!(refused.contains("belongs to another program") && refused.contains("invoices"), "{refused}");
    let ours = connection.execute_unprepared("SELECT * FROM seaql_migrations").await;
    assert!(ours.is_err(), "a table was made");
}
