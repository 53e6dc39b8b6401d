//! The newtypes that rows carry. Parsed once at the edge, trusted afterwards.

mod geo;
mod id;
mod money;
mod names;
mod phone;

pub use geo::{Area, E6, Point};
pub use id::{Id, IdError, Shard};
pub use money::{Currency, Money};
pub use names::{DriverId, InvalidName, Product};
pub use phone::{InvalidPhone, Phone, PhoneHash};
pub use runtime::Millis;
