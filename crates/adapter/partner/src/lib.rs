//! Outbound partners. Today the routing estimator, which needs no partner, and the answer of those that are not
//! configured; clients of real partners belong here.

pub mod routing;
mod unconfigured;

pub use unconfigured::Unconfigured;
