//! What somebody does, one file each: the rule, in one local transaction. No web, no SQL: rows belong to `entity`,
//! partners are the traits in [`port`].

pub mod auth;
pub mod consistency;
pub mod driver_index;
pub mod housekeeping;
pub mod port;
pub mod pricing;
pub mod profile;
pub mod quotes;
pub mod relay;
pub mod rides;
