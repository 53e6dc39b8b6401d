//! The schema, one file a step, forward only. The same statements run on every engine.
//!
//! Rules of the schema (why: `docs/data.md`): `shard` leads every primary key, unique index and foreign key;
//! foreign keys stay inside a shard; integers for time (epoch ms), money (minor units) and coordinates (E6).

use sea_orm_migration::prelude::*;

pub mod citus;
mod m0001_passenger_rides;
mod m0002_quotes_expiry;
mod m0003_otp_budgets;
mod m0004_shard_map;
mod m0005_driver_index;
mod m0006_consistency;
mod m0007_shard_moves;

/// Applies the steps in order and remembers which were applied.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_passenger_rides::Step),
            Box::new(m0002_quotes_expiry::Step),
            Box::new(m0003_otp_budgets::Step),
            Box::new(m0004_shard_map::Step),
            Box::new(m0005_driver_index::Step),
            Box::new(m0006_consistency::Step),
            Box::new(m0007_shard_moves::Step),
        ]
    }
}

fn index(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(table);
    for column in columns {
        index.col(*column);
    }
    index
}
