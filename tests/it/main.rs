//! End-to-end suites: the built binary in a folder of its own, spoken to over HTTP as a phone or a partner would.
//! One file a topic; every test is a rule of the contract.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what it relies on by failing there")]

mod addresses;
mod admission;
mod alerts;
mod architecture;
mod breakdown;
mod clock;
mod commands;
mod consistency;
mod cors;
mod crash;
mod databases;
mod door;
mod driver_index;
mod events;
mod expiry;
mod fleet;
mod harness;
mod history;
mod internal;
mod limits;
mod load;
mod moving;
mod otp_budgets;
mod partners;
mod policies;
mod problems;
mod quotes;
mod rides_cancel;
mod rides_life;
mod rides_request;
mod secrets;
mod shutdown;
mod sign_in;
mod strangers;
mod walk;
