//! How SQLite's threads stand to the others. A binary of its own: it looks at every thread of the process.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod database;

use database::Database;
use entity::store::Engine;

#[tokio::test]
#[cfg(target_os = "linux")]
async fn the_threads_of_sqlite_give_way_to_those_that_let_requests_in() {
    let _database = Database::open(Engine::Sqlite, "nice").await;
    let (mut seen, mut others) = (Vec::new(), Vec::new());
    for thread in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(thread.path().join("stat")) else { continue };
        let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
        // proc(5): the 19th field is the nice value; the 3rd is the first after the name.
        let nice: i32 = rest.split_whitespace().nth(16).unwrap().parse().unwrap();
        if name.starts_with("sqlite-") {
            seen.push(nice);
        } else {
            others.push(nice);
        }
    }
    let ours = others[0];
    assert!(others.iter().all(|nice| *nice == ours), "{others:?}");
    assert!(seen.len() >= 2, "a writer and readers");
    assert!(seen.iter().all(|nice| *nice == (ours + 3).min(19)), "{seen:?} beside {ours}");
}
