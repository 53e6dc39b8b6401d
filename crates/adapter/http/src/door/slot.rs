//! One connection as its listener sees it: whose turn it is and since when, and whether it has to go.
//!
//! The thread that serves the connection writes the times; the sweep and whoever needs room read them from other threads
//! and leave a verdict, which the connection carries out itself.

use std::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst},
    task::Waker,
};

use futures_util::task::AtomicWaker;

use super::Rules;

/// Longest head of a request, bytes.
pub(super) const HEAD_LIMIT: usize = 16 * 1024;
/// Requests that a client may send without waiting for an answer before it is slowed down.
pub(super) const ROW: usize = 16;
/// What may be held of a body of unknown length. The framework goes round without rest when it holds twice as much.
const READ_AHEAD: usize = 64 * 1024;
/// What may be left of a body that nobody wanted, in largest bodies: its sender should see the answer.
const SKIPPED_BODIES: usize = 4;
/// What may come before we wait until the framework has looked at all of it. Clients who wait for their answers send less.
const LOOKED_AT: usize = 8 * 1024;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Ours: a request is under way.
    Ours,
    /// The client's: a request's head is expected, from the beginning or because a byte of it came.
    Head,
    /// The client's: it may send another request, or not.
    Idle,
}

/// What of a request comes behind its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing.
    None,
    /// So many bytes.
    Length(usize),
    /// Chunks, and nobody knows how many.
    Chunks,
}

/// When a request may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once.
    Now,
    /// The connection has just had one: after those of others that are here.
    AfterOthers,
    /// The connection has had many without waiting for an answer: after a while.
    Later,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Stay,
    /// A head took too long.
    SlowHead,
    /// It was idle for too long.
    Idle,
    /// Somebody new needs its place.
    MakeRoom,
    /// The client takes nothing of what it is sent.
    Stalled,
    /// What it sends has no end.
    Endless,
}

const VERDICTS: [Verdict; 6] =
    [Verdict::Stay, Verdict::SlowHead, Verdict::Idle, Verdict::MakeRoom, Verdict::Stalled, Verdict::Endless];

/// Not blocked.
const NEVER: u64 = u64::MAX;

pub(super) struct Slot {
    /// Milliseconds since the door opened, shifted by two; the turn in the lowest bits.
    turn: AtomicU64,
    /// Since when the client takes nothing, milliseconds.
    blocked: AtomicU64,
    /// Bytes that came since the last request began.
    unused: AtomicUsize,
    /// What it may bring until the next request begins, bytes.
    allowed: AtomicUsize,
    /// Bytes that came since the framework held no whole request of it.
    came: AtomicUsize,
    /// Those of them that were used up, so that the framework does not hold them: heads, and what of bodies was announced or read.
    used: AtomicUsize,
    /// Nobody knows how long the body is of the request that is here.
    has_chunks: AtomicBool,
    /// It brings requests without an end in sight, one behind the other.
    is_flood: AtomicBool,
    /// The framework has looked at all that came, and made no request of it.
    looked_at: AtomicBool,
    /// No request was begun since it last had its turn among the connections of its thread.
    fresh: AtomicBool,
    /// Requests since the client last waited for an answer.
    row: AtomicUsize,
    /// A request is here and may not begin yet.
    held_back: AtomicBool,
    /// It is not read from until a request is answered.
    ahead: AtomicBool,
    verdict: AtomicU8,
    waker: AtomicWaker,
}

impl Slot {
    /// A new connection: its first head is expected.
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            turn: AtomicU64::new(packed(Turn::Head, now_ms)),
            blocked: AtomicU64::new(NEVER),
            unused: AtomicUsize::new(0),
            allowed: AtomicUsize::new(HEAD_LIMIT),
            came: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            has_chunks: AtomicBool::new(false),
            is_flood: AtomicBool::new(false),
            looked_at: AtomicBool::new(false),
            fresh: AtomicBool::new(true),
            row: AtomicUsize::new(0),
            held_back: AtomicBool::new(false),
            ahead: AtomicBool::new(false),
            verdict: AtomicU8::new(0),
            waker: AtomicWaker::new(),
        }
    }

    /// Whose turn it is, and since when.
    pub(super) fn turn(&self) -> (Turn, u64) {
        let packed = self.turn.load(Relaxed);
        let turn = match packed & 3 {
            0 => Turn::Ours,
            1 => Turn::Head,
            _ => Turn::Idle,
        };
        (turn, packed >> 2)
    }

    /// A request is here, with a head of so many bytes, and what comes behind that. Gives when it may begin.
    pub(super) fn asked(&self, head: usize, rest: Rest, body_limit: usize) -> Pace {
        let with_body = (body_limit * SKIPPED_BODIES).max(HEAD_LIMIT + 1);
        // None of a body that is announced may have come yet; of a longer one nothing is read.
        let (allowed, announced) = match rest {
            Rest::None => (HEAD_LIMIT, 0),
            Rest::Length(length) => (with_body, length.min(body_limit)),
            Rest::Chunks => (with_body, 0),
        };
        self.used(head + announced);
        self.has_chunks.store(rest == Rest::Chunks, Relaxed);
        let row = self.row.load(Relaxed).saturating_add(1);
        self.row.store(row, Relaxed);
        self.unused.store(0, Relaxed);
        self.allowed.store(allowed, Relaxed);
        if row > ROW && rest == Rest::Chunks {
            self.is_flood.store(true, Relaxed);
        }
        let pace = if row > ROW {
            Pace::Later
        } else if self.fresh.swap(false, Relaxed) {
            Pace::Now
        } else {
            Pace::AfterOthers
        };
        self.held_back.store(pace != Pace::Now, Relaxed);
        pace
    }

    /// A request begins.
    pub(super) fn begin(&self, now_ms: u64) {
        self.turn.store(packed(Turn::Ours, now_ms), Relaxed);
        self.held_back.store(false, Relaxed);
        self.read_on();
    }

    /// It has its turn among the connections of its thread.
    pub(super) fn visited(&self) {
        self.fresh.store(true, Relaxed);
    }

    /// It was answered, or is gone.
    pub(super) fn end(&self, now_ms: u64) {
        self.turn.store(packed(Turn::Idle, now_ms), Relaxed);
        self.unused.store(0, Relaxed);
        self.looked_at.store(false, Relaxed);
        self.read_on();
    }

    fn read_on(&self) {
        if self.ahead.load(Relaxed) {
            self.ahead.store(false, Relaxed);
            self.waker.wake();
        }
    }

    /// Bytes came.
    pub(super) fn received(&self, bytes: usize, now_ms: impl FnOnce() -> u64) {
        if self.turn().0 == Turn::Idle && !self.held_back.load(Relaxed) {
            self.row.store(0, Relaxed);
            self.turn.store(packed(Turn::Head, now_ms()), Relaxed);
        }
        // One thread writes.
        self.unused.store(self.unused.load(Relaxed).saturating_add(bytes), Relaxed);
        self.came.store(self.came.load(Relaxed).saturating_add(bytes), Relaxed);
        self.looked_at.store(false, Relaxed);
    }

    /// A piece of a body of unknown length was read, so many bytes: with it went the line that says its length, and two ends
    /// of lines (RFC 9112, section 7.1).
    pub(super) fn took(&self, bytes: usize) {
        if self.has_chunks.load(Relaxed) {
            let digits = bytes.checked_ilog(16).map_or(1, |digits| digits as usize + 1);
            self.used(bytes + digits + 4);
        }
    }

    fn used(&self, bytes: usize) {
        self.used.store(self.used.load(Relaxed).saturating_add(bytes), Relaxed);
    }

    /// What the framework holds of it at most, bytes.
    fn held(&self) -> usize {
        self.came.load(Relaxed).saturating_sub(self.used.load(Relaxed))
    }

    /// Before it is read from: whether the framework has to look first at what came before.
    pub(super) fn must_be_looked_at(&self) -> bool {
        if self.has_request() {
            return false;
        }
        if self.looked_at.load(Relaxed) {
            self.came.store(0, Relaxed);
            self.used.store(0, Relaxed);
        }
        self.came.load(Relaxed) >= LOOKED_AT
    }

    /// The framework looks at it now.
    pub(super) fn looked_at(&self) {
        self.looked_at.store(true, Relaxed);
    }

    /// Whether it brought so much that no request can come of it any more. Asked when the framework has seen all of it.
    pub(super) fn is_endless(&self) -> bool {
        if self.has_request() {
            // Of a body without a length, or behind it, more than the framework may hold.
            self.is_flood.load(Relaxed) || self.has_chunks.load(Relaxed) && self.held() >= READ_AHEAD
        } else {
            self.unused.load(Relaxed) >= self.allowed.load(Relaxed)
        }
    }

    /// Whether it brought enough behind a request: more is not read until that is answered. The framework would go round
    /// without rest over a full buffer.
    pub(super) fn is_ahead(&self) -> bool {
        // Nobody takes anything of one that may not begin yet.
        let is_taken = self.has_chunks.load(Relaxed) && !self.held_back.load(Relaxed);
        let is_ahead = self.has_request() && !is_taken && self.held() >= HEAD_LIMIT;
        if is_ahead {
            self.ahead.store(true, Relaxed);
        }
        is_ahead
    }

    /// Whether the next that comes is a head, and no body that nobody wanted.
    pub(super) fn expects_head(&self) -> bool {
        !self.has_request() && self.allowed.load(Relaxed) <= HEAD_LIMIT
    }

    /// Whether what comes may be the rest of a body that nobody wanted.
    pub(super) fn skips_body(&self) -> bool {
        !self.has_request() && self.allowed.load(Relaxed) > HEAD_LIMIT
    }

    /// Whether one is under way, or held back.
    pub(super) fn has_request(&self) -> bool {
        self.turn().0 == Turn::Ours || self.held_back.load(Relaxed)
    }

    /// The client took something.
    pub(super) fn moved(&self) {
        if self.blocked.load(Relaxed) != NEVER {
            self.blocked.store(NEVER, Relaxed);
        }
    }

    /// The client takes nothing more for now.
    pub(super) fn blocked(&self, now_ms: impl FnOnce() -> u64) {
        if self.blocked.load(Relaxed) == NEVER {
            self.blocked.store(now_ms(), Relaxed);
        }
    }

    /// Since when it waits for its client, unless it does not, or has to go anyway.
    pub(super) fn waiting_since(&self) -> Option<u64> {
        (!self.has_request() && self.verdict() == Verdict::Stay).then_some(self.turn().1)
    }

    /// What the rules say of it now.
    pub(super) fn judge(&self, rules: &Rules, now_ms: u64) -> Verdict {
        let is_over =
            |since: u64, limit: std::time::Duration| u128::from(now_ms.saturating_sub(since)) >= limit.as_millis();
        let blocked = self.blocked.load(Relaxed);
        if blocked != NEVER && is_over(blocked, rules.write) {
            return Verdict::Stalled;
        }
        if self.has_request() {
            return Verdict::Stay;
        }
        match self.turn() {
            (Turn::Head, since) if is_over(since, rules.head) => Verdict::SlowHead,
            (Turn::Idle, since) if is_over(since, rules.keep_alive) => Verdict::Idle,
            _ => Verdict::Stay,
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        VERDICTS.get(usize::from(self.verdict.load(SeqCst))).copied().unwrap_or(Verdict::Stay)
    }

    /// Tells it to go, and wakes it so that it does.
    pub(super) fn end_with(&self, verdict: Verdict) {
        self.verdict.store(verdict as u8, SeqCst);
        self.waker.wake();
    }

    /// It stays after all: a request came in between.
    pub(super) fn pardon(&self) {
        self.verdict.store(Verdict::Stay as u8, SeqCst);
    }

    /// Whom to wake. A verdict from before this call is not told again: look for it afterwards.
    pub(super) fn wake_later(&self, waker: &Waker) {
        self.waker.register(waker);
    }
}

fn packed(turn: Turn, now_ms: u64) -> u64 {
    now_ms << 2
        | match turn {
            Turn::Ours => 0,
            Turn::Head => 1,
            Turn::Idle => 2,
        }
}
