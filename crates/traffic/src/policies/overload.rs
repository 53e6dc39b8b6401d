//! The table `[overload]` of a file: the limit of work in progress.

use std::{collections::HashMap, ops::Range};

use super::{
    GateConfig,
    reader::{Fields, Given, Reader, float},
};
use crate::GateMode;

/// Reads the table; what it does not say is as in [`GateConfig::default`]. Mistakes are noted.
pub(super) fn overload(reader: &mut Reader, file: &mut Fields<'_>) -> GateConfig {
    let mut config = GateConfig::default();
    let table = file.take("overload").and_then(|value| Fields::of(reader, "overload", "overload.", value));
    let Some(mut fields) = table else { return config };
    let before = reader.mistakes();
    let mut lines: HashMap<&'static str, Range<usize>> = HashMap::new();
    let modes = [("enforce", GateMode::Enforce), ("shadow", GateMode::Shadow), ("off", GateMode::Off)];
    if let Some(given) = fields.choice(reader, "mode", &modes) {
        config.mode = given.value;
    }
    if let Some(given) = shares(reader, &mut fields) {
        config.shares = given.value;
        lines.insert("shares", given.at);
    }
    if let Some(given) = fields.float(reader, "tolerance") {
        config.tolerance = given.value;
        lines.insert("tolerance", given.at);
    }
    for (key, value, allowed, unit) in [
        ("min_limit", &mut config.min_limit, GateConfig::LIMITS, "requests"),
        ("max_limit", &mut config.max_limit, GateConfig::LIMITS, "requests"),
        ("initial", &mut config.initial, GateConfig::LIMITS, "requests"),
        ("floor_ms", &mut config.floor_ms, GateConfig::FLOORS_MS, "milliseconds"),
        ("window_ms", &mut config.window_ms, GateConfig::WINDOWS_MS, "milliseconds"),
    ] {
        if let Ok(Some(given)) = fields.number(reader, key, allowed, unit) {
            *value = given.value;
            lines.insert(key, given.at);
        }
    }
    let at = fields.at.clone();
    fields.finish(reader);
    // What is not even a number has been told, and would make others look wrong.
    if reader.mistakes() == before {
        for mistake in config.mistakes() {
            let at = lines.get(mistake.key).unwrap_or(&at);
            reader.wrong(at, format!("`overload.{}`: allowed is {}", mistake.key, mistake.allowed));
        }
    }
    config
}

/// A number for each priority.
fn shares<const N: usize>(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Given<[f64; N]>> {
    let given = fields.list(reader, "shares", N).ok().flatten()?;
    if given.value.len() != N {
        let text = format!("`overload.shares`: it has {} entries, allowed are {N}, one a priority", given.value.len());
        reader.wrong(&given.at, text);
        return None;
    }
    let mut shares = [0.0; N];
    for (share, item) in shares.iter_mut().zip(&given.value) {
        *share = float(reader, "overload.shares", item)?.value;
    }
    Some(given.map(|_| shares))
}
