//! The byte stream under a connection: notes what comes and goes, and carries out the verdict.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use actix_http::{HttpMessage as _, Request};
use actix_web::{
    http::header::{CONTENT_LENGTH, HttpDate},
    rt::net::TcpStream,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take},
    time::Sleep,
};

use super::{
    Door,
    register::Place,
    slot::{Pace, Rest, Slot, Verdict},
};

/// What one connection may read before the others of its thread have their turn, and before what it read is looked at.
const READ_AT_ONCE: usize = 8 * 1024;
/// What is taken from a connection that is cut off, unread, so that its client gets to see why.
const THROWN_AWAY: usize = 6 * READ_AT_ONCE;

/// How long a connection that sent without end is kept afterwards, unread, unless somebody needs its place: whoever does it
/// again and again does it at this pace. Up to half as much again, so that those who came together do not come back together.
const HELD: Duration = Duration::from_secs(1);

/// Between two turns of reading a body that nobody wanted: many that come at once are spread, so that the others hardly notice.
const SKIP_PACE: Duration = Duration::from_millis(10);
/// So many of those turns for a largest body.
const SKIP_TURNS: usize = 16;

pub(crate) struct Guarded {
    tcp: Take<TcpStream>,
    place: Place,
    /// Bytes read since the others had their turn.
    read: usize,
    /// Why it has ended, as the framework sees it.
    ended: Option<Verdict>,
    /// Bytes of a body that nobody wanted, read since the last pause.
    skipped: usize,
    /// Until when it is not read from: between two pieces of a body that nobody wanted.
    pause: Option<Pin<Box<Sleep>>>,
    /// Until when a connection that sent without end is kept.
    held: Option<Pin<Box<Sleep>>>,
}

/// A request that is under way: from its head to the end of its answer.
pub(super) struct UnderWay(Line);

impl Guarded {
    pub(super) fn new(tcp: TcpStream, place: Place) -> Self {
        Self { tcp: tcp.take(0), place, read: 0, ended: None, skipped: 0, pause: None, held: None }
    }

    /// What a request on this connection tells it with.
    pub(super) fn line(&self) -> Line {
        Line { slot: self.place.slot.clone(), door: self.place.door.clone() }
    }

    /// What has to be carried out now.
    fn verdict(&mut self) -> Verdict {
        let slot = &self.place.slot;
        match slot.verdict() {
            Verdict::SlowHead | Verdict::Idle | Verdict::MakeRoom if slot.has_request() => {
                slot.pardon();
                Verdict::Stay
            }
            verdict => verdict,
        }
    }

    /// The end of the stream, as the framework sees it: what is left to be sent is sent, then it closes.
    fn end(&mut self, verdict: Verdict, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended.is_none() {
            self.ended = Some(verdict);
            self.place.door.count(verdict);
            // There is no request yet that could be answered. Whoever takes nothing gets nothing.
            if verdict == Verdict::SlowHead {
                self.tell("408 Request Timeout", cx);
            } else if verdict == Verdict::Endless && self.place.slot.expects_head() {
                self.tell("431 Request Header Fields Too Large", cx);
            }
            if verdict == Verdict::Endless {
                self.throw_away();
                self.held = Some(Box::pin(tokio::time::sleep(self.held_for())));
            }
        }
        if let Some(held) = &mut self.held
            && self.place.slot.verdict() != Verdict::MakeRoom
        {
            self.place.slot.wake_later(cx.waker());
            ready!(held.as_mut().poll(cx));
        }
        Poll::Ready(if verdict == Verdict::Stalled { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) })
    }

    /// The microsecond in which it ended is chance enough.
    fn held_for(&self) -> Duration {
        HELD + HELD * (self.place.door.opened.elapsed().subsec_micros() % 1_000) / 2_000
    }

    /// An answer to no request (RFC 9110, section 15.5.9; RFC 6585, section 5).
    fn tell(&mut self, status: &str, cx: &mut Context<'_>) {
        let now_ms = u64::try_from(self.place.door.clock.now().0).unwrap_or(0);
        let date = HttpDate::from(SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms));
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\ndate: {date}\r\n\r\n");
        let _ = Pin::new(self.tcp.get_mut()).poll_write(cx, answer.as_bytes());
    }

    /// Takes what came meanwhile: a connection that is closed over unread bytes is reset, and the answer may be lost.
    fn throw_away(&mut self) {
        let mut nothing = [0; READ_AT_ONCE];
        for _ in 0..THROWN_AWAY / READ_AT_ONCE {
            if !matches!(self.tcp.get_ref().try_read(&mut nothing), Ok(1..)) {
                return;
            }
        }
    }

    /// A connection that broke: the kernel too gives up on a client that takes nothing.
    fn failed(&mut self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::TimedOut && self.ended.is_none() {
            self.ended = Some(Verdict::Stalled);
            self.place.door.count(Verdict::Stalled);
        }
        error
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.place.slot.visited();
        // What it sends further on is in the middle of something.
        if let Some(verdict) = this.ended {
            return this.end(verdict, cx);
        }
        if this.read >= READ_AT_ONCE {
            this.read = 0;
            this.skipped = if this.place.slot.skips_body() { this.skipped + READ_AT_ONCE } else { 0 };
            if this.skipped <= this.place.door.rules.body_limit / SKIP_TURNS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            this.skipped = 0;
            this.pause = Some(Box::pin(tokio::time::sleep(SKIP_PACE)));
        }
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        if this.read == 0 && this.place.slot.is_endless() {
            return this.end(Verdict::Endless, cx);
        }
        let verdict = this.verdict();
        // A request that crosses the end of an idle connection on its way is served.
        if !matches!(verdict, Verdict::Stay | Verdict::Idle) {
            return this.end(verdict, cx);
        }
        if this.place.slot.is_ahead() {
            this.place.slot.wake_later(cx.waker());
            return Poll::Pending;
        }
        if this.place.slot.must_be_looked_at() {
            this.place.slot.looked_at();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // However much room there is: it grows with what is sent.
        this.tcp.set_limit(READ_AT_ONCE as u64);
        let before = buffer.filled().len();
        match Pin::new(&mut this.tcp).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                let (place, bytes) = (&this.place, buffer.filled().len() - before);
                if bytes > 0 {
                    place.slot.received(bytes, || place.door.now_ms());
                    this.read += bytes;
                    if verdict == Verdict::Idle {
                        place.slot.pardon();
                    }
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                this.read = 0;
                this.place.slot.looked_at();
                this.place.slot.wake_later(cx.waker());
                match this.verdict() {
                    Verdict::Stay => Poll::Pending,
                    verdict => this.end(verdict, cx),
                }
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(this.failed(error))),
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.place.slot.verdict() == Verdict::Stalled {
            ready!(this.end(Verdict::Stalled, cx))?;
        }
        let written = Pin::new(this.tcp.get_mut()).poll_write(cx, bytes).map_err(|error| this.failed(error));
        let (slot, door) = (&this.place.slot, &this.place.door);
        if written.is_pending() {
            slot.blocked(|| door.now_ms());
            slot.wake_later(cx.waker());
        } else {
            slot.moved();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.tcp.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.tcp.get_mut()).poll_shutdown(cx)
    }
}

/// How long a head was, but for spaces that it need not have (RFC 9112, sections 3 and 5).
fn head_bytes(request: &Request) -> usize {
    let uri = request.uri().path_and_query().map_or(1, |text| text.as_str().len());
    let fields: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    request.method().as_str().len() + uri + " HTTP/1.1\r\n\r\n".len() + 1 + fields
}

/// From a request to its connection.
#[derive(Clone)]
pub(crate) struct Line {
    slot: Arc<Slot>,
    door: Arc<Door>,
}

impl Line {
    /// A request is here. When it may begin.
    pub(super) fn asked(&self, request: &Request) -> Pace {
        let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let rest = match length {
            Some(0) => Rest::None,
            Some(length) => Rest::Length(length),
            None if request.chunked().unwrap_or(true) => Rest::Chunks,
            None => Rest::None,
        };
        self.slot.asked(head_bytes(request), rest, self.door.rules.body_limit)
    }

    /// So many bytes of its body were read.
    pub(crate) fn took(&self, bytes: usize) {
        self.slot.took(bytes);
    }

    /// It begins.
    pub(super) fn begin(self) -> UnderWay {
        self.slot.begin(self.door.now_ms());
        UnderWay(self)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Line { slot, door } = &self.0;
        slot.end(door.now_ms());
    }
}
