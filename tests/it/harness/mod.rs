//! What every suite needs: a gateway of its own, a passenger's phone, a driver's app, an event stream.

mod burst;
mod call;
mod driver;
mod gateway;
mod passenger;
mod process;
mod raw;
mod store;
mod stream;

use std::{ops::AsyncFnMut, time::Duration};

pub(crate) use burst::Burst;
pub(crate) use call::{Answer, Api, Call};
pub(crate) use driver::Driver;
pub(crate) use gateway::Gateway;
pub(crate) use passenger::{Passenger, fresh_phone};
pub(crate) use process::{BINARY, Folder, run_after, run_to_exit, run_to_exit_in};
pub(crate) use raw::Raw;
use serde_json::{Value, json};
pub(crate) use store::{has_three_servers, on_one_file, on_three_servers};
pub(crate) use stream::{Event, EventStream};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The setting of whoever is not about limits.
pub(crate) const NO_LIMITS: (&str, &str) =
    ("traffic.policies", concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/no-limits.toml"));

/// How long anything may take before the test gives up. Generous: only a broken promise reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The service token of the `local` profile.
pub(crate) const SERVICE_TOKEN: &str = "local-dev-token";

/// Asks again and again until there is an answer; fails with `what` when [`PATIENCE`] ends.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("did not happen in {PATIENCE:?}: {what}"))
}

/// Times Square.
pub(crate) fn pickup() -> Value {
    json!({ "lat": 40.758, "lng": -73.9855 })
}

/// World Trade Center.
pub(crate) fn dropoff() -> Value {
    json!({ "lat": 40.7127, "lng": -74.0134 })
}

/// Minor units of an amount of money, which must be in dollars.
pub(crate) fn cents(money: &Value) -> i64 {
    assert_eq!(money["currency"], "USD", "{money}");
    money["amount"].as_i64().unwrap_or_else(|| panic!("not an amount of money: {money}"))
}

/// Parses a time of the API, which must be RFC 3339 in UTC.
pub(crate) fn instant(value: &Value) -> OffsetDateTime {
    let text = value.as_str().unwrap_or_else(|| panic!("not a time: {value}"));
    let at = OffsetDateTime::parse(text, &Rfc3339).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert!(text.ends_with('Z'), "{text} is not UTC");
    at
}

/// A partner's script: every call fails.
pub(crate) fn failing() -> Value {
    json!({ "failure_rate": 1.0, "delay_ms": 0 })
}

/// A partner's script: every call takes this long and then works.
pub(crate) fn slow(delay_ms: u32) -> Value {
    json!({ "failure_rate": 0.0, "delay_ms": delay_ms })
}

/// A partner's script: nothing is wrong.
pub(crate) fn healthy() -> Value {
    slow(0)
}

/// The usual trip, as a quote takes it.
pub(crate) fn trip() -> Value {
    json!({ "pickup": pickup(), "dropoff": dropoff() })
}

/// Why a passenger cancels.
pub(crate) fn reason() -> Value {
    json!({ "reason": "changed-my-mind" })
}

/// Waits until a time of the API has passed.
pub(crate) async fn passed(value: &Value) {
    let at = instant(value);
    eventually(&format!("{at} passes"), async || (OffsetDateTime::now_utc() > at).then_some(())).await;
}

/// A time as the API takes it, `seconds` before now.
pub(crate) fn seconds_ago(seconds: i64) -> String {
    (OffsetDateTime::now_utc() - time::Duration::seconds(seconds)).format(&Rfc3339).unwrap()
}

/// The text of a field that must be there.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
