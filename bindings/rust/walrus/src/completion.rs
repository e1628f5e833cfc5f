//! An asynchronous append as a future.

use crate::callback::is_inside_callback;
use crate::error::{Code, Error, Result};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// An append that is on its way to stable storage: await it in any executor, or [`wait`](PendingAppend::wait) for it. Its output is the
/// entry's index. Dropping it takes nothing back: the entry is in the log.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/temporary.rs")); }
/// # let dir = support::Temporary::new("pending");
/// # let log = walrus::open(dir.join("log"))?;
/// let first = log.append_pending("one")?;
/// let second = log.append_pending("two")?; // both share a sync
/// assert_eq!((first.wait()?, second.wait()?), (1, 2));
/// # Ok::<(), walrus::Error>(())
/// ```
#[must_use = "nothing says whether the entry became durable if it is neither awaited nor waited for"]
#[derive(Debug)]
pub struct PendingAppend {
    index: u64,
    completion: Arc<Completion>,
}

#[derive(Debug)]
pub(crate) struct Completion {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_told: bool,
    /// Until the future has taken it.
    failure: Option<Error>,
    waker: Option<Waker>,
}

impl Completion {
    pub fn new() -> Arc<Self> {
        Arc::new(Completion { state: Mutex::default(), changed: Condvar::new() })
    }

    /// What the log's completion thread calls.
    pub fn teller(self: &Arc<Self>) -> impl FnOnce(u64, Result<()>) + Send + 'static {
        let completion = Arc::clone(self);
        move |_, result| {
            let mut state = completion.lock();
            state.is_told = true;
            state.failure = result.err();
            let waker = state.waker.take();
            drop(state);
            completion.changed.notify_all();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingAppend {
    pub(crate) fn new(index: u64, completion: Arc<Completion>) -> Self {
        PendingAppend { index, completion }
    }

    /// The entry's index.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Whether its fate is known, so that waiting returns at once.
    pub fn is_done(&self) -> bool {
        self.completion.lock().is_told
    }

    /// Waits until the entry is durable, and returns its index. Errors: `Io`, `Poisoned`, `Closed`: it is not known whether it is; `Busy`, from
    /// inside a completion or a logger, where nothing may wait.
    pub fn wait(self) -> Result<u64> {
        self.wait_until(None).map(|_| self.index)
    }

    /// Waits so long at the most, and answers whether the entry is durable. Errors: as [`wait`](PendingAppend::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Result<bool> {
        let mut state = self.completion.lock();
        while !state.is_told {
            if is_inside_callback() {
                return Err(Error::new(
                    Code::Busy,
                    "nothing may wait inside a completion or a logger: return from it first",
                ));
            }
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => self.completion.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return Ok(false),
                Some(left) => {
                    self.completion.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.failure.as_ref().map_or(Ok(true), |failure| Err(Error::of_code(failure.code().raw())))
    }
}

impl Future for PendingAppend {
    type Output = Result<u64>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.completion.lock();
        if !state.is_told {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(state.failure.as_ref().map_or(Ok(self.index), |failure| Err(Error::of_code(failure.code().raw()))))
    }
}
