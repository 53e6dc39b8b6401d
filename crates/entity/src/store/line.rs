//! Who writes next.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::StoreError;

/// Of so many turns in a row that go to those who go first while others wait, the next is one of the others': they are slowed
/// down, never shut out.
const FIRST_IN_A_ROW: u32 = 4;

/// Whose turn a write waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Before those who wait for an ordinary one.
    First,
    /// After those who go first, but for one turn in five.
    Ordinary,
}

/// The line before a database's writers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Line(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    patience: Duration,
}

struct Waiting {
    /// Writers that nobody has.
    free: usize,
    first: VecDeque<oneshot::Sender<AtHead>>,
    ordinary: VecDeque<oneshot::Sender<AtHead>>,
    /// Turns that went to those who go first since an ordinary write had one.
    in_a_row: u32,
}

/// A turn; the next one's when it is dropped, in whatever way, also on its way to somebody who has left.
#[must_use = "a turn that is dropped at once keeps nobody waiting"]
pub(super) struct AtHead(Option<Line>);

impl Line {
    pub(super) fn new(writers: usize, patience: Duration) -> Self {
        let (first, ordinary) = (VecDeque::new(), VecDeque::new());
        let waiting = Mutex::new(Waiting { free: writers, first, ordinary, in_a_row: 0 });
        Self(Arc::new(Shared { waiting, patience }))
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when it did not come in time.
    pub(super) async fn wait(&self, turn: Turn) -> Result<AtHead, StoreError> {
        let Some(called) = self.ask(turn) else { return Ok(AtHead(Some(self.clone()))) };
        match timeout(self.0.patience, called).await {
            Ok(Ok(at_head)) => Ok(at_head),
            _ => {
                let patience = self.0.patience;
                Err(StoreError::Busy(format!("a write waited for its turn: none came in {patience:?}")))
            }
        }
    }

    /// Lines up; nothing when there is a free writer.
    fn ask(&self, turn: Turn) -> Option<oneshot::Receiver<AtHead>> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.free > 0 {
            waiting.free -= 1;
            return None;
        }
        let (call, called) = oneshot::channel();
        match turn {
            Turn::First => waiting.first.push_back(call),
            Turn::Ordinary => waiting.ordinary.push_back(call),
        }
        Some(called)
    }

    /// Gives a turn that is over to the next who is still there.
    fn pass_on(self) {
        let mut turn = AtHead(Some(self.clone()));
        loop {
            let next = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(next) = next else {
                // The writer was counted as free under the same lock.
                turn.0 = None;
                return;
            };
            match next.send(turn) {
                Ok(()) => return,
                Err(back) => turn = back,
            }
        }
    }
}

impl Waiting {
    fn next(&mut self) -> Option<oneshot::Sender<AtHead>> {
        let is_their_turn = self.first.is_empty() || self.in_a_row >= FIRST_IN_A_ROW;
        // Whoever has left takes no turn: their turn is still due.
        if is_their_turn && let Some(next) = pop_present(&mut self.ordinary) {
            self.in_a_row = 0;
            return Some(next);
        }
        match pop_present(&mut self.first) {
            Some(next) => {
                // Only what keeps somebody waiting counts.
                self.in_a_row = if self.ordinary.is_empty() { 0 } else { self.in_a_row + 1 };
                Some(next)
            }
            None => {
                self.free += 1;
                None
            }
        }
    }
}

/// The first who is still there.
fn pop_present(line: &mut VecDeque<oneshot::Sender<AtHead>>) -> Option<oneshot::Sender<AtHead>> {
    std::iter::from_fn(|| line.pop_front()).find(|next| !next.is_closed())
}

impl Drop for AtHead {
    fn drop(&mut self) {
        if let Some(line) = self.0.take() {
            line.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::BoxFuture};

    use super::*;

    type Asked = BoxFuture<'static, Result<AtHead, StoreError>>;

    /// Lines up in this order; each is polled once.
    fn line_up(line: &Line, turn: Turn, how_many: usize) -> Vec<Asked> {
        let mut all: Vec<Asked> = Vec::new();
        for _ in 0..how_many {
            let line = line.clone();
            let mut asked: Asked = Box::pin(async move { line.wait(turn).await });
            assert!(asked.as_mut().now_or_never().is_none(), "it waits");
            all.push(asked);
        }
        all
    }

    /// Those who have been called, by their place in the list.
    fn called(all: &mut [Option<Asked>]) -> Vec<(usize, AtHead)> {
        let look = |(place, asked): (usize, &mut Option<Asked>)| {
            let at_head = asked.as_mut()?.as_mut().now_or_never()?.expect("a turn");
            *asked = None;
            Some((place, at_head))
        };
        all.iter_mut().enumerate().filter_map(look).collect()
    }

    #[tokio::test]
    async fn whoever_goes_first_waits_for_nobody_but_the_one_who_writes() {
        let line = Line::new(1, Duration::from_secs(30));
        let writing = line.wait(Turn::Ordinary).await.unwrap();
        let others = line_up(&line, Turn::Ordinary, 10);
        let first = line_up(&line, Turn::First, 1);
        drop(writing);
        let mut all: Vec<_> = first.into_iter().chain(others).map(Some).collect();
        let mut at_head = called(&mut all);
        assert_eq!(at_head.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0]);
        for place in 1..=10 {
            at_head.clear();
            at_head = called(&mut all);
            assert_eq!(at_head.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [place], "in their order");
        }
    }

    #[tokio::test]
    async fn however_many_go_first_every_fifth_turn_is_an_ordinary_one() {
        let line = Line::new(1, Duration::from_secs(30));
        let writing = line.wait(Turn::First).await.unwrap();
        let first = line_up(&line, Turn::First, 40);
        let others = line_up(&line, Turn::Ordinary, 5);
        drop(writing);
        let mut all: Vec<_> = first.into_iter().chain(others).map(Some).collect();
        let mut order = Vec::new();
        for _ in 0..45 {
            let at_head = called(&mut all);
            assert_eq!(at_head.len(), 1, "one writer");
            order.push(at_head[0].0 >= 40);
        }
        let ordinary: Vec<_> = (0..45).filter(|turn| order[*turn]).collect();
        assert_eq!(ordinary, [4, 9, 14, 19, 24]);
    }

    #[tokio::test]
    async fn those_who_have_left_take_no_ordinary_turn() {
        let line = Line::new(1, Duration::from_secs(30));
        let writing = line.wait(Turn::First).await.unwrap();
        let first = line_up(&line, Turn::First, 6);
        drop(line_up(&line, Turn::Ordinary, 100));
        let others = line_up(&line, Turn::Ordinary, 1);
        drop(writing);
        let mut all: Vec<_> = first.into_iter().chain(others).map(Some).collect();
        let order: Vec<_> = (0..7).map(|_| called(&mut all)[0].0).collect();
        assert_eq!(order, [0, 1, 2, 3, 6, 4, 5]);
        assert!(line.0.waiting.lock().unwrap().ordinary.is_empty());
    }

    #[tokio::test]
    async fn who_waits_in_vain_is_told_that_the_database_is_busy() {
        let line = Line::new(1, Duration::from_millis(1));
        let _writing = line.wait(Turn::First).await.unwrap();
        for turn in [Turn::First, Turn::Ordinary] {
            assert!(matches!(line.wait(turn).await, Err(StoreError::Busy(text)) if text.contains("1ms")), "{turn:?}");
        }
    }

    #[tokio::test]
    async fn a_turn_of_somebody_who_left_is_the_next_ones() {
        let line = Line::new(1, Duration::from_secs(30));
        let writing = line.wait(Turn::First).await.unwrap();
        let mut all = line_up(&line, Turn::First, 3);
        // One leaves before the call, one after it.
        drop(all.remove(0));
        drop(writing);
        drop(all.remove(0));
        let last = all.remove(0).now_or_never().expect("called").unwrap();
        drop(last);
        assert!(line.wait(Turn::Ordinary).now_or_never().expect("free again").is_ok());
    }
}
