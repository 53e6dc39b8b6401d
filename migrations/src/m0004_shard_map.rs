//! Which database holds which shard, and which database of the store this one is.

use sea_orm_migration::prelude::*;

pub(crate) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0004_shard_map"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_table(shard_map()).await?;
        m.create_table(store_identity()).await
    }
}

/// The same 1024 rows in every database.
fn shard_map() -> TableCreateStatement {
    let mut key = Index::create();
    key.name("pk_shard_map").col("shard");
    Table::create()
        .table("shard_map")
        .col(ColumnDef::new("shard").small_integer().not_null())
        // From 1.
        .col(ColumnDef::new("database").small_integer().not_null())
        // One more each time the shard is moved.
        .col(ColumnDef::new("epoch").integer().not_null())
        .primary_key(&mut key)
        .to_owned()
}

/// One row.
fn store_identity() -> TableCreateStatement {
    let mut key = Index::create();
    key.name("pk_store_identity").col("id");
    Table::create()
        .table("store_identity")
        .col(ColumnDef::new("id").small_integer().not_null())
        // The same in every database of a store.
        .col(ColumnDef::new("store").big_integer().not_null())
        // Which of them this one is, from 1.
        .col(ColumnDef::new("database").small_integer().not_null())
        // How many there were at first.
        .col(ColumnDef::new("databases").small_integer().not_null())
        // Of the shard map. 0 in the first database until all of them have it.
        .col(ColumnDef::new("version").integer().not_null())
        .primary_key(&mut key)
        .to_owned()
}
