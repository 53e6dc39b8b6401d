//! A parser of event streams (WHATWG HTML, "Server-sent events", "Interpreting an event stream").

use bytes::{Buf, Bytes, BytesMut};

/// What a stream said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// An event with data.
    Event(Event),
    /// A comment: servers send them as heartbeats.
    Comment(String),
    /// How long to wait before reconnecting, milliseconds.
    Retry(u64),
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// The `id` field of this very event; the standard carries the last one forward, this parser does not, so that a
    /// caller sees which events had one.
    pub(crate) id: Option<String>,
    /// The `event` field, `message` when there was none.
    pub(crate) name: String,
    /// The `data` lines, joined by line feeds.
    pub(crate) data: String,
}

/// Takes bytes as they arrive, cut anywhere, and gives what they say.
#[derive(Default)]
pub(crate) struct Parser {
    waiting: BytesMut,
    begun: bool,
    id: Option<String>,
    name: String,
    data: Option<String>,
}

impl Parser {
    /// Adds `chunk`; returns all that is complete now. An event is complete at its blank line: what a stream that broke
    /// had begun to say is dropped with the parser.
    pub(crate) fn push(&mut self, chunk: &Bytes) -> Vec<Item> {
        self.waiting.extend_from_slice(chunk);
        let mut items = Vec::new();
        while let Some(line) = self.next_line() {
            items.extend(self.line(&line));
        }
        items
    }

    /// Lines end with LF, CR LF or CR. A CR at the end of what has arrived may be half of a CR LF: it waits.
    fn next_line(&mut self) -> Option<String> {
        let end = self.waiting.iter().position(|b| matches!(b, b'\n' | b'\r'))?;
        let width = match (self.waiting[end], self.waiting.get(end + 1)) {
            (b'\r', None) => return None,
            (b'\r', Some(b'\n')) => 2,
            _ => 1,
        };
        let line = String::from_utf8_lossy(&self.waiting[..end]).into_owned();
        self.waiting.advance(end + width);
        let first = !std::mem::replace(&mut self.begun, true);
        Some(if first { line.trim_start_matches('\u{feff}').to_owned() } else { line })
    }

    fn line(&mut self, line: &str) -> Option<Item> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = match line.split_once(':') {
            Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
            None => (line, ""),
        };
        match field {
            "" => return Some(Item::Comment(value.to_owned())),
            "event" => self.name = value.to_owned(),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                return value.parse().ok().map(Item::Retry);
            }
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Item> {
        let (id, name, data) = (self.id.take(), std::mem::take(&mut self.name), self.data.take());
        let name = if name.is_empty() { "message".to_owned() } else { name };
        data.map(|data| Item::Event(Event { id, name, data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "retry: 1500\n\n: beat\n\nid: 1\nevent: ride\ndata: {\"a\":1}\n\nevent: location\r\ndata: x\r\ndata:  y\r\n\r\n";

    fn event(id: Option<&str>, name: &str, data: &str) -> Item {
        Item::Event(Event { id: id.map(str::to_owned), name: name.into(), data: data.into() })
    }

    fn parse(chunks: impl IntoIterator<Item = Vec<u8>>) -> Vec<Item> {
        let mut parser = Parser::default();
        chunks.into_iter().flat_map(|c| parser.push(&Bytes::from(c))).collect()
    }

    fn expected() -> Vec<Item> {
        vec![
            Item::Retry(1500),
            Item::Comment("beat".into()),
            event(Some("1"), "ride", "{\"a\":1}"),
            event(None, "location", "x\n y"),
        ]
    }

    #[test]
    fn fields_comments_and_retry_are_told_apart() {
        assert_eq!(parse([STREAM.as_bytes().to_vec()]), expected());
    }

    #[test]
    fn a_stream_cut_anywhere_says_the_same() {
        for at in 0..=STREAM.len() {
            let (a, b) = STREAM.as_bytes().split_at(at);
            assert_eq!(parse([a.to_vec(), b.to_vec()]), expected(), "cut at {at}");
        }
        assert_eq!(parse(STREAM.bytes().map(|b| vec![b])), expected(), "byte by byte");
    }

    #[test]
    fn a_character_cut_in_half_is_put_together() {
        let text = "data: é\n\n".as_bytes();
        let half = text.iter().position(|b| *b > 127).unwrap() + 1;
        assert_eq!(parse([text[..half].to_vec(), text[half..].to_vec()]), [event(None, "message", "é")]);
    }

    #[test]
    fn all_three_line_ends_are_understood() {
        assert_eq!(
            parse([b"data: a\rdata: b\r\rdata: c\n\n".to_vec()]),
            [event(None, "message", "a\nb"), event(None, "message", "c")]
        );
    }

    #[test]
    fn an_event_without_its_blank_line_is_not_told() {
        assert_eq!(parse([b"id: 4\ndata: half".to_vec()]), []);
    }

    #[test]
    fn a_blank_line_without_data_clears_what_was_said() {
        assert_eq!(parse([b"id: 9\nevent: ride\n\ndata: z\n\n".to_vec()]), [event(None, "message", "z")]);
    }

    #[test]
    fn unknown_fields_bad_retries_and_a_byte_order_mark_are_passed_over() {
        let text = "\u{feff}data: a\nfoo: 1\nretry: soon\nretry:\nid: x\0y\ndata\n\n";
        assert_eq!(parse([text.as_bytes().to_vec()]), [event(None, "message", "a\n")]);
    }
}
