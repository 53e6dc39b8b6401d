//! The statements that need not say their shard, each with its reason. A `*` stands for anything.

use std::collections::BTreeSet;

const TRANSACTIONS: &str = "opens or ends a transaction";
const DATABASE: &str = "speaks of the database itself, not of what a shard holds";
const MIGRATION: &str = "makes the schema";
const DUE: &str = "due work: read for all shards of a database at once, by an index of its own that is not unique";
const DUE_IN_WHOLE: &str = "due work: changed or removed in a batch by the same index as it would be read";
const OWNERS: &str = "one question a database for rows of several shards, by their whole keys";

const HELD: &str = "ends or lists what a server holds ready: no table of ours";
const CHECK: &str = "a check of the driver index: many shards of a database at once, each named";

/// Statement and reason.
const EXEMPT: &[(&str, &str)] = &[
    ("BEGIN", TRANSACTIONS),
    ("COMMIT", TRANSACTIONS),
    ("ROLLBACK", TRANSACTIONS),
    ("SAVEPOINT _sqlx_savepoint_*", TRANSACTIONS),
    ("RELEASE SAVEPOINT _sqlx_savepoint_*", TRANSACTIONS),
    ("SET TRANSACTION *", TRANSACTIONS),
    ("SET LOCAL *", TRANSACTIONS),
    ("PREPARE TRANSACTION *", HELD),
    ("COMMIT PREPARED *", HELD),
    ("ROLLBACK PREPARED *", HELD),
    ("SELECT * FROM pg_prepared_xacts *", HELD),
    ("SHOW max_prepared_transactions", DATABASE),
    ("SHOW transaction_read_only", DATABASE),
    ("SELECT * FROM store_identity WHERE store_identity.id = $1 *", DATABASE),
    ("INSERT INTO store_identity *", DATABASE),
    ("UPDATE store_identity SET * WHERE store_identity.id = $*", DATABASE),
    ("SELECT * FROM shard_map ORDER BY shard_map.shard ASC", DATABASE),
    ("SELECT * FROM shard_map WHERE *", DATABASE),
    ("UPDATE shard_map SET *", DATABASE),
    ("DELETE FROM shard_map", DATABASE),
    // Of a database that was there before it was told which one it is.
    ("SELECT 1 FROM passengers LIMIT 1", DATABASE),
    ("CREATE TABLE *", MIGRATION),
    ("CREATE INDEX *", MIGRATION),
    ("CREATE UNIQUE INDEX *", MIGRATION),
    ("ALTER TABLE ride_events ADD COLUMN *", MIGRATION),
    ("ALTER TABLE shard_map ADD COLUMN *", MIGRATION),
    ("SELECT relname::text FROM pg_class *", MIGRATION),
    ("SELECT * FROM seaql_migrations *", MIGRATION),
    ("INSERT INTO seaql_migrations *", MIGRATION),
    ("SELECT id FROM migration_lock *", MIGRATION),
    ("INSERT INTO migration_lock *", MIGRATION),
    ("SELECT 1 FROM pg_extension WHERE extname = 'citus'", MIGRATION),
    ("SET LOCAL citus.multi_shard_modify_mode TO 'sequential'", MIGRATION),
    ("SELECT * FROM pg_dist_partition JOIN pg_class *", MIGRATION),
    ("SELECT create_distributed_table('*", MIGRATION),
    (
        "SELECT * FROM rides WHERE EXISTS(SELECT * AND ((rides.shard = $* AND rides.id = $*) OR (rides.shard = $*))",
        OWNERS,
    ),
    ("SELECT * FROM otp_budgets WHERE (otp_budgets.shard = $*) OR (otp_budgets.shard = $*", OWNERS),
    ("SELECT * FROM outbox WHERE (outbox.shard = $* AND outbox.ride_id = $*) OR (outbox.shard = $*", OWNERS),
    ("SELECT * FROM driver_rides WHERE (driver_rides.shard = $*) OR (driver_rides.shard = $*", OWNERS),
    ("SELECT * FROM ride_events WHERE (ride_events.shard = $*) OR (ride_events.shard = $*", OWNERS),
    ("SELECT * FROM transactions WHERE (transactions.shard = $*) OR (transactions.shard = $*", OWNERS),
    ("SELECT * FROM ride_events WHERE ride_events.shard IN ($*", CHECK),
    ("SELECT * FROM driver_rides WHERE driver_rides.shard IN ($*", CHECK),
    ("SELECT COUNT(*) AS num_items FROM (SELECT * FROM scan_findings WHERE scan_findings.shard = $1 AND *", CHECK),
    // While a shard is being moved.
    ("SELECT * WHERE *.shard NOT IN ($*", DUE),
    ("DELETE FROM * WHERE *.shard NOT IN ($*", DUE_IN_WHOLE),
    ("UPDATE rides SET * WHERE rides.shard NOT IN ($*", DUE_IN_WHOLE),
    ("SELECT * FROM barriers WHERE barriers.due_at IS NOT NULL AND *", DUE),
    ("SELECT * FROM transactions WHERE transactions.due_at IS NOT NULL AND *", DUE),
    ("SELECT barriers.expires_at FROM barriers WHERE barriers.expires_at > $1 AND *", DUE),
    ("SELECT transactions.expires_at FROM transactions WHERE transactions.expires_at > $1 AND *", DUE),
    ("DELETE FROM barriers WHERE barriers.expires_at <= $1", DUE_IN_WHOLE),
    ("DELETE FROM transactions WHERE transactions.expires_at <= $1", DUE_IN_WHOLE),
    ("SELECT rides.due_at, rides.id FROM rides WHERE rides.due_at <= $1 ORDER BY rides.due_at ASC LIMIT $2", DUE),
    ("SELECT * FROM rides WHERE rides.due_at IS NOT NULL AND rides.id > $1 ORDER BY rides.id ASC LIMIT $2", DUE),
    ("SELECT outbox.ride_id FROM outbox WHERE outbox.due_at <= $1 AND * ORDER BY outbox.due_at ASC LIMIT $2", DUE),
    ("SELECT outbox.ride_id FROM outbox WHERE outbox.due_at > $1 AND * ORDER BY outbox.due_at ASC LIMIT $2", DUE),
    ("SELECT * FROM outbox WHERE outbox.dead_at IS NOT NULL ORDER BY outbox.dead_at ASC LIMIT $1", DUE),
    ("SELECT COUNT(*) AS num_items FROM (SELECT * FROM outbox WHERE outbox.due_at IS NOT NULL) AS sub_query", DUE),
    ("SELECT COUNT(*) AS num_items FROM (SELECT * FROM outbox WHERE outbox.dead_at IS NOT NULL) AS sub_query", DUE),
    ("SELECT seq & 6 AS lane, COUNT(*) AS waiting FROM outbox WHERE outbox.due_at IS NOT NULL GROUP BY seq & 6", DUE),
    ("SELECT otp_challenges.expires_at FROM otp_challenges WHERE otp_challenges.expires_at > $1 AND *", DUE),
    ("SELECT otp_budgets.full_at FROM otp_budgets WHERE otp_budgets.full_at > $1 AND *", DUE),
    ("SELECT sessions.expires_at FROM sessions WHERE sessions.expires_at > $1 AND *", DUE),
    ("SELECT known_devices.expires_at FROM known_devices WHERE known_devices.expires_at > $1 AND *", DUE),
    ("SELECT idempotency_keys.expires_at FROM idempotency_keys WHERE idempotency_keys.expires_at > $1 AND *", DUE),
    ("SELECT quotes.expires_at FROM quotes WHERE quotes.expires_at > $1 AND *", DUE),
    ("DELETE FROM otp_challenges WHERE otp_challenges.expires_at <= $1", DUE_IN_WHOLE),
    ("DELETE FROM otp_budgets WHERE otp_budgets.full_at <= $1", DUE_IN_WHOLE),
    ("DELETE FROM sessions WHERE sessions.expires_at <= $1", DUE_IN_WHOLE),
    ("DELETE FROM known_devices WHERE known_devices.expires_at <= $1", DUE_IN_WHOLE),
    ("DELETE FROM idempotency_keys WHERE idempotency_keys.expires_at <= $1", DUE_IN_WHOLE),
    ("DELETE FROM quotes WHERE quotes.expires_at > $1 AND quotes.expires_at <= $2 AND *", DUE_IN_WHOLE),
    (
        "UPDATE rides SET due_at = $1 WHERE rides.status = $2 AND rides.status_at > $3 AND rides.due_at > $4",
        DUE_IN_WHOLE,
    ),
    ("UPDATE rides SET due_at = status_at + $1 WHERE rides.status = $2 AND *due_at < status_at + $4", DUE_IN_WHOLE),
];

/// Whether a statement is on the list.
pub(super) fn is_exempt(statement: &str) -> bool {
    EXEMPT.iter().any(|(pattern, _)| fits(statement, pattern))
}

/// What is on the list and none of these needs.
pub(super) fn unused(statements: &BTreeSet<String>) -> Vec<String> {
    let unused = EXEMPT.iter().filter(|(pattern, _)| !statements.iter().any(|statement| fits(statement, pattern)));
    unused.map(|(pattern, why)| format!("{pattern} ({why})")).collect()
}

fn fits(statement: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| statement.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    match last {
        // The end of the statement, not the first place that looks like it.
        Some(part) => statement.ends_with(part),
        None => rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_all_else_for_itself() {
        for (pattern, statement, expected) in [
            ("COMMIT", "COMMIT", true),
            ("COMMIT", "COMMIT AND CHAIN", false),
            ("BEGIN *", "BEGIN ISOLATION LEVEL SERIALIZABLE", true),
            ("SELECT * FROM a WHERE due_at <= $1", "SELECT b, c FROM a WHERE due_at <= $1", true),
            ("SELECT * FROM a WHERE due_at <= $1", "SELECT b, c FROM a WHERE due_at <= $1 AND d = $2", false),
            ("SELECT * FROM a WHERE due_at <= $1", "DELETE FROM a WHERE due_at <= $1", false),
            ("* store_identity *", "SELECT id FROM store_identity WHERE id = $1", true),
        ] {
            assert_eq!(fits(statement, pattern), expected, "{pattern}: {statement}");
        }
    }
}
