//! Quotes that nobody used are removed: they are found by when they expired.

use sea_orm_migration::prelude::*;

use crate::index;

pub(crate) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0002_quotes_expiry"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_index(index("ix_quotes_expiry", "quotes", &["expires_at"])).await
    }
}
