//! The main flow: passengers sign in, quote, ride, pay, rate.

use sea_orm_migration::prelude::*;

use crate::index;

pub(crate) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0001_passenger_rides"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    /// All of it or nothing, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            passengers(),
            sessions(),
            otp_challenges(),
            quotes(),
            rides(),
            ride_events(),
            driver_rides(),
            payments(),
            ratings(),
            idempotency_keys(),
            outbox(),
        ] {
            m.create_table(table).await?;
        }
        for index in indexes() {
            m.create_index(index).await?;
        }
        Ok(())
    }
}

fn passengers() -> TableCreateStatement {
    table("passengers", &["id"])
        .col(big("id"))
        // Both NULL once the passenger has been deleted (anonymised).
        .col(ColumnDef::new("phone_hmac").binary_len(32))
        .col(ColumnDef::new("phone").string_len(16))
        .col(ColumnDef::new("name").string_len(100))
        .col(ColumnDef::new("email").string_len(254))
        .col(ColumnDef::new("locale").string_len(35))
        .check(Expr::cust("(id & 1023) = shard"))
        .to_owned()
}

fn sessions() -> TableCreateStatement {
    table("sessions", &["id"])
        .col(big("id"))
        .col(big("passenger_id"))
        .col(text("device_id", 128))
        .col(int("generation"))
        .col(big("rotated_at"))
        .col(big("expires_at"))
        .foreign_key(&mut inside_shard("passenger_id", "passengers", "id"))
        .to_owned()
}

fn otp_challenges() -> TableCreateStatement {
    table("otp_challenges", &["id"])
        .col(big("id"))
        .col(ColumnDef::new("phone_hmac").binary_len(32).not_null())
        .col(text("phone", 16))
        .col(ColumnDef::new("code_hash").binary_len(32).not_null())
        .col(small("attempts_left"))
        .col(big("expires_at"))
        .to_owned()
}

fn quotes() -> TableCreateStatement {
    points(&mut table("quotes", &["id"]))
        .col(big("id"))
        .col(big("passenger_id"))
        .col(int("distance_m"))
        .col(int("duration_s"))
        .col(ColumnDef::new("options").text().not_null())
        .col(big("expires_at"))
        .foreign_key(&mut inside_shard("passenger_id", "passengers", "id"))
        .to_owned()
}

fn rides() -> TableCreateStatement {
    points(&mut table("rides", &["id"]))
        .col(big("id"))
        .col(big("passenger_id"))
        .col(big("quote_id"))
        .col(small("product"))
        .col(small("status"))
        .col(big("status_at"))
        .col(int("version"))
        .col(small("payment_status"))
        .col(big("fare"))
        .col(text("currency", 3))
        .col(int("duration_s"))
        .col(text("pickup_code", 4))
        .col(ColumnDef::new("pickup_eta_s").integer())
        .col(ColumnDef::new("driver_id").string_len(64))
        .col(ColumnDef::new("driver").text())
        .col(ColumnDef::new("cancelled_by").small_integer())
        .col(ColumnDef::new("cancel_reason").string_len(200))
        .col(ColumnDef::new("cancel_fee").big_integer())
        // When the status times out; NULL exactly in terminal states.
        .col(ColumnDef::new("due_at").big_integer())
        .check(Expr::cust("(id & 1023) = shard"))
        .foreign_key(&mut inside_shard("passenger_id", "passengers", "id"))
        .foreign_key(&mut inside_shard("quote_id", "quotes", "id"))
        .to_owned()
}

fn ride_events() -> TableCreateStatement {
    table("ride_events", &["ride_id", "seq"])
        .col(big("ride_id"))
        .col(int("seq"))
        .col(big("at"))
        .col(ColumnDef::new("change").text().not_null())
        .foreign_key(&mut inside_shard("ride_id", "rides", "id"))
        .to_owned()
}

/// The driver index: sharded by driver, so no foreign key to the ride, which lives in its passenger's shard.
fn driver_rides() -> TableCreateStatement {
    table("driver_rides", &["driver_id", "ride_id"]).col(text("driver_id", 64)).col(big("ride_id")).to_owned()
}

fn payments() -> TableCreateStatement {
    table("payments", &["ride_id"])
        .col(big("ride_id"))
        .col(small("status"))
        .col(big("captured"))
        .foreign_key(&mut inside_shard("ride_id", "rides", "id"))
        .to_owned()
}

fn ratings() -> TableCreateStatement {
    table("ratings", &["ride_id"])
        .col(big("ride_id"))
        .col(small("stars"))
        .col(ColumnDef::new("tags").text().not_null())
        .col(ColumnDef::new("comment").string_len(1000))
        .col(big("rated_at"))
        .foreign_key(&mut inside_shard("ride_id", "rides", "id"))
        .to_owned()
}

fn idempotency_keys() -> TableCreateStatement {
    table("idempotency_keys", &["passenger_id", "route", "key"])
        .col(big("passenger_id"))
        .col(small("route"))
        .col(text("key", 255))
        .col(ColumnDef::new("fingerprint").binary_len(32).not_null())
        // NULL only inside the transaction that claims the key.
        .col(ColumnDef::new("response").text())
        .col(big("expires_at"))
        .foreign_key(&mut inside_shard("passenger_id", "passengers", "id"))
        .to_owned()
}

fn outbox() -> TableCreateStatement {
    table("outbox", &["ride_id", "seq"])
        .col(big("ride_id"))
        .col(int("seq"))
        .col(ColumnDef::new("message").text().not_null())
        .col(int("attempts"))
        // When any relay may take it; NULL for a dead letter.
        .col(ColumnDef::new("due_at").big_integer())
        .col(ColumnDef::new("dead_at").big_integer())
        .col(ColumnDef::new("last_error").string_len(500))
        .foreign_key(&mut inside_shard("ride_id", "rides", "id"))
        .to_owned()
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        // Sign-in: one passenger a phone.
        index("uq_passengers_phone", "passengers", &["shard", "phone_hmac"]).unique().to_owned(),
        // Revoke all sessions of a passenger.
        index("ix_sessions_passenger", "sessions", &["shard", "passenger_id"]).to_owned(),
        // The budget of codes a phone has.
        index("ix_otp_challenges_phone", "otp_challenges", &["shard", "phone_hmac", "id"]).to_owned(),
        // History, newest first.
        index("ix_rides_passenger", "rides", &["shard", "passenger_id", "id"]).to_owned(),
        // One active ride per passenger, and "the current ride". 10 and above are terminal.
        index("uq_rides_active", "rides", &["shard", "passenger_id"])
            .unique()
            .and_where(Expr::cust("status < 10"))
            .to_owned(),
        // A quote is used once.
        index("uq_rides_quote", "rides", &["shard", "quote_id"]).unique().to_owned(),
        // Time-outs, and every open ride.
        index("ix_rides_due", "rides", &["due_at"]).and_where(Expr::cust("due_at IS NOT NULL")).to_owned(),
        // What a relay may take.
        index("ix_outbox_due", "outbox", &["due_at"]).and_where(Expr::cust("due_at IS NOT NULL")).to_owned(),
        // What an operator has to look at.
        index("ix_outbox_dead", "outbox", &["dead_at"]).and_where(Expr::cust("dead_at IS NOT NULL")).to_owned(),
        // Removal of what has expired.
        index("ix_otp_challenges_expiry", "otp_challenges", &["expires_at"]).to_owned(),
        index("ix_sessions_expiry", "sessions", &["expires_at"]).to_owned(),
        index("ix_idempotency_keys_expiry", "idempotency_keys", &["expires_at"]).to_owned(),
    ]
}

/// A table whose primary key is `shard` and then `key`.
fn table(name: &'static str, key: &[&'static str]) -> TableCreateStatement {
    let mut primary = Index::create();
    primary.name(format!("pk_{name}")).col("shard");
    for column in key {
        primary.col(*column);
    }
    Table::create().table(name).col(small("shard")).primary_key(&mut primary).to_owned()
}

/// Pickup and drop-off, millionths of a degree.
fn points(table: &mut TableCreateStatement) -> &mut TableCreateStatement {
    table.col(int("pickup_lat")).col(int("pickup_lng")).col(int("dropoff_lat")).col(int("dropoff_lng"))
}

fn inside_shard(column: &'static str, parent: &'static str, parent_column: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from_col("shard")
        .from_col(column)
        .to_tbl(parent)
        .to_col("shard")
        .to_col(parent_column)
        .to_owned()
}

fn small(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).small_integer().not_null().to_owned()
}

fn int(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).integer().not_null().to_owned()
}

fn big(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().to_owned()
}

fn text(name: &'static str, max: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(max).not_null().to_owned()
}
