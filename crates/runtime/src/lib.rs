//! What every component may use and what uses none of ours: clock, randomness, supervised tasks, telemetry,
//! and the few types that every component's settings share.

pub mod clock;
pub mod config;
pub mod entropy;
pub mod failpoint;
pub mod origin;
pub mod stopwatch;
pub mod task;
pub mod telemetry;

pub use clock::{Clock, Millis};
pub use config::{Invalid, Secret, within};
pub use entropy::Entropy;
pub use origin::Origin;
pub use stopwatch::Stopwatch;
pub use telemetry::Config;
