//! Panics as values, and their place and backtrace in the log.

use std::{any::Any, backtrace::Backtrace, future::Future, panic::AssertUnwindSafe, sync::Once};

use futures_util::FutureExt;

tokio::task_local! {
    /// The name of the task that is being polled on this thread, for the panic hook.
    pub(super) static TASK: &'static str;
}

/// Runs `future`; a panic in it becomes its message. The state it shared with others may be half changed: drop it.
///
/// No `async fn`: that would hold `future` twice, as it was given and as it is awaited, and this is around every request.
///
/// # Errors
/// The panic's message, for logs.
pub fn catch_panic<F: Future>(future: F) -> impl Future<Output = Result<F::Output, String>> {
    AssertUnwindSafe(future).catch_unwind().map(|outcome| outcome.map_err(|payload| message(&*payload)))
}

/// From now on every panic is one log event with the task's name, place and backtrace. Only a panic pays for a
/// backtrace. Until logging is set up, panics still go to standard error. A second call changes nothing.
pub(crate) fn install_panic_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !tracing::dispatcher::has_been_set() {
                return previous(info);
            }
            let task = TASK.try_with(|name| *name).unwrap_or("none");
            let location = info.location().map(ToString::to_string).unwrap_or_default();
            let backtrace = Backtrace::force_capture();
            tracing::error!(task, message = message(info.payload()), location, %backtrace, "panic");
        }));
    });
}

fn message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
