//! Which databases make a store, and what a start says of a wrong list.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use database::{Database, Engine, NOW, Places};
use entity::{
    KnownDevice, Passenger, Shards, StoreConfig, StoreError,
    value::{Phone, PhoneHash, Shard},
};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

async fn numbers(connection: &DatabaseConnection, query: &str) -> Vec<i64> {
    let statement = Statement::from_string(connection.get_database_backend(), query);
    let rows = connection.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

/// The tables that a database holds.
async fn has_tables(connection: &DatabaseConnection) -> bool {
    connection.execute_unprepared("SELECT 1 FROM seaql_migrations").await.is_ok()
}

/// What each database says of itself and which steps it had; nothing where there is no table.
async fn contents(places: &Places, databases: usize) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for number in 0..databases {
        let (connection, mut rows) = (places.raw(number).await, Vec::new());
        if has_tables(&connection).await {
            for query in [
                "SELECT 'identity ' || store || ' ' || database || ' ' || databases || ' ' || version FROM store_identity",
                "SELECT 'shard ' || shard || ' ' || database || ' ' || epoch FROM shard_map ORDER BY shard",
                "SELECT 'step ' || version FROM seaql_migrations ORDER BY version",
                "SELECT 'device ' || shard FROM known_devices ORDER BY shard",
            ] {
                let statement = Statement::from_string(connection.get_database_backend(), query);
                let found = connection.query_all_raw(statement).await.unwrap();
                rows.extend(found.iter().map(|row| row.try_get_by_index::<String>(0).unwrap()));
            }
        }
        all.push(rows);
    }
    all
}

async fn refusal(start: impl Future<Output = Result<Shards, StoreError>>) -> String {
    match start.await {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}

/// A row in each shard of these.
async fn write(shards: &Shards, first_bytes: [u8; 3]) {
    for byte in first_bytes {
        let device = KnownDevice { phone_hash: PhoneHash([byte; 32]), device_hash: [byte; 32] };
        let write = shards.write::<_, StoreError, _>(device.phone_hash.shard(), move |tx| {
            Box::pin(async move { device.remember(tx, NOW).await })
        });
        write.await.unwrap();
    }
}

on_each_engine! {
    async fn the_first_start_gives_each_database_its_part_and_every_later_one_the_same(engine) {
        let places = Places::make(engine, "first", 3).await;
        for _ in 0..2 {
            write(&places.store().await.unwrap(), [1, 100, 200]).await;
        }
        let mut maps = Vec::new();
        for number in 0..3 {
            let connection = places.raw(number).await;
            let of = "SELECT CAST(databases * 1000 + version * 100 + database AS bigint) FROM store_identity";
            assert_eq!(numbers(&connection, of).await, [3101 + number as i64]);
            let map = "SELECT CAST(database AS bigint) FROM shard_map WHERE epoch = 1 ORDER BY shard";
            maps.push(numbers(&connection, map).await);
            assert_eq!(numbers(&connection, "SELECT CAST(count(*) AS bigint) FROM known_devices").await, [1]);
        }
        assert_eq!(maps[0].len(), 1024);
        assert!(maps[0].is_sorted() && maps.iter().all(|map| *map == maps[0]));
        assert_eq!([0, 341, 342, 682, 683, 1023].map(|shard| maps[0][shard]), [1, 1, 2, 2, 3, 3]);
    }

    async fn a_list_in_another_order_is_refused(engine) {
        let places = Places::make(engine, "order", 3).await;
        places.store().await.unwrap();
        let refused = refusal(places.store_on(&[0, 2, 1])).await;
        assert!(refused.contains("database 2") && refused.contains("is database 3 of this store"), "{refused}");
        let refused = refusal(places.store_on(&[1, 0, 2])).await;
        assert!(refused.contains("database 1") && refused.contains("is database 2 of this store"), "{refused}");
    }

    async fn a_list_that_lacks_a_database_is_refused_with_what_it_holds(engine) {
        let places = Places::make(engine, "short", 3).await;
        places.store().await.unwrap();
        let refused = refusal(places.store_on(&[0, 1])).await;
        assert!(refused.contains("database 3 is not in the list of 2: it holds shards 683…1023"), "{refused}");
    }

    async fn an_empty_database_in_the_place_of_one_that_was_lost_is_refused_and_stays_empty(engine) {
        let places = Places::make(engine, "lost", 4).await;
        places.store_on(&[0, 1, 2]).await.unwrap();
        let refused = refusal(places.store_on(&[0, 3, 2])).await;
        assert!(refused.contains("database 2") && refused.contains("which held shards 342…682"), "{refused}");
        let refused = refusal(places.store_on(&[3, 1, 2])).await;
        let told = ["database 2", "database 1", "is new"];
        assert!(told.iter().all(|told| refused.contains(told)), "{refused}");
        assert!(!has_tables(&places.raw(3).await).await, "nothing was written");
    }

    async fn a_database_of_another_store_is_refused(engine) {
        let places = Places::make(engine, "stores", 4).await;
        places.store_on(&[0, 1]).await.unwrap();
        places.store_on(&[2, 3]).await.unwrap();
        let refused = refusal(places.store_on(&[0, 3])).await;
        assert!(refused.contains("database 2") && refused.contains("belongs to another store"), "{refused}");
    }

    async fn a_database_that_is_added_joins_without_a_shard(engine) {
        let places = Places::make(engine, "added", 3).await;
        places.store_on(&[0, 1]).await.unwrap();
        for _ in 0..2 {
            let shards = places.store().await.unwrap();
            let of = |number| Shard::new(number).unwrap();
            assert!(shards.same_database(of(512), of(1023)) && !shards.same_database(of(511), of(512)));
            write(&shards, [1, 100, 200]).await;
        }
        assert_eq!(numbers(&places.raw(2).await, "SELECT CAST(count(*) AS bigint) FROM known_devices").await, [0]);
        // It holds nothing, so it may go again.
        places.store_on(&[0, 1]).await.unwrap();
    }

    async fn maps_that_disagree_are_refused_by_the_database(engine) {
        let places = Places::make(engine, "maps", 2).await;
        places.store().await.unwrap();
        let second = places.raw(1).await;
        second.execute_unprepared("UPDATE shard_map SET database = 1 WHERE shard = 1000").await.unwrap();
        let refused = refusal(places.store()).await;
        assert!(refused.contains("database 2") && refused.contains("another shard map"), "{refused}");
        second.execute_unprepared("UPDATE store_identity SET version = 7").await.unwrap();
        let refused = refusal(places.store()).await;
        let told = ["database 2", "version 7 of the shard map", "version 1"];
        assert!(told.iter().all(|told| refused.contains(told)), "{refused}");
        second.execute_unprepared("DELETE FROM shard_map WHERE shard = 5").await.unwrap();
        let refused = refusal(places.store()).await;
        assert!(refused.contains("database 2") && refused.contains("shard 5"), "{refused}");
    }

    async fn a_list_that_is_refused_leaves_every_database_as_it_was(engine) {
        let places = Places::make(engine, "untouched", 4).await;
        let list = [0, 1, 2];
        write(&places.store_on(&list).await.unwrap(), [1, 100, 200]).await;
        for number in list {
            // A step is missing, which a start would apply, if it came so far.
            let forget = "DELETE FROM seaql_migrations WHERE version = (SELECT max(version) FROM seaql_migrations)";
            places.raw(number).await.execute_unprepared(forget).await.unwrap();
        }
        for (what, list, number, change) in [
            ("is database 3 of this store", vec![0, 2, 1], 0, "SELECT 1"),
            ("database 3 is not in the list", vec![0, 1], 0, "SELECT 1"),
            ("which held shards 342…682", vec![0, 3, 2], 0, "SELECT 1"),
            ("version 7 of the shard map", vec![0, 1, 2], 2, "UPDATE store_identity SET version = 7"),
            ("has version 1 of the shard map", vec![0, 1, 2], 0, "UPDATE store_identity SET version = 8"),
            ("another shard map", vec![0, 1, 2], 1, "UPDATE shard_map SET epoch = 2 WHERE shard = 400"),
            ("no row for shard 400", vec![0, 1, 2], 1, "DELETE FROM shard_map WHERE shard = 400"),
            ("belongs to another store", vec![0, 1, 2], 1, "UPDATE store_identity SET store = 1"),
        ] {
            let right = contents(&places, 4).await;
            let changed = places.raw(number).await;
            changed.execute_unprepared(change).await.unwrap();
            let before = contents(&places, 4).await;
            let refused = refusal(places.store_on(&list)).await;
            assert!(refused.contains("database ") && refused.contains(what), "{what}: {refused}");
            assert!(contents(&places, 4).await == before, "{what}: something was written");
            put_back(&changed, &right[number]).await;
            assert!(contents(&places, 4).await == right, "{what}: put back");
        }
    }

    async fn one_database_under_two_names_is_refused(engine) {
        let places = Places::make(engine, "names", 1).await;
        let dsn = places.dsns()[0].clone();
        let other = match engine {
            Engine::Sqlite => dsn.replace("/gateway-1.db", "/./gateway-1.db"),
            Engine::Postgres => dsn.replace("127.0.0.1", "localhost"),
        };
        assert_ne!(dsn, other, "the server of the tests is named by its address");
        let refused = refusal(Places::open(&[dsn, other], StoreConfig::default())).await;
        assert!(refused.contains("database 2") && refused.contains("is database 1 of a store already"), "{refused}");
        // No row was written yet, so the list may be put right.
        places.store().await.unwrap();
    }

    async fn a_first_start_that_was_cut_off_is_taken_up_again(engine) {
        let places = Places::make(engine, "cut-off", 3).await;
        places.store().await.unwrap();
        places.raw(0).await.execute_unprepared("UPDATE store_identity SET version = 0").await.unwrap();
        let second = places.raw(1).await;
        second.execute_unprepared("DELETE FROM store_identity; DELETE FROM shard_map").await.unwrap();
        let shards = places.store().await.unwrap();
        write(&shards, [1, 100, 200]).await;
        for number in 0..3 {
            let connection = places.raw(number).await;
            assert_eq!(numbers(&connection, "SELECT CAST(version AS bigint) FROM store_identity").await, [1]);
            assert_eq!(numbers(&connection, "SELECT CAST(count(*) AS bigint) FROM shard_map").await, [1024]);
        }
    }

    async fn what_was_written_before_there_were_several_databases_stays_where_it_is(engine) {
        let places = Places::make(engine, "before", 2).await;
        let alone = places.store_on(&[0]).await.unwrap();
        let hash = PhoneHash([250; 32]);
        let sign_up = alone.write::<_, StoreError, _>(hash.shard(), move |tx| {
            let phone = Phone::parse("+12125550100").unwrap();
            Box::pin(async move { Passenger::find_or_create(tx, &phone, hash, NOW).await })
        });
        sign_up.await.unwrap();
        alone.close().await;
        let first = places.raw(0).await;
        let back = "DROP TABLE shard_map; DROP TABLE store_identity; \
                    DELETE FROM seaql_migrations WHERE version IN ('m0004_shard_map', 'm0007_shard_moves')";
        first.execute_unprepared(back).await.unwrap();
        let refused = refusal(places.store()).await;
        assert!(refused.contains("database 1") && refused.contains("start once with it alone"), "{refused}");
        assert!(!has_tables(&places.raw(1).await).await, "nothing was written");
        places.store_on(&[0]).await.unwrap();
        let both = places.store().await.unwrap();
        assert!(Passenger::find_by_phone(both.read(hash.shard()), hash).await.unwrap().is_some());
    }
}

/// Writes identity and map as they were.
async fn put_back(connection: &DatabaseConnection, rows: &[String]) {
    let mut statements = vec!["DELETE FROM store_identity".to_owned(), "DELETE FROM shard_map".to_owned()];
    let values = |words: &[&str]| words.join(", ");
    let mut places = Vec::new();
    for row in rows {
        match row.split(' ').collect::<Vec<_>>()[..] {
            ["identity", ref values_of @ ..] => statements.push(format!(
                "INSERT INTO store_identity (id, store, database, databases, version) VALUES (1, {})",
                values(values_of)
            )),
            ["shard", ref values_of @ ..] => places.push(format!("({})", values(values_of))),
            _ => {}
        }
    }
    statements.push(format!("INSERT INTO shard_map (shard, database, epoch) VALUES {}", places.join(", ")));
    for statement in statements {
        connection.execute_unprepared(&statement).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_may_lie_on_both_engines() {
    if !database::has_postgres() {
        return;
    }
    let (files, servers) =
        (Places::make(Engine::Sqlite, "mixed", 1).await, Places::make(Engine::Postgres, "mixed", 1).await);
    let dsns = [files.dsns()[0].clone(), servers.dsns()[0].clone()];
    let shards = Places::open(&dsns, StoreConfig::default()).await.unwrap();
    write(&shards, [1, 2, 200]).await;
    for (places, rows) in [(&files, 2), (&servers, 1)] {
        let connection = places.raw(0).await;
        assert_eq!(numbers(&connection, "SELECT CAST(count(*) AS bigint) FROM known_devices").await, [rows]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_named_without_its_password_and_nothing_is_written() {
    let files = Places::make(Engine::Sqlite, "unreachable", 1).await;
    // A port that is free: nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dsns = [files.dsns()[0].clone(), format!("postgres://rider:hunter2@127.0.0.1:{port}/rides")];
    let refused = refusal(Places::open(&dsns, StoreConfig::default())).await;
    assert!(refused.contains(&format!("cannot open database 2 (127.0.0.1:{port}/rides)")), "{refused}");
    assert!(refused.contains("refused") && !refused.contains("hunter2") && !refused.contains("rider"), "{refused}");
    assert!(!has_tables(&files.raw(0).await).await, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_without_the_user_and_the_password() {
    if !database::has_postgres() {
        return;
    }
    let places = Places::make(Engine::Postgres, "password", 1).await;
    let (user, place) = places.dsns()[0].split_once("://").unwrap().1.rsplit_once('@').unwrap();
    let user = user.split(':').next().unwrap();
    let dsns = [format!("postgres://{user}:hunter2@{place}")];
    let refused = refusal(Places::open(&dsns, StoreConfig::default())).await;
    let told = ["database 1", place.split('?').next().unwrap(), "refuses this user or password"];
    assert!(told.iter().all(|told| refused.contains(told)) && !refused.contains("hunter2"), "{refused}");
    let gone = [format!("{}-gone", places.dsns()[0])];
    assert!(refusal(Places::open(&gone, StoreConfig::default())).await.contains("does not exist"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_refused_because_it_takes_no_writes() {
    if !database::has_postgres() {
        return;
    }
    let database = Database::open(Engine::Postgres, "standby").await;
    let name = name_of(&database).await;
    let set = format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = on");
    database.raw(0).await.execute_unprepared(&set).await.unwrap();
    let refused = refusal(database.open_again()).await;
    assert!(refused.contains("database 1") && refused.contains("takes no writes"), "{refused}");
}

async fn name_of(database: &Database) -> String {
    let connection = database.raw(0).await;
    let asked = Statement::from_string(connection.get_database_backend(), "SELECT current_database()::text");
    connection.query_one_raw(asked).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}
