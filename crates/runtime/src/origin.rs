//! Which request a log line belongs to. Not a span of the tracing library: most requests log nothing inside, and
//! should pay nothing for the lines that they might have written.

use std::{future::Future, sync::Arc};

tokio::task_local! {
    static CURRENT: Option<Origin>;
}

/// The request that log lines are written for. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    id: Id,
    trace: Option<[u8; 32]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Id {
    Drawn([u8; 32]),
    Given(Arc<str>),
}

impl Origin {
    /// A request without an id of its own: it gets these dice, written in hexadecimal digits.
    #[must_use]
    pub fn drawn(dice: [u8; 16]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut id = [0; 32];
        for (pair, byte) in id.chunks_exact_mut(2).zip(dice) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self { id: Id::Drawn(id), trace: None }
    }

    /// A request that named itself. The caller has looked at the name: it goes to the log as it is.
    #[must_use]
    pub fn given(id: &str) -> Self {
        Self { id: Id::Given(id.into()), trace: None }
    }

    /// The trace that it belongs to (W3C Trace Context): 32 hexadecimal digits; anything else is no trace.
    #[must_use]
    pub fn within_trace(mut self, trace: Option<&str>) -> Self {
        let digits = trace.filter(|trace| trace.bytes().all(|byte| byte.is_ascii_hexdigit()));
        self.trace = digits.and_then(|trace| trace.as_bytes().try_into().ok());
        self
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> &str {
        match &self.id {
            Id::Drawn(digits) => std::str::from_utf8(digits).unwrap_or_default(),
            Id::Given(id) => id,
        }
    }

    /// The trace that it belongs to.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.trace.as_ref().and_then(|digits| std::str::from_utf8(digits).ok())
    }

    /// Runs `future` for this request: what it logs, and what the supervised tasks that it starts log, names the request.
    pub fn run<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(Some(self), future)
    }

    /// The same for a function.
    pub fn run_sync<T>(self, function: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(Some(self), function)
    }

    /// Shows the request that is being worked for on this thread, if it is one.
    pub(crate) fn with_current<T>(look: impl FnOnce(&Self) -> T) -> Option<T> {
        CURRENT.try_with(|origin| origin.as_ref().map(look)).ok().flatten()
    }
}

/// Runs `future`, elsewhere and later, for the request that this is called for.
pub(crate) fn inherited<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    CURRENT.scope(Origin::with_current(Clone::clone), future)
}
