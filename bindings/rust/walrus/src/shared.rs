//! The handle of an open log, and the rules that keep it safe.
//!
//! `walrus_close` must be alone. Methods of [`Log`](crate::Log) borrow it, so none of them lasts when it is consumed. Cursors and transactions
//! do not: they enter here for each call, and a close first turns new calls away, then ends the waits of those that are inside, and frees
//! the log once none is left. After that they are answered here, and do not reach the library any more.
//!
//! From inside a callback a log cannot be closed: what would have waited for itself is then done by a thread of its own.

use crate::callback::{is_inside_callback, LoggerFn};
use crate::error::{check, Code, Error, Result};
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use walrus_sys as sys;

pub(crate) struct Shared {
    pub log: NonNull<sys::walrus_t>,
    pub path: PathBuf,
    calls: Calls,
    /// C calls it until walrus_close has returned.
    _logger: Option<Box<LoggerFn>>,
}

// Safety: a walrus_t may be used from any number of threads at once, and so may the logger.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Shared {
    pub fn new(log: NonNull<sys::walrus_t>, path: PathBuf, logger: Option<Box<LoggerFn>>) -> Arc<Self> {
        Arc::new(Shared { log, path, calls: Calls::default(), _logger: logger })
    }

    /// A call through a cursor or a transaction begins, and lasts as long as what is returned.
    pub fn enter(&self) -> Result<Inside<'_>> {
        self.calls.enter().ok_or_else(|| {
            Error::new(Code::Closed, format!("{}: the log was closed; open it again to use it", self.path.display()))
        })
    }
}

/// Ends the use of the log, and frees it. Called once for each log.
pub(crate) fn close(shared: &Arc<Shared>) -> Result<()> {
    shared.calls.turn_away();
    if !shared.calls.is_idle() && is_inside_callback() {
        close_on_another_thread(shared);
        return Err(Error::new(
            Code::Busy,
            "a log cannot be closed from inside a callback while cursors or transactions are in use: it is closed afterwards",
        ));
    }
    // What waits is interrupted, and not shut down: completions that are still due may then tell of success. In a forked child
    // those inside are threads of the parent, which are not here to wait for.
    // Safety: the handle is freed below, and nowhere else.
    while !shared.calls.is_idle() && unsafe { sys::walrus_interrupt(shared.log.as_ptr()) } == sys::WALRUS_OK {
        shared.calls.wait(Duration::from_millis(1));
    }
    let code = unsafe { sys::walrus_close(shared.log.as_ptr()) };
    let result = check(code);
    if code == sys::WALRUS_E_BUSY {
        close_on_another_thread(shared);
    }
    result
}

fn close_on_another_thread(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    do_elsewhere(move || drop(close(&shared)));
}

/// Runs what must not run inside a callback. Where there are no more threads, it is left undone, and what it holds is never freed.
pub(crate) fn do_elsewhere(work: impl FnOnce() + Send + 'static) {
    let work = Arc::new(Mutex::new(Some(work)));
    let theirs = Arc::clone(&work);
    let started = thread::Builder::new().name("walrus-close".into()).spawn(move || {
        let work = theirs.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work {
            work();
        }
    });
    if started.is_err() {
        std::mem::forget(work);
    }
}

/// How many calls are inside, and whether new ones are turned away.
#[derive(Default)]
struct Calls {
    state: AtomicUsize,
    left: Mutex<()>,
    changed: Condvar,
}

const CLOSING: usize = 1 << (usize::BITS - 1);

impl Calls {
    fn enter(&self) -> Option<Inside<'_>> {
        let inside = Inside(self); // a call that is turned away leaves as well
        if self.state.fetch_add(1, Ordering::Acquire) & CLOSING != 0 {
            return None;
        }
        Some(inside)
    }

    fn turn_away(&self) {
        self.state.fetch_or(CLOSING, Ordering::AcqRel);
    }

    fn is_idle(&self) -> bool {
        self.state.load(Ordering::Acquire) & !CLOSING == 0
    }

    fn wait(&self, at_most: Duration) {
        let guard = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_idle() {
            drop(self.changed.wait_timeout(guard, at_most));
        }
    }
}

/// One call that is inside.
pub(crate) struct Inside<'a>(&'a Calls);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if self.0.state.fetch_sub(1, Ordering::AcqRel) & CLOSING != 0 {
            drop(self.0.left.lock());
            self.0.changed.notify_all();
        }
    }
}
