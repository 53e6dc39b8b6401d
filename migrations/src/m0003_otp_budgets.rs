//! How many more codes may be sent, and which devices a phone has signed in on.

use sea_orm_migration::prelude::*;

use crate::index;

pub(crate) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0003_otp_budgets"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_table(otp_budgets()).await?;
        m.create_table(known_devices()).await?;
        // Removal of what is full again, and of what has expired.
        m.create_index(index("ix_otp_budgets_full", "otp_budgets", &["full_at"])).await?;
        m.create_index(index("ix_known_devices_expiry", "known_devices", &["expires_at"])).await
    }
}

fn otp_budgets() -> TableCreateStatement {
    let mut key = Index::create();
    key.name("pk_otp_budgets").col("shard").col("kind").col("key_hash");
    Table::create()
        .table("otp_budgets")
        .col(ColumnDef::new("shard").small_integer().not_null())
        .col(ColumnDef::new("kind").small_integer().not_null())
        .col(ColumnDef::new("key_hash").binary_len(32).not_null())
        .col(ColumnDef::new("full_at").big_integer().not_null())
        .primary_key(&mut key)
        .to_owned()
}

fn known_devices() -> TableCreateStatement {
    let mut key = Index::create();
    key.name("pk_known_devices").col("shard").col("phone_hmac").col("device_hash");
    Table::create()
        .table("known_devices")
        .col(ColumnDef::new("shard").small_integer().not_null())
        .col(ColumnDef::new("phone_hmac").binary_len(32).not_null())
        .col(ColumnDef::new("device_hash").binary_len(32).not_null())
        .col(ColumnDef::new("expires_at").big_integer().not_null())
        .primary_key(&mut key)
        .to_owned()
}
