//! The JSON of the contract. Requests are checked here once; views are made from entities.

pub mod auth;
pub mod consistency;
pub mod internal;
pub mod quote;
pub mod ride;
mod shared;

pub use shared::{DriverView, MoneyView, PointBody, date, rfc3339};
