//! What the driver index needs where driver and ride lie in different databases: the coordinator's log, in the ride's
//! shard, and reservations, in the driver's.

use sea_orm_migration::{prelude::*, sea_query::IndexCreateStatement};

use crate::index;

pub(crate) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0005_driver_index"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_table(transactions()).await?;
        m.create_table(barriers()).await?;
        for index in indexes() {
            m.create_index(index).await?;
        }
        Ok(())
    }
}

/// No foreign key to the ride: what a mistaken driver tried to accept is decided too, and it must be possible to say no.
fn transactions() -> TableCreateStatement {
    let mut key = Index::create();
    key.name("pk_transactions").col("shard").col("ride_id").col("attempt");
    Table::create()
        .table("transactions")
        .col(ColumnDef::new("shard").small_integer().not_null())
        .col(ColumnDef::new("ride_id").big_integer().not_null())
        .col(ColumnDef::new("attempt").big_integer().not_null())
        .col(ColumnDef::new("driver_id").string_len(64).not_null())
        .col(ColumnDef::new("decision").small_integer().not_null())
        .col(ColumnDef::new("decided_at").big_integer().not_null())
        .col(ColumnDef::new("due_at").big_integer())
        .col(ColumnDef::new("expires_at").big_integer())
        .primary_key(&mut key)
        .to_owned()
}

/// Sharded by driver: the ride lies elsewhere.
fn barriers() -> TableCreateStatement {
    let mut key = Index::create();
    key.name("pk_barriers").col("shard").col("driver_id").col("ride_id").col("attempt");
    Table::create()
        .table("barriers")
        .col(ColumnDef::new("shard").small_integer().not_null())
        .col(ColumnDef::new("driver_id").string_len(64).not_null())
        .col(ColumnDef::new("ride_id").big_integer().not_null())
        .col(ColumnDef::new("attempt").big_integer().not_null())
        .col(ColumnDef::new("state").small_integer().not_null())
        .col(ColumnDef::new("tried_at").big_integer().not_null())
        .col(ColumnDef::new("due_at").big_integer())
        .col(ColumnDef::new("expires_at").big_integer())
        .primary_key(&mut key)
        .to_owned()
}

fn indexes() -> Vec<IndexCreateStatement> {
    let partial = |name, table, column: &'static str| {
        index(name, table, &[column]).and_where(Expr::cust(format!("{column} IS NOT NULL"))).to_owned()
    };
    vec![
        // What a node that died has left.
        partial("ix_transactions_due", "transactions", "due_at"),
        partial("ix_barriers_due", "barriers", "due_at"),
        // What may be forgotten.
        partial("ix_transactions_expiry", "transactions", "expires_at"),
        partial("ix_barriers_expiry", "barriers", "expires_at"),
    ]
}
