//! A server-sent event stream (WHATWG HTML, section 9.2), read one event at a time.

use std::{fmt::Debug, pin::Pin};

use futures_util::{Stream, StreamExt as _};
use reqwest::Response;
use serde_json::Value;

use super::PATIENCE;

/// One event with its data parsed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// `id:`, absent on positions.
    pub(crate) id: Option<String>,
    /// `event:`.
    pub(crate) name: String,
    /// `data:`.
    pub(crate) data: Value,
}

impl Event {
    /// The event's place in the ride's log.
    pub(crate) fn seq(&self) -> u64 {
        let id = self.id.as_deref().unwrap_or_else(|| panic!("no id: {self:?}"));
        id.parse().unwrap_or_else(|_| panic!("not a number: {self:?}"))
    }

    pub(crate) fn is_ride(&self) -> bool {
        self.name == "ride"
    }
}

type Chunks = Pin<Box<dyn Stream<Item = Result<Vec<u8>, reqwest::Error>> + Send>>;

/// An open stream.
pub(crate) struct EventStream {
    chunks: Chunks,
    buffer: Vec<u8>,
    /// The last `retry:`, milliseconds.
    pub(crate) retry: Option<u64>,
}

impl EventStream {
    pub(crate) fn new(response: Response) -> Self {
        let chunks = response.bytes_stream().map(|chunk| chunk.map(|bytes| bytes.to_vec()));
        Self { chunks: Box::pin(chunks), buffer: Vec::new(), retry: None }
    }

    /// The next event; `None` when the server ended the stream. Fails when neither happens in time.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("an event or the end of the stream in time")
    }

    /// The next `ride` event, skipping positions.
    pub(crate) async fn next_ride(&mut self) -> Option<Event> {
        loop {
            let event = self.next().await?;
            if event.is_ride() {
                return Some(event);
            }
        }
    }

    /// Reads on until the ride has this status.
    pub(crate) async fn until(&mut self, status: &str) -> Event {
        loop {
            let event = self.next_ride().await.unwrap_or_else(|| panic!("the stream ended before {status}"));
            if event.data["status"] == status {
                return event;
            }
        }
    }

    /// Every event up to the end of the stream.
    pub(crate) async fn until_end(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// The `ride` events up to the end of the stream.
    pub(crate) async fn rides_until_end(self) -> Vec<Event> {
        self.until_end().await.into_iter().filter(Event::is_ride).collect()
    }

    /// Events numbered without a gap or a repeat.
    #[track_caller]
    pub(crate) fn gapless(events: &[Event]) -> Vec<u64> {
        let seqs: Vec<u64> = events.iter().map(Event::seq).collect();
        let first = *seqs.first().expect("at least one event");
        assert_eq!(seqs, (first..first + seqs.len() as u64).collect::<Vec<_>>());
        seqs
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let block = String::from_utf8(block).expect("events are UTF-8");
                if let Some(event) = self.parse(&block) {
                    return Some(event);
                }
            }
            match self.chunks.next().await {
                Some(Ok(bytes)) => self.buffer.extend(bytes),
                Some(Err(error)) => panic!("the stream broke instead of ending: {error}"),
                None => return None,
            }
        }
    }

    /// One block of lines; `None` for heartbeats and `retry:`.
    fn parse(&mut self, block: &str) -> Option<Event> {
        let (mut id, mut name, mut data) = (None, None, Vec::new());
        for line in block.lines().filter(|line| !line.is_empty() && !line.starts_with(':')) {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => id = Some(value.to_owned()),
                "event" => name = Some(value.to_owned()),
                "data" => data.push(value),
                "retry" => {
                    self.retry = Some(value.parse().unwrap_or_else(|_| panic!("retry is milliseconds: {line}")));
                }
                other => panic!("unknown field {other} in {block:?}"),
            }
        }
        if data.is_empty() {
            return None;
        }
        let data = serde_json::from_str(&data.join("\n")).unwrap_or_else(|error| panic!("{error}: {block:?}"));
        Some(Event { id, name: name.expect("every event is named"), data })
    }
}
