//! The statements that the gateway executes for a request and for what follows it, in its order and its transactions. The
//! bench compares them with the gateway's own log before it measures (`record.rs`).

use sqlx::{Sqlite, query::Query, sqlite::SqliteArguments};

/// Every column of a ride.
macro_rules! RIDE {
    () => {
        r#""rides"."shard", "rides"."id", "rides"."passenger_id", "rides"."quote_id", "rides"."product", "rides"."status", "rides"."status_at", "rides"."version", "rides"."payment_status", "rides"."fare", "rides"."currency", "rides"."pickup_lat", "rides"."pickup_lng", "rides"."dropoff_lat", "rides"."dropoff_lng", "rides"."duration_s", "rides"."pickup_code", "rides"."pickup_eta_s", "rides"."driver_id", "rides"."driver", "rides"."cancelled_by", "rides"."cancel_reason", "rides"."cancel_fee", "rides"."due_at" FROM "rides""#
    };
}

/// What is executed together.
pub(crate) enum Unit {
    /// One statement on a connection that reads.
    Read(Statement),
    /// A transaction on the connection that writes.
    Write(&'static [Statement]),
}

/// A statement and its values.
pub(crate) struct Statement {
    pub(crate) sql: &'static str,
    pub(crate) bind: Bind,
    pub(crate) gives: Gives,
}

/// Gives a statement its values.
pub(crate) type Bind = for<'q> fn(Query<'q, Sqlite, SqliteArguments>, &'q Values) -> Query<'q, Sqlite, SqliteArguments>;

/// What a statement answers.
#[derive(Clone, Copy)]
pub(crate) enum Gives {
    Nothing,
    OneRow,
    Rows,
}

/// The values of one request.
pub(crate) struct Values {
    pub(crate) shard: i16,
    pub(crate) passenger: i64,
    pub(crate) quote: i64,
    pub(crate) ride: i64,
    /// Milliseconds since 1970.
    pub(crate) now: i64,
    pub(crate) key: String,
    /// The body that is kept for replays, in its envelope.
    pub(crate) answer: String,
}

/// `GET /v1/rides/{id}`: the passenger, who must not have been deleted, and the ride.
pub(crate) const GET: &[Unit] = &[Unit::Read(IS_ACTIVE), Unit::Read(FIND_OWNED)];

/// `POST /v1/rides` and what it causes: the passenger; the ride and its message to the bank; the relay, which finds and
/// delivers it and leaves one to dispatch; that one's delivery; the relay sees twice that nothing is left, as it was woken
/// meanwhile; the simulated dispatch reads the ride.
pub(crate) const POST: &[Unit] = &[
    Unit::Read(IS_ACTIVE),
    Unit::Write(&[
        OWNER,
        write(CLAIM_KEY, |q, v| {
            let scope = q.bind(v.shard).bind(v.passenger).bind(1_i16).bind(&*v.key);
            scope.bind(FINGERPRINT).bind(None::<String>).bind(v.now + 86_400_000).bind(v.now)
        }),
        IS_ACTIVE,
        select(FIND_ACTIVE, |q, v| q.bind(v.shard).bind(v.passenger).bind(1_i64)),
        select(FIND_QUOTE, |q, v| q.bind(v.shard).bind(v.quote).bind(v.passenger).bind(1_i64)),
        write(INSERT_RIDE, |q, v| {
            let ids = q.bind(v.shard).bind(v.ride).bind(v.passenger).bind(v.quote).bind(1_i16);
            let state = ids.bind(0_i16).bind(v.now).bind(1).bind(0_i16).bind(2914_i64).bind("USD");
            let trip =
                state.bind(40_758_000).bind(-73_985_500).bind(40_712_700).bind(-74_013_400).bind(1340).bind("0042");
            let later = trip.bind(None::<i32>).bind(None::<String>).bind(None::<String>).bind(None::<i16>);
            later.bind(None::<String>).bind(None::<i64>).bind(v.now + 604_800_000)
        }),
        write(INSERT_EVENT, |q, v| q.bind(v.shard).bind(v.ride).bind(1).bind(v.now).bind(r#"{"change":"requested"}"#)),
        write(INSERT_PAYMENT, |q, v| q.bind(v.shard).bind(v.ride).bind(0_i16).bind(0_i64)),
        write(INSERT_MESSAGE, |q, v| message(q.bind(v.shard).bind(v.ride).bind(TO_BANK), r#"{"kind":"authorise"}"#, v)),
        write(STORE_ANSWER, |q, v| q.bind(&*v.answer).bind(v.shard).bind(v.passenger).bind(1_i16).bind(&*v.key)),
    ]),
    Unit::Read(HEADS),
    Unit::Read(FIND),
    Unit::Write(&[
        OWNER,
        write(ACKNOWLEDGE, |q, v| q.bind(v.shard).bind(v.ride).bind(TO_BANK)),
        write(ADVANCE_PAYMENT, |q, v| q.bind(1_i16).bind(0_i64).bind(v.shard).bind(v.ride).bind(0_i16)),
        FIND,
        write(ADVANCE_RIDE, |q, v| {
            let state = q.bind(0_i16).bind(v.now).bind(2).bind(1_i16).bind(None::<i32>);
            let later = state.bind(None::<String>).bind(None::<String>).bind(None::<i16>).bind(None::<String>);
            later.bind(None::<i64>).bind(v.now + 604_800_000).bind(v.shard).bind(v.ride).bind(1)
        }),
        write(INSERT_EVENT, |q, v| {
            q.bind(v.shard).bind(v.ride).bind(2).bind(v.now).bind(r#"{"change":"payment_authorised"}"#)
        }),
        write(INSERT_MESSAGE, |q, v| {
            message(q.bind(v.shard).bind(v.ride).bind(TO_DISPATCH), r#"{"kind":"request_driver"}"#, v)
        }),
    ]),
    Unit::Read(HEADS),
    Unit::Read(FIND),
    Unit::Write(&[OWNER, write(ACKNOWLEDGE, |q, v| q.bind(v.shard).bind(v.ride).bind(TO_DISPATCH))]),
    Unit::Read(HEADS),
    Unit::Read(HEADS),
    Unit::Read(FIND),
];

const fn select(sql: &'static str, bind: Bind) -> Statement {
    Statement { sql, bind, gives: Gives::OneRow }
}

const fn write(sql: &'static str, bind: Bind) -> Statement {
    Statement { sql, bind, gives: Gives::Nothing }
}

/// The columns of a message after its key.
fn message<'q>(
    key: Query<'q, Sqlite, SqliteArguments>,
    text: &'static str,
    values: &'q Values,
) -> Query<'q, Sqlite, SqliteArguments> {
    let waits = key.bind(text).bind(0).bind(values.now + 6000);
    waits.bind(None::<i64>).bind(None::<String>)
}

/// The statements of some units, one entry an execution.
pub(crate) fn listed(units: &[Unit]) -> Vec<&'static str> {
    let each = units.iter().flat_map(|unit| match unit {
        Unit::Read(statement) => std::slice::from_ref(statement),
        Unit::Write(statements) => statements,
    });
    each.map(|statement| statement.sql).collect()
}

/// Whether the shard is here, and nobody is taking it away.
const OWNER: Statement = select(
    r#"SELECT "shard_map"."shard", "shard_map"."database", "shard_map"."epoch", "shard_map"."state", "shard_map"."other", "shard_map"."move_id" FROM "shard_map" WHERE "shard_map"."shard" IN (?) ORDER BY "shard_map"."shard" ASC"#,
    |q, v| q.bind(v.shard),
);
const IS_ACTIVE: Statement = select(
    r#"SELECT "passengers"."id" FROM "passengers" WHERE "passengers"."shard" = ? AND "passengers"."id" = ? AND "passengers"."phone_hmac" IS NOT NULL LIMIT ?"#,
    |q, v| q.bind(v.shard).bind(v.passenger).bind(1_i64),
);
const FIND: Statement =
    select(concat!("SELECT ", RIDE!(), r#" WHERE "rides"."shard" = ? AND "rides"."id" = ? LIMIT ?"#), |q, v| {
        q.bind(v.shard).bind(v.ride).bind(1_i64)
    });
const FIND_OWNED: Statement = select(
    concat!(
        "SELECT ",
        RIDE!(),
        r#" WHERE "rides"."shard" = ? AND "rides"."id" = ? AND "rides"."passenger_id" = ? LIMIT ?"#
    ),
    |q, v| q.bind(v.shard).bind(v.ride).bind(v.passenger).bind(1_i64),
);
const HEADS: Statement = Statement {
    sql: r#"SELECT "outbox"."shard", "outbox"."ride_id", "outbox"."seq", "outbox"."message", "outbox"."attempts", "outbox"."due_at", "outbox"."dead_at", "outbox"."last_error" FROM "outbox" WHERE "outbox"."shard" = ? AND "outbox"."ride_id" = ? AND "outbox"."due_at" IS NOT NULL ORDER BY "outbox"."seq" ASC"#,
    bind: |q, v| q.bind(v.shard).bind(v.ride),
    gives: Gives::Rows,
};
const CLAIM_KEY: &str = r#"INSERT INTO "idempotency_keys" ("shard", "passenger_id", "route", "key", "fingerprint", "response", "expires_at") VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT ("shard", "passenger_id", "route", "key") DO UPDATE SET "fingerprint" = "excluded"."fingerprint", "response" = "excluded"."response", "expires_at" = "excluded"."expires_at" WHERE "idempotency_keys"."expires_at" <= ?"#;
const FIND_ACTIVE: &str = concat!(
    "SELECT ",
    RIDE!(),
    r#" WHERE "rides"."shard" = ? AND "rides"."passenger_id" = ? AND (status < 10) LIMIT ?"#
);
const FIND_QUOTE: &str = r#"SELECT "quotes"."shard", "quotes"."id", "quotes"."passenger_id", "quotes"."pickup_lat", "quotes"."pickup_lng", "quotes"."dropoff_lat", "quotes"."dropoff_lng", "quotes"."distance_m", "quotes"."duration_s", "quotes"."options", "quotes"."expires_at" FROM "quotes" WHERE "quotes"."shard" = ? AND "quotes"."id" = ? AND "quotes"."passenger_id" = ? LIMIT ?"#;
const INSERT_RIDE: &str = r#"INSERT INTO "rides" ("shard", "id", "passenger_id", "quote_id", "product", "status", "status_at", "version", "payment_status", "fare", "currency", "pickup_lat", "pickup_lng", "dropoff_lat", "dropoff_lng", "duration_s", "pickup_code", "pickup_eta_s", "driver_id", "driver", "cancelled_by", "cancel_reason", "cancel_fee", "due_at") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"#;
const INSERT_EVENT: &str =
    r#"INSERT INTO "ride_events" ("shard", "ride_id", "seq", "at", "change") VALUES (?, ?, ?, ?, ?)"#;
const INSERT_PAYMENT: &str = r#"INSERT INTO "payments" ("shard", "ride_id", "status", "captured") VALUES (?, ?, ?, ?)"#;
const INSERT_MESSAGE: &str = r#"INSERT INTO "outbox" ("shard", "ride_id", "seq", "message", "attempts", "due_at", "dead_at", "last_error") VALUES (?, ?, ?, ?, ?, ?, ?, ?)"#;
const STORE_ANSWER: &str = r#"UPDATE "idempotency_keys" SET "response" = ? WHERE "idempotency_keys"."shard" = ? AND "idempotency_keys"."passenger_id" = ? AND "idempotency_keys"."route" = ? AND "idempotency_keys"."key" = ?"#;
const ACKNOWLEDGE: &str =
    r#"DELETE FROM "outbox" WHERE "outbox"."shard" = ? AND "outbox"."ride_id" = ? AND "outbox"."seq" = ?"#;
const ADVANCE_PAYMENT: &str = r#"UPDATE "payments" SET "status" = ?, "captured" = ? WHERE "payments"."shard" = ? AND "payments"."ride_id" = ? AND "payments"."status" IN (?)"#;
const ADVANCE_RIDE: &str = r#"UPDATE "rides" SET "status" = ?, "status_at" = ?, "version" = ?, "payment_status" = ?, "pickup_eta_s" = ?, "driver_id" = ?, "driver" = ?, "cancelled_by" = ?, "cancel_reason" = ?, "cancel_fee" = ?, "due_at" = ? WHERE "rides"."shard" = ? AND "rides"."id" = ? AND "rides"."version" = ?"#;
/// Numbers of a ride's messages: of its first version to the bank, of its second to dispatch.
const TO_BANK: i32 = 8;
const TO_DISPATCH: i32 = 20;
/// As long as a SHA-256.
const FINGERPRINT: &[u8] = &[7; 32];
