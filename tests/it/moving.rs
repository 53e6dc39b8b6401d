//! Shards are moved to another database while passengers ride: `passenger-gateway shards`.

use std::sync::atomic::{AtomicBool, Ordering};

use entity::{store::moving::failpoints, value::Id};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::Value;

use crate::{
    databases::{a_driver_in_each, a_passenger_in_each, dsns, ids, on_three_databases, raw},
    harness::{Folder, Gateway, Passenger, eventually, run_after, run_to_exit, run_to_exit_in, text},
};

/// Where the passenger's shard is, and where it goes.
const FROM: usize = 0;
const TO: usize = 2;

fn shard(passenger: &Passenger) -> i16 {
    passenger.id.parse::<Id<entity::Passenger>>().unwrap().shard().number()
}

async fn shards(gateway: &Gateway, arguments: &[&str]) -> (i32, String) {
    let list = dsns(gateway).join(",");
    run_to_exit(&[&["shards"], arguments].concat(), &[("store.shards", &list)]).await
}

/// Moves a shard, to the end.
async fn moved(gateway: &Gateway, shard: i16, to: usize) -> String {
    let (shard, to) = (shard.to_string(), (to + 1).to_string());
    let (code, told) = shards(gateway, &["move", &shard, "--to", &to, "--keep-s", "5", "--pause-ms", "2500"]).await;
    assert_eq!(code, 0, "{told}");
    told
}

/// Rows of the shard in a database.
async fn rows(gateway: &Gateway, place: usize, shard: i16) -> i64 {
    let database = raw(gateway, place).await;
    let mut all = 0;
    for table in ["passengers", "sessions", "quotes", "rides", "ride_events", "payments", "outbox"] {
        let count = format!("SELECT count(*) FROM {table} WHERE shard = {shard}");
        let count = Statement::from_string(database.get_database_backend(), count);
        all += database.query_one_raw(count).await.unwrap().unwrap().try_get_by_index::<i64>(0).unwrap();
    }
    database.close().await.unwrap();
    all
}

async fn history(passenger: &Passenger) -> Value {
    passenger.api.get("/v1/rides?limit=50").send().await.expect(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn passengers_ride_on_while_their_shard_is_moved() {
    let gateway = Gateway::start_with(&on_three_databases(&[])).await;
    let [passenger, other, _] = a_passenger_in_each(&gateway).await;
    let [_, driver, _] = a_driver_in_each(&gateway);
    let moving = shard(&passenger);
    let over = AtomicBool::new(false);
    let riding = async {
        let mut rides = Vec::new();
        // The last one begins after the move.
        loop {
            let is_last = over.load(Ordering::Relaxed);
            // Each answer is looked at: none fails, none shows less than was acknowledged before.
            let ride = driver.ride_at(&passenger, "completed").await;
            rides.push(text(&ride["id"]));
            let listed = ids(&history(&passenger).await);
            let lost: Vec<_> = rides.iter().rev().take(50).filter(|ride| !listed.contains(*ride)).collect();
            assert!(lost.is_empty(), "{lost:?}");
            if is_last {
                return rides;
            }
        }
    };
    let move_ = async {
        let told = moved(&gateway, moving, TO).await;
        over.store(true, Ordering::Relaxed);
        told
    };
    let (rides, told) = tokio::join!(riding, move_);
    assert!(told.contains("moved from database 1 to database 3") && told.contains("  rides: "), "{told}");
    for ride in &rides {
        assert_eq!(passenger.receipt_with(ride, "captured").await["ride_id"], **ride);
    }
    assert_eq!(rows(&gateway, FROM, moving).await, 0);
    assert!(rows(&gateway, TO, moving).await > 0);
    driver.ride_at(&other, "completed").await;
    let list = dsns(&gateway).join(",");
    eventually("the index agrees with the rides", async || {
        let (code, _) = run_to_exit(&["consistency", "check"], &[("store.shards", &list)]).await;
        (code == 0).then_some(())
    })
    .await;
    // And for the next process that starts.
    let mut gateway = gateway;
    gateway.crash_and_restart().await;
    assert_eq!(passenger.ride(&rides[0]).await["status"], "completed");
}

async fn dying_at(point: &'static str) {
    let mut gateway = Gateway::start_with(&on_three_databases(&[])).await;
    let [passenger, _, _] = a_passenger_in_each(&gateway).await;
    let [_, driver, _] = a_driver_in_each(&gateway);
    let ride = text(&driver.ride_at(&passenger, "accepted").await["id"]);
    let (moving, list) = (shard(&passenger), dsns(&gateway).join(","));
    let number = moving.to_string();
    let arguments = ["shards", "move", &number, "--to", "3", "--keep-s", "5", "--pause-ms", "2500"];
    let ended = run_after(&format!("export GATEWAY_FAILPOINT={point}"), &arguments, &[("store.shards", &list)]).await;
    assert_eq!(ended.code(), None, "{point}: it is killed there, by a signal");
    let before = rows(&gateway, FROM, moving).await + rows(&gateway, TO, moving).await;
    assert!(before > 0, "{point}");
    // Nobody comes to put an end to it, and the passenger rides on; with a gateway that starts in that moment, too.
    if [failpoints::COPIED, failpoints::FLIPPED, failpoints::TOLD].contains(&point) {
        gateway.crash_and_restart().await;
    }
    assert_eq!(driver.bring(&passenger, &ride, "completed").await["status"], "completed", "{point}");
    passenger.receipt_with(&ride, "captured").await;
    let (code, told) = shards(&gateway, &["show"]).await;
    assert!(code == 0 && told.contains(&format!("shard {number} ")), "{point}: what is left is told: {told}");
    moved(&gateway, moving, TO).await;
    assert_eq!(rows(&gateway, FROM, moving).await, 0, "{point}");
    assert_eq!(passenger.ride(&ride).await["status"], "completed", "{point}");
    assert_eq!(ids(&history(&passenger).await).len(), 1, "{point}");
    driver.ride_at(&passenger, "completed").await;
    let (code, told) = shards(&gateway, &["show"]).await;
    assert!(code == 0 && !told.contains(&format!("shard {number} ")), "{point}: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_of_a_move_nobody_is_kept_waiting_and_the_next_one_ends_it() {
    crate::driver_index::all(failpoints::ALL.into_iter().map(dying_at)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_joins_without_a_shard_and_then_takes_one() {
    let folder = Folder::new();
    let file = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
    let (one, both) = (file("one.db"), [file("one.db"), file("two.db")].join(","));
    let run = async |list: &str, arguments: &[&str]| {
        run_to_exit_in(&folder, &[&["shards"], arguments].concat(), &[("store.shards", list)]).await
    };
    let (code, told) = run(&one, &["show"]).await;
    assert!(code == 0 && told.contains("one.db): new, not part of the store yet"), "{told}");
    assert!(!folder.path().join("one.db").exists(), "nothing was made");
    let (code, told) = run(&one, &["add"]).await;
    assert!(code == 1 && told.contains("there is no store yet"), "{told}");
    let (code, told) = run_to_exit_in(&folder, &["migrate"], &[("store.shards", &one)]).await;
    assert_eq!(code, 0, "{told}");
    let (code, told) = run(&one, &["add"]).await;
    assert!(code == 1 && told.contains("put the DSN of the new one behind them"), "{told}");
    let (code, told) = run(&both, &["add"]).await;
    assert!(code == 0 && told.contains("joined") && told.contains("--to 2"), "{told}");
    let (code, told) = run(&both, &["move", "0-1", "1023", "--to", "2", "--keep-s", "5"]).await;
    assert!(code == 0 && told.contains("shard 1023: moved from database 1 to database 2: 0 rows"), "{told}");
    let (code, told) = run(&both, &["show"]).await;
    assert!(code == 0 && told.contains("shards 2…1022 (1021); version 4"), "{told}");
    assert!(told.contains("shards 0…1, 1023 (3); version 4"), "{told}");
    let (code, told) = run(&one, &["show"]).await;
    assert!(code == 1 && told.contains("database 2 is not in the list of 1: it holds shards 0…1, 1023"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_or_a_database_that_there_is_not_is_refused_with_what_there_is() {
    for (arguments, expected, told) in [
        (vec!["move", "1024", "--to", "1"], 2, "a number from 0 to 1023"),
        (vec!["move", "7-3", "--to", "1"], 2, "a number from 0 to 1023"),
        (vec!["move", "7", "--to", "65"], 2, "1..=64"),
        (vec!["move", "7", "--to", "1", "--pause-ms", "50"], 2, "300..=2500"),
        (vec!["move", "--to", "1"], 2, "<SHARDS>"),
        (vec!["move", "7", "--to", "2"], 1, "there is no database 2: store.shards names 1"),
    ] {
        let (code, output) = run_to_exit(&[vec!["shards"], arguments.clone()].concat(), &[]).await;
        assert!(code == expected && output.contains(told), "{arguments:?}: {output}");
    }
}
