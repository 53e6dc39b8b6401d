//! What a database knows about a shard that is being moved: to it, or away from it.

use sea_orm_migration::prelude::*;

pub(crate) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0007_shard_moves"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        // In the row that every write transaction holds, so that none overlooks it. One column a statement: SQLite adds no more.
        for column in [
            // 0 settled, 1 leaving, 2 closed, 3 left, 4 arriving.
            ColumnDef::new("state").small_integer().not_null().default(0),
            // The other database of the move, from 1.
            ColumnDef::new("other").small_integer(),
            // Drawn by whoever moves it: who has another number is not in charge any more.
            ColumnDef::new("move_id").big_integer(),
        ] {
            m.alter_table(Table::alter().table("shard_map").add_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
