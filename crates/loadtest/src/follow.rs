//! Follows one ride's events and checks each against what was promised. Pure: no network, no clock.

use serde_json::Value;

use crate::{
    promises::Kind,
    sse::Event,
    wire::{Location, Money, Ride, Status, Transitions},
};

/// What is known of a ride from its events so far.
pub(crate) struct Follower<'a> {
    transitions: &'a Transitions,
    ride: &'a str,
    fare: &'a Money,
    last: Option<(u64, Status)>,
    /// A wrong fare is in every event: told once.
    fare_told: bool,
    /// All events are kept, for a comparison later; otherwise the last only.
    keep_all: bool,
    /// Kept events by version.
    pub(crate) kept: Vec<(u64, Value)>,
    /// The ride at its terminal event.
    pub(crate) end: Option<Ride>,
}

/// A broken promise.
pub(crate) type Breach = (Kind, String);

impl<'a> Follower<'a> {
    /// Follows `ride`, whose quoted fare is `fare`, from whatever its first event says.
    pub(crate) fn new(transitions: &'a Transitions, ride: &'a str, fare: &'a Money, keep_all: bool) -> Self {
        Self { transitions, ride, fare, last: None, fare_told: false, keep_all, kept: Vec::new(), end: None }
    }

    /// The same from after a version that is known.
    pub(crate) fn after(self, version: u64, status: Status) -> Self {
        Self { last: Some((version, status)), ..self }
    }

    /// The last version seen: where to go on.
    pub(crate) fn last(&self) -> Option<u64> {
        self.last.map(|(version, _)| version)
    }

    /// Where the ride stands.
    pub(crate) fn status(&self) -> Option<Status> {
        self.last.map(|(_, status)| status)
    }

    /// Takes the next event; every promise it breaks.
    pub(crate) fn take(&mut self, event: &Event) -> Vec<Breach> {
        match event.name.as_str() {
            "ride" => self.ride(event),
            "location" => location(event),
            other => vec![(Kind::UnexpectedAnswer, format!("an event {other:?}"))],
        }
    }

    fn ride(&mut self, event: &Event) -> Vec<Breach> {
        let parsed = serde_json::from_str::<Value>(&event.data)
            .and_then(|value| serde_json::from_value::<Ride>(value.clone()).map(|ride| (value, ride)));
        let (value, ride) = match parsed {
            Ok(parsed) => parsed,
            Err(e) => return vec![(Kind::UnexpectedAnswer, format!("event data: {e}: {}", event.data))],
        };
        let mut breaches = Vec::new();
        if event.id.as_deref() != Some(ride.version.to_string().as_str()) {
            let id = event.id.as_deref().unwrap_or("none");
            breaches.push((Kind::EventSequence, format!("event id {id}, version {}", ride.version)));
        }
        if ride.id != self.ride {
            breaches.push((Kind::UnexpectedAnswer, format!("an event of ride {}", ride.id)));
        }
        if ride.fare != *self.fare && !std::mem::replace(&mut self.fare_told, true) {
            breaches.push((Kind::FareDiffers, format!("quoted {}, event {}: {}", self.fare, ride.version, ride.fare)));
        }
        if let Some((version, status)) = self.last {
            if ride.version != version + 1 {
                breaches.push((Kind::EventSequence, format!("event {} came after event {version}", ride.version)));
            }
            let next = ride.version == version + 1;
            if status.is_terminal() || (next && !self.transitions.allow(status, ride.status)) {
                let detail = format!("{status} → {} at event {}", ride.status, ride.version);
                breaches.push((Kind::IllegalTransition, detail));
            }
        }
        self.last = Some((ride.version, ride.status));
        if !self.keep_all {
            self.kept.clear();
        }
        self.kept.push((ride.version, value));
        if ride.status.is_terminal() && self.end.is_none() {
            self.end = Some(ride);
        }
        breaches
    }
}

fn location(event: &Event) -> Vec<Breach> {
    let mut breaches = Vec::new();
    if let Some(id) = &event.id {
        breaches.push((Kind::EventSequence, format!("a location event has the id {id}")));
    }
    if let Err(e) = serde_json::from_str::<Location>(&event.data) {
        breaches.push((Kind::UnexpectedAnswer, format!("location data: {e}: {}", event.data)));
    }
    breaches
}

/// Where two views of one event differ: the path of the first field. A driver's location is not part of the log.
pub(crate) fn difference(live: &Value, replayed: &Value) -> Option<String> {
    fn walk(path: &str, a: &Value, b: &Value) -> Option<String> {
        if path == "/driver/location" {
            return None;
        }
        match (a, b) {
            (Value::Object(a), Value::Object(b)) => {
                let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
                names
                    .map(|name| (name, a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null)))
                    .find_map(|(name, a, b)| walk(&format!("{path}/{name}"), a, b))
            }
            _ => (a != b).then(|| format!("{path}: {a}, replayed {b}")),
        }
    }
    walk("", live, replayed)
}

/// What differs between events seen live and the same events replayed after the first.
pub(crate) fn differences(live: &[(u64, Value)], replayed: &[(u64, Value)], end: u64) -> Vec<String> {
    let mut differences = Vec::new();
    if replayed.last().map(|(version, _)| *version) != Some(end) {
        differences.push(format!("the replay ends at {:?}, the ride at {end}", replayed.last().map(|(v, _)| v)));
    }
    for (version, seen) in live.iter().filter(|(version, _)| *version > 1) {
        match replayed.iter().find(|(v, _)| v == version) {
            None => differences.push(format!("event {version} is not replayed")),
            Some((_, again)) => {
                differences.extend(difference(seen, again).map(|d| format!("event {version} at {d}")));
            }
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::sample::{ride, usd};

    fn table() -> Transitions {
        serde_json::from_value(json!({ "transitions": [
            { "from": "requested", "to": "accepted", "by": ["driver"], "timeout_s": 120 },
            { "from": "accepted", "to": "requested", "by": ["driver"], "timeout_s": null },
            { "from": "accepted", "to": "arrived", "by": ["driver"], "timeout_s": null },
            { "from": "arrived", "to": "in_progress", "by": ["driver"], "timeout_s": null },
            { "from": "in_progress", "to": "completed", "by": ["driver"], "timeout_s": null },
        ]}))
        .unwrap()
    }

    fn event(version: u64, status: &str) -> Event {
        let data = ride("r", status, version, 1250).to_string();
        Event { id: Some(version.to_string()), name: "ride".into(), data }
    }

    /// The kinds broken by events given as (version, status).
    fn broken(events: &[(u64, &str)]) -> Vec<Kind> {
        let (table, fare) = (table(), usd(1250));
        let mut follower = Follower::new(&table, "r", &fare, false);
        events.iter().flat_map(|(v, s)| follower.take(&event(*v, s))).map(|(kind, _)| kind).collect()
    }

    const WHOLE: [(u64, &str); 6] =
        [(1, "requested"), (2, "requested"), (3, "accepted"), (4, "arrived"), (5, "in_progress"), (6, "completed")];

    #[test]
    fn a_whole_ride_breaks_nothing_and_ends() {
        let (table, fare) = (table(), usd(1250));
        let mut follower = Follower::new(&table, "r", &fare, true);
        for (version, status) in WHOLE {
            assert_eq!(follower.take(&event(version, status)), []);
        }
        assert_eq!(follower.end.as_ref().map(|r| r.status), Some(Status::Completed));
        assert_eq!(follower.kept.len(), WHOLE.len());
        assert_eq!(follower.last(), Some(6));
    }

    #[test]
    fn a_stream_may_begin_at_the_current_version() {
        assert_eq!(broken(&WHOLE[2..]), []);
    }

    #[test]
    fn a_gap_a_repeat_and_a_step_back_are_seen() {
        assert_eq!(broken(&[(1, "requested"), (3, "accepted")]), [Kind::EventSequence]);
        assert_eq!(broken(&[(1, "requested"), (1, "requested")]), [Kind::EventSequence]);
        assert_eq!(broken(&[(2, "requested"), (1, "requested")]), [Kind::EventSequence]);
    }

    #[test]
    fn a_driver_may_let_go_but_nobody_may_skip_a_step() {
        assert_eq!(broken(&[(3, "accepted"), (4, "requested"), (5, "accepted")]), []);
        assert_eq!(broken(&[(3, "accepted"), (4, "completed")]), [Kind::IllegalTransition]);
    }

    #[test]
    fn nothing_follows_a_terminal_event() {
        assert_eq!(broken(&[(6, "completed"), (7, "completed")]), [Kind::IllegalTransition]);
    }

    #[test]
    fn an_id_that_is_not_the_version_and_a_changed_fare_are_seen() {
        let (table, fare) = (table(), usd(1));
        let mut follower = Follower::new(&table, "r", &fare, false);
        let kinds: Vec<_> =
            follower.take(&Event { id: Some("9".into()), ..event(1, "requested") }).into_iter().map(|b| b.0).collect();
        assert_eq!(kinds, [Kind::EventSequence, Kind::FareDiffers]);
    }

    #[test]
    fn a_resumed_stream_goes_on_from_where_it_was() {
        let (table, fare) = (table(), usd(1250));
        let mut follower = Follower::new(&table, "r", &fare, false).after(1, Status::Requested);
        assert_eq!(follower.take(&event(2, "accepted")), []);
        assert_eq!(follower.take(&event(4, "in_progress")).len(), 1);
    }

    #[test]
    fn a_location_has_no_id_and_is_no_version() {
        let (table, fare) = (table(), usd(1250));
        let mut follower = Follower::new(&table, "r", &fare, false);
        follower.take(&event(3, "accepted"));
        let data = r#"{"lat":40.7,"lng":-73.9,"observed_at":"2025-01-01T00:00:00Z","stale":false}"#;
        let mut event = Event { id: None, name: "location".into(), data: data.into() };
        assert_eq!(follower.take(&event), []);
        assert_eq!(follower.last(), Some(3));
        event.id = Some("3".into());
        assert_eq!(follower.take(&event)[0].0, Kind::EventSequence);
        event.data = "{}".into();
        assert_eq!(follower.take(&event).len(), 2);
    }

    #[test]
    fn only_the_drivers_location_may_differ_in_a_replay() {
        let live = json!({ "a": 1, "driver": { "id": "d", "location": { "lat": 1 } } });
        assert_eq!(difference(&live, &json!({ "a": 1, "driver": { "id": "d", "location": null } })), None);
        assert!(difference(&live, &json!({ "a": 2, "driver": { "id": "d", "location": null } })).is_some());
        assert!(difference(&live, &json!({ "a": 1, "driver": null })).unwrap().starts_with("/driver"));
        assert!(difference(&live, &json!({ "a": 1, "b": 2, "driver": { "id": "d" } })).unwrap().starts_with("/b"));
    }

    #[test]
    fn a_replay_has_every_event_as_it_was() {
        let live = [(1, json!({ "v": 1 })), (2, json!({ "v": 2 })), (3, json!({ "v": 3 }))];
        assert_eq!(differences(&live, &live[1..], 3), Vec::<String>::new());
        assert_eq!(differences(&live[2..], &live[1..], 3), Vec::<String>::new(), "who came late saw less");
        assert_eq!(differences(&live, &live[2..], 3).len(), 1, "one is missing");
        assert_eq!(differences(&live, &live[1..2], 3).len(), 2, "the end is missing");
        assert_eq!(differences(&live, &[(2, json!({ "v": 9 })), live[2].clone()], 3).len(), 1, "one was changed");
    }
}
