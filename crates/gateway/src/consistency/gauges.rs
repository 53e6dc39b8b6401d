//! What `/metrics` tells of the driver index.

use entity::{Scan, Shards, StoreError, value::Millis};
use prometheus::{
    IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, register_int_counter_vec_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};
use usecase::consistency::{Consistency, State};

/// The same on every node, but for the repairs, which each node counts for itself.
pub(crate) struct Gauges {
    age: IntGauge,
    lasted: IntGauge,
    running: IntGauge,
    mismatches: IntGaugeVec,
    repaired: IntCounterVec,
}

impl Gauges {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| register_int_gauge_with_registry!(name, help, registry);
        let mismatches = Opts::new("gateway_consistency_mismatches", "What the last finished scan found, by kind.");
        let repaired =
            Opts::new("gateway_consistency_repaired_total", "Rows of the driver index put right by this node.");
        Ok(Self {
            age: gauge("gateway_consistency_scan_age_seconds", "Since the last scan finished; -1 when none has.")?,
            lasted: gauge("gateway_consistency_scan_seconds", "How long somebody worked on the last finished scan.")?,
            running: gauge(
                "gateway_consistency_scan_running_seconds",
                "Since the running scan was begun; 0 when none is.",
            )?,
            mismatches: register_int_gauge_vec_with_registry!(mismatches, &["kind"], registry)?,
            repaired: register_int_counter_vec_with_registry!(repaired, &["how"], registry)?,
        })
    }

    /// # Errors
    /// [`StoreError`] when the database of the scans fails.
    pub(crate) async fn measure(
        &self,
        shards: &Shards,
        consistency: &Consistency,
        now: Millis,
    ) -> Result<(), StoreError> {
        let finished = Scan::latest_finished(shards.read(Scan::SHARD)).await?;
        let running = Scan::running(shards.read(Scan::SHARD)).await?;
        let seconds = |since: Millis| now.since_ms(since).max(0) / 1000;
        self.age.set(finished.as_ref().and_then(|scan| scan.finished_at).map_or(-1, seconds));
        self.lasted.set(finished.as_ref().map_or(0, |scan| scan.worked_ms / 1000));
        self.running.set(running.map_or(0, |scan| seconds(scan.started_at()).max(1)));
        let counts = finished.map(|scan| scan.counts).unwrap_or_default();
        for (state, count) in [
            (State::MissingIndex, counts.missing_index),
            (State::StaleIndex, counts.stale_index),
            (State::InDoubt, counts.in_doubt),
        ] {
            self.mismatches.with_label_values(&[state.name()]).set(count.try_into().unwrap_or(i64::MAX));
        }
        let (written, removed) = consistency.repair.done();
        for (how, done) in [("written", written), ("removed", removed)] {
            let counter = self.repaired.with_label_values(&[how]);
            counter.inc_by(done.saturating_sub(counter.get()));
        }
        Ok(())
    }
}
