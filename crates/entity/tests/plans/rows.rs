//! The statements that write the rows of each table.

use entity::store::Engine;

use super::{
    database::NOW,
    seed::{BACKLOG, DRIVERS, EPOCH_MS, EXPIRED, FINDINGS, OPEN, PASSENGERS, RIDE_MS, RIDERS, RIDES, UNUSED},
};

/// A table with its columns, what is put into them for each number `n`, and how many numbers there are. What begins with a `$`
/// stands for a piece of SQL ([`pieces`]).
type Table = (&'static str, &'static str, i64);

const TABLES: [Table; 17] = [
    (
        "passengers (shard, id, phone_hmac, phone, name)",
        "SELECT n % 1024, $passenger, CASE WHEN $deleted THEN NULL ELSE $hash END, \
         CASE WHEN $deleted THEN NULL ELSE '+1' || (2125000000 + n) END, 'Ada' FROM numbers",
        PASSENGERS,
    ),
    (
        "sessions (shard, id, passenger_id, device_id, generation, rotated_at, expires_at)",
        "SELECT n % 1024, $session, $passenger, 'device-' || n, 3, $now - 1000, $now + $after_expired * 21600 FROM numbers",
        PASSENGERS,
    ),
    (
        "otp_challenges (shard, id, phone_hmac, phone, code_hash, attempts_left, expires_at)",
        "SELECT n % 1024, $challenge, $hash, '+1' || (2125000000 + n), $hash, 3, $now + $after_expired * 3 FROM numbers",
        BACKLOG,
    ),
    (
        "otp_budgets (shard, kind, key_hash, full_at)",
        "SELECT n % 1024, n % 5, $hash, $now + $after_expired * 36 FROM numbers",
        BACKLOG,
    ),
    (
        "known_devices (shard, phone_hmac, device_hash, expires_at)",
        "SELECT n % 1024, $hash, $hash, $now + $after_expired * 250000 FROM numbers",
        PASSENGERS,
    ),
    (
        "quotes (shard, id, passenger_id, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, distance_m, duration_s, options, \
         expires_at)",
        "SELECT $home, $quote, $rider, $trip, 9000, 900, '[]', $requested + 270000 FROM numbers WHERE n < $rides UNION ALL \
         SELECT $home, $unused, $rider, $trip, 9000, 900, '[]', $looked + 269000 FROM numbers WHERE n >= $rides",
        RIDES + UNUSED,
    ),
    (
        "rides (shard, id, passenger_id, quote_id, product, status, status_at, version, payment_status, fare, currency, \
         pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, duration_s, pickup_code, pickup_eta_s, driver_id, driver, due_at)",
        "SELECT $home, $ride, $rider, $quote, 1, CASE WHEN n >= $open AND n % 10 = 0 THEN 0 WHEN n >= $open THEN n % 4 \
         WHEN n % 20 = 0 THEN 12 WHEN n % 10 = 0 THEN 11 ELSE 10 END, $requested + 60000, \
         CASE WHEN $accepted THEN 3 ELSE 2 END, 1, 1250, 'USD', $trip, 900, '0042', CASE WHEN $accepted THEN 120 END, \
         CASE WHEN $accepted THEN name END, CASE WHEN $accepted THEN $about_driver END, \
         CASE WHEN n >= $open THEN $now + (n - $open - 30) * 1000 END $from_drivers",
        RIDES,
    ),
    (
        "ride_events (shard, ride_id, seq, at, change)",
        "SELECT $home, $ride, 1, $requested, '{\"change\":\"requested\"}' FROM numbers UNION ALL \
         SELECT $home, $ride, 2, $requested + 900, '{\"change\":\"payment_authorised\"}' FROM numbers UNION ALL \
         SELECT $home, $ride, 3, $requested + 60000, \
         '{\"change\":\"accepted\",\"driver\":' || $about_driver || ',\"pickup_eta_s\":120}' $from_drivers WHERE $accepted",
        RIDES,
    ),
    // Also of rides that lie in other databases.
    (
        "driver_rides (shard, driver_id, ride_id)",
        "SELECT place, name, $ride $from_drivers WHERE $accepted AND n < $rides UNION ALL \
         SELECT place, name, $ride_elsewhere $from_drivers WHERE n >= $rides",
        3 * RIDES,
    ),
    // The first one is still to be opened.
    (
        "payments (shard, ride_id, status, captured)",
        "SELECT $home, $ride, CASE WHEN n >= $open THEN 1 ELSE 3 END, 1250 FROM numbers WHERE n > 0",
        RIDES,
    ),
    (
        "ratings (shard, ride_id, stars, tags, comment, rated_at)",
        "SELECT $home, $ride, 5, '[]', NULL, $requested + 3600000 FROM numbers WHERE $accepted AND n < $open",
        RIDES,
    ),
    (
        "idempotency_keys (shard, passenger_id, route, key, fingerprint, response, expires_at)",
        "SELECT n % 1024, $passenger, 1, 'key-' || n, $hash, '{}', $now + $after_expired * 864 FROM numbers",
        BACKLOG,
    ),
    // The bank has been down for hours: most messages are put off, some rides have a second one, which waits.
    (
        "outbox (shard, ride_id, seq, message, attempts, due_at, dead_at, last_error)",
        "SELECT $home, $ride, 8, '{\"kind\":\"authorise\"}', 3, CASE WHEN n % 500 <> 1 THEN $now + (n - 300) * 100 END, \
         CASE WHEN n % 500 = 1 THEN $now - n END, 'down' FROM numbers UNION ALL \
         SELECT $home, $ride, 16, '{\"kind\":\"void\"}', 0, $now - 1000, NULL, NULL FROM numbers WHERE n % 10 = 2",
        BACKLOG,
    ),
    // One in five is under way.
    (
        "transactions (shard, ride_id, attempt, driver_id, decision, decided_at, due_at, expires_at)",
        "SELECT $home, $ride, n, name, CASE WHEN n % 5 = 0 THEN 1 ELSE 2 END, $now - 60000, \
         CASE WHEN n % 5 = 0 THEN $now + $after_expired END, CASE WHEN n % 5 <> 0 THEN $now + $after_expired * 36 END \
         $from_drivers",
        BACKLOG,
    ),
    (
        "barriers (shard, driver_id, ride_id, attempt, state, tried_at, due_at, expires_at)",
        "SELECT place, name, $ride, n, CASE WHEN n % 5 = 0 THEN 1 ELSE 2 END, $now - 60000, \
         CASE WHEN n % 5 = 0 THEN $now + $after_expired END, CASE WHEN n % 5 <> 0 THEN $now + $after_expired * 36 END \
         $from_drivers",
        BACKLOG,
    ),
    (
        "scans (shard, id, state, epoch, lease_until, first_hour, next_hour, last_hour, acceptances, index_rows, missing_index, \
         stale_index, in_doubt, in_flight, findings, worked_ms, finished_at, last_error)",
        "SELECT 0, $scan, CASE WHEN n = $scans - 1 THEN 0 ELSE 1 END, 1, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, \
         CASE WHEN n >= $scans - 11 AND n < $scans - 1 THEN $findings ELSE 0 END, 1, NULL, NULL FROM numbers",
        BACKLOG,
    ),
    (
        "scan_findings (shard, scan_id, number, index_shard, driver_id, ride_id, state, repaired)",
        "SELECT 0, $of_scan, n % $findings + 1, place, name, $ride, 1, CASE WHEN n % 100 <> 0 THEN 1 END $from_drivers",
        10 * FINDINGS,
    ),
];

/// The statement that fills each table.
pub(crate) fn statements(engine: Engine) -> impl Iterator<Item = String> {
    let pieces = pieces(engine);
    TABLES.into_iter().map(move |(table, select, count)| {
        let numbers = match engine {
            Engine::Sqlite => format!(
                "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count} - 1)"
            ),
            Engine::Postgres => {
                format!("WITH numbers AS (SELECT generate_series(0::bigint, {count}::bigint - 1) AS n)")
            }
        };
        let statement = format!("{numbers} INSERT INTO {table} {select}");
        pieces.iter().fold(statement, |statement, (name, sql)| statement.replace(name, sql))
    })
}

/// What each name stands for, in an order in which the later may stand in the earlier. Ids and hashes are those of `seed`.
fn pieces(engine: Engine) -> Vec<(&'static str, String)> {
    let id = |at: &str, number: &str, shard: &str| {
        format!("((({at} - {EPOCH_MS}) << 22) | (({number} % 4096) << 10) | ({shard}))")
    };
    let signed_up = |number: &str| format!("($now + ({number} - 2 * {PASSENGERS}) * 60000)");
    let hash = match engine {
        Engine::Sqlite => "unhex(printf('%04x%060x', n % 1024 * 64, n))",
        Engine::Postgres => "decode(lpad(to_hex(n % 1024 * 64), 4, '0') || lpad(to_hex(n), 60, '0'), 'hex')",
    };
    let of_scan = format!("($scans - 11 + n / {FINDINGS})");
    let driver = r#"'{"id":"' || name || '","name":"Grace","rating":4.9,"contact":"+12125550100",
                    "vehicle":{"plate":"ABC 123","model":"Model","color":"blue"}}'"#;
    vec![
        ("$passenger", id(&signed_up("n"), "n", "n % 1024")),
        ("$session", id(&format!("({} + 500)", signed_up("n")), "n", "n % 1024")),
        ("$challenge", id("($now - 300000 + n)", "n", "n % 1024")),
        ("$deleted", format!("n >= {RIDERS} AND n % 50 = 49")),
        ("$rider", id(&signed_up(&format!("n % {RIDERS}")), &format!("(n % {RIDERS})"), "$home")),
        // Longer names before those that they begin with.
        ("$rides", RIDES.to_string()),
        ("$ride_elsewhere", id(&format!("($now - n * {RIDE_MS})"), "n", "n % 1024")),
        ("$ride", id("$requested", "n", "$home")),
        ("$quote", id("($requested - 30000)", "n", "$home")),
        ("$unused", id("($looked - 31000)", "n", "$home")),
        ("$looked", format!("($now + (4 * (n - {RIDES}) - {RIDES}) * {RIDE_MS})")),
        ("$requested", format!("($now + (n - {RIDES}) * {RIDE_MS})")),
        ("$accepted", "(n % 10 <> 0 AND (n < $open OR n % 4 <> 0))".to_owned()),
        ("$of_scan", id(&signed_up(&of_scan), &of_scan, "0")),
        ("$scans", BACKLOG.to_string()),
        ("$scan", id(&signed_up("n"), "n", "0")),
        ("$findings", FINDINGS.to_string()),
        ("$home", format!("n % {RIDERS} % 1024")),
        ("$trip", "40700000, -73900000, 40800000, -73900000".to_owned()),
        ("$open", (RIDES - OPEN).to_string()),
        ("$from_drivers", format!("FROM numbers JOIN drivers ON driver = n * 7919 % {DRIVERS}")),
        ("$about_driver", driver.to_owned()),
        ("$after_expired", format!("(n - {EXPIRED})")),
        ("$hash", hash.to_owned()),
        ("$now", NOW.0.to_string()),
    ]
}
