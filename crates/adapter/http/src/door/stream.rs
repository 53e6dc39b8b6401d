//! The byte stream under a connection: notes what comes and goes, and carries out the verdict.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use actix_web::{http::header::HttpDate, rt::net::TcpStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Door,
    register::Place,
    slot::{Slot, Turn, Verdict},
};

pub(crate) struct Guarded {
    tcp: TcpStream,
    place: Place,
    has_ended: bool,
}

/// A request that is under way: from its head to the end of its answer.
pub(super) struct UnderWay {
    slot: Arc<Slot>,
    door: Arc<Door>,
}

impl Guarded {
    pub(super) fn new(tcp: TcpStream, place: Place) -> Self {
        Self { tcp, place, has_ended: false }
    }

    /// What a request on this connection tells it with.
    pub(super) fn line(&self) -> Line {
        Line { slot: self.place.slot.clone(), door: self.place.door.clone() }
    }

    /// What has to be carried out now.
    fn verdict(&mut self) -> Verdict {
        let slot = &self.place.slot;
        match slot.verdict() {
            Verdict::SlowHead | Verdict::Idle | Verdict::MakeRoom if slot.turn().0 == Turn::Ours => {
                slot.pardon();
                Verdict::Stay
            }
            verdict => verdict,
        }
    }

    /// The end of the stream, as the framework sees it: what is left to be sent is sent, then it closes.
    fn end(&mut self, verdict: Verdict, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_ended {
            self.has_ended = true;
            self.place.door.count(verdict);
            if verdict == Verdict::SlowHead {
                // There is no request yet that could be answered. Whoever takes nothing gets nothing.
                let _ = Pin::new(&mut self.tcp).poll_write(cx, too_slow(&self.place.door).as_bytes());
            }
        }
        Poll::Ready(if verdict == Verdict::Stalled { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) })
    }

    /// A connection that broke: the kernel too gives up on a client that takes nothing.
    fn failed(&mut self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::TimedOut && !self.has_ended {
            self.has_ended = true;
            self.place.door.count(Verdict::Stalled);
        }
        error
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let verdict = this.verdict();
        // A request that crosses the end of an idle connection on its way is served.
        if !matches!(verdict, Verdict::Stay | Verdict::Idle) {
            return this.end(verdict, cx);
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.tcp).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                let (place, bytes) = (&this.place, buffer.filled().len() - before);
                if bytes > 0 {
                    if place.slot.received(bytes, || place.door.now_ms()) > place.door.unused_limit() {
                        buffer.set_filled(before);
                        return this.end(Verdict::Endless, cx);
                    }
                    if verdict == Verdict::Idle {
                        place.slot.pardon();
                    }
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
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
        let written = Pin::new(&mut this.tcp).poll_write(cx, bytes).map_err(|error| this.failed(error));
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
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// From a request to its connection.
pub(super) struct Line {
    slot: Arc<Slot>,
    door: Arc<Door>,
}

impl Line {
    /// A request begins.
    pub(super) fn begin(&self) -> UnderWay {
        self.slot.begin(self.door.now_ms());
        UnderWay { slot: self.slot.clone(), door: self.door.clone() }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.slot.end(self.door.now_ms());
    }
}

/// RFC 9110, section 15.5.9.
fn too_slow(door: &Door) -> String {
    let since = Duration::from_millis(u64::try_from(door.clock.now().0).unwrap_or(0));
    let date = HttpDate::from(SystemTime::UNIX_EPOCH + since);
    format!("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\ndate: {date}\r\n\r\n")
}
