//! Whether the driver index agrees with the rides: as a command, and as metrics.

mod gauges;
mod progress;
mod terminal;

pub(crate) use gauges::Gauges;
pub(crate) use terminal::{Command, Verdict, run};
