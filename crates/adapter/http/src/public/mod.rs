//! Handlers of the public listener, one file a resource.

pub(crate) mod auth;
pub(crate) mod events;
pub(crate) mod me;
pub(crate) mod products;
pub(crate) mod quotes;
pub(crate) mod receipts;
pub(crate) mod rides;
pub(crate) mod sandbox;
