//! Admission control as a library: who may send how much. No HTTP in it, only numbers.
//!
//! [`Policies`] is the file that an operator writes; [`Admission`] decides by it and lets it be replaced while decisions
//! go on; [`limit`] holds the records and knows nothing of either.

mod admission;
mod class;
mod config;
mod decision;
mod explain;
mod gate;
mod keeper;
pub mod limit;
mod lists;
mod metrics;
mod nanos;
pub mod policies;
mod set;
#[cfg(all(test, not(feature = "model")))]
mod tests;

pub use admission::{Admission, Caller, Changed};
pub use class::{Class, Priority};
pub use config::Config;
pub use decision::{Decision, Quota};
pub use explain::{Refused, TierReport, Verdict, Whom};
pub use gate::{Gate, GateConfig, GateMode, GateState, Permit, PriorityState, Shed};
pub use keeper::{Keeper, PolicyFile, RefusedFile, Source, Start, Status, Unusable};
pub use nanos::Nanos;
pub use policies::{Mistake, Mistakes, Policies};
pub use set::PolicySet;
