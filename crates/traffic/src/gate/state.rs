//! The gate as operators see it.

use std::sync::PoisonError;

use serde::Serialize;

use super::{Gate, GateMode, sync::Relaxed};
use crate::Priority;

/// A picture of the gate. The numbers are read one after another while requests come and go.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateState {
    /// What happens to a request without a place.
    pub mode: GateMode,
    /// Requests that may be in progress at once.
    pub limit: u32,
    /// Requests that are.
    pub in_flight: u32,
    /// How many priorities were shut, 0 to 4: rises at once, falls by one after a second below it.
    pub level: u8,
    /// Each priority, what is served longest first.
    pub priorities: Vec<PriorityState>,
}

/// One priority.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PriorityState {
    /// Which.
    pub priority: Priority,
    /// The part of the limit that it may fill.
    pub share: f64,
    /// How many more could enter now.
    pub room: u32,
    /// Requests that found a place, since the start.
    pub admitted: u64,
    /// Requests that were refused, since the start.
    pub shed: u64,
    /// Requests that were let in without a place, because of the mode `shadow`, since the start.
    pub shadow_shed: u64,
}

impl Gate {
    /// How it is now.
    #[must_use]
    pub fn state(&self) -> GateState {
        let shared = &self.shared;
        let config = shared.control.lock().unwrap_or_else(PoisonError::into_inner).config.clone();
        let priorities = Priority::ALL.map(|priority| {
            let decisions = &shared.decisions[priority.index()];
            PriorityState {
                priority,
                share: config.shares[priority.index()],
                room: shared.places.room(priority),
                admitted: decisions.admitted.get(),
                shed: decisions.shed.get(),
                shadow_shed: decisions.shadow_shed.get(),
            }
        });
        GateState {
            mode: config.mode,
            limit: shared.places.limit(),
            in_flight: shared.places.in_flight(),
            level: shared.level.load(Relaxed),
            priorities: priorities.into(),
        }
    }
}
