//! Closures as C sees them. A panic never unwinds through the library: a visitor's goes on where the walk was begun, a logger's and
//! a completion's ends here, as a thread's does, once the panic hook has told of it.

use crate::entry::EntryRef;
use crate::error::{check, Error, Result};
use crate::operations::Segment;
use crate::options::Level;
use std::any::Any;
use std::cell::Cell;
use std::ffi::{c_char, c_void, CStr};
use std::ops::ControlFlow;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::LocalKey;
use std::{mem, thread};
use walrus_sys as sys;

thread_local! {
    static CALLBACKS: Cell<usize> = const { Cell::new(0) };
    static LOGGERS: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread runs a logger or a completion, of whatever log: closures that something may wait for.
pub(crate) fn is_inside_callback() -> bool {
    CALLBACKS.try_with(Cell::get).unwrap_or(0) > 0
}

/// Whether it runs a logger, and the library perhaps holds a lock.
pub(crate) fn is_inside_logger() -> bool {
    LOGGERS.try_with(Cell::get).unwrap_or(0) > 0
}

fn counted<T>(depth: &'static LocalKey<Cell<usize>>, body: impl FnOnce() -> T) -> T {
    let _ = depth.try_with(|depth| depth.set(depth.get() + 1));
    let result = body();
    let _ = depth.try_with(|depth| depth.set(depth.get() - 1));
    result
}

/// Runs a logger or a completion, and keeps its panic.
fn run<T>(body: impl FnOnce() -> T) -> thread::Result<T> {
    counted(&CALLBACKS, || catch_unwind(AssertUnwindSafe(body)))
}

/// Ends a panic that nobody is there to take. Its payload may panic, too, when it is dropped.
fn swallow(payload: Box<dyn Any + Send>) {
    if let Err(another) = run(|| drop(payload)) {
        mem::forget(another);
    }
}

// ---- Visitors

/// A visitor while its walk lasts, and what ended it.
struct Walk<F, B> {
    visit: F,
    broke: Option<B>,
    panicked: Option<Box<dyn Any + Send>>,
}

impl<F, B> Walk<F, B> {
    /// What C is to be answered: 0 to go on.
    fn step(&mut self, body: impl FnOnce(&mut F) -> ControlFlow<B>) -> i32 {
        match catch_unwind(AssertUnwindSafe(|| body(&mut self.visit))) {
            Ok(ControlFlow::Continue(())) => return 0,
            Ok(ControlFlow::Break(value)) => self.broke = Some(value),
            Err(payload) => self.panicked = Some(payload),
        }
        1
    }
}

/// Begins a walk: `begin` is handed the ctx. Answers what the visitor broke with.
fn walk<F, B>(visit: F, begin: impl FnOnce(*mut c_void) -> i32) -> Result<Option<B>> {
    let mut state = Walk { visit, broke: None, panicked: None };
    let code = begin((&mut state as *mut Walk<F, B>).cast());
    if let Some(payload) = state.panicked {
        resume_unwind(payload);
    }
    check(code)?;
    Ok(state.broke)
}

pub(crate) fn scan<F, B>(log: *mut sys::walrus_t, first: u64, last: u64, visit: F) -> Result<Option<B>>
where
    F: FnMut(EntryRef<'_>) -> ControlFlow<B>,
{
    unsafe extern "C" fn visit_entry<F, B>(ctx: *mut c_void, entry: *const sys::walrus_entry_t) -> i32
    where
        F: FnMut(EntryRef<'_>) -> ControlFlow<B>,
    {
        // Safety: ctx is the walk below, which nobody else uses meanwhile; the entry lives during the call.
        let (walk, entry) = unsafe { (&mut *ctx.cast::<Walk<F, B>>(), EntryRef::new(&*entry)) };
        walk.step(|visit| visit(entry))
    }
    walk(visit, |ctx| unsafe { sys::walrus_scan(log, first, last, Some(visit_entry::<F, B>), ctx) })
}

pub(crate) fn each_meta<F, B>(log: *mut sys::walrus_t, visit: F) -> Result<Option<B>>
where
    F: FnMut(&[u8], &[u8]) -> ControlFlow<B>,
{
    unsafe extern "C" fn visit_meta<F, B>(
        ctx: *mut c_void,
        key: *const c_char,
        value: *const c_void,
        size: usize,
    ) -> i32
    where
        F: FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    {
        // Safety: as above.
        let (walk, key, value) =
            unsafe { (&mut *ctx.cast::<Walk<F, B>>(), CStr::from_ptr(key), crate::entry::bytes(value, size)) };
        walk.step(|visit| visit(key.to_bytes(), value))
    }
    walk(visit, |ctx| unsafe { sys::walrus_meta_each(log, Some(visit_meta::<F, B>), ctx) })
}

pub(crate) fn convert<F, B>(
    source: &CStr,
    target: &CStr,
    options: *const sys::walrus_options_t,
    progress: F,
) -> Result<Option<B>>
where
    F: FnMut(u64, u64) -> ControlFlow<B>,
{
    unsafe extern "C" fn tell<F, B>(ctx: *mut c_void, done: u64, total: u64) -> i32
    where
        F: FnMut(u64, u64) -> ControlFlow<B>,
    {
        // Safety: as above.
        let walk = unsafe { &mut *ctx.cast::<Walk<F, B>>() };
        walk.step(|progress| progress(done, total))
    }
    walk(progress, |ctx| unsafe {
        sys::walrus_convert(source.as_ptr(), target.as_ptr(), options, Some(tell::<F, B>), ctx)
    })
}

pub(crate) fn each_segment<F, B>(log: *mut sys::walrus_t, visit: F) -> Result<Option<B>>
where
    F: FnMut(Segment) -> ControlFlow<B>,
{
    unsafe extern "C" fn visit_segment<F, B>(ctx: *mut c_void, info: *const sys::walrus_segment_info_t) -> i32
    where
        F: FnMut(Segment) -> ControlFlow<B>,
    {
        // Safety: as above.
        let (walk, info) = unsafe { (&mut *ctx.cast::<Walk<F, B>>(), &*info) };
        walk.step(|visit| visit(Segment::new(info)))
    }
    walk(visit, |ctx| unsafe { sys::walrus_segments(log, Some(visit_segment::<F, B>), ctx) })
}

pub(crate) fn each_option<F, B>(visit: F) -> Result<Option<B>>
where
    F: FnMut(&'static str, &'static str, &'static str) -> ControlFlow<B>,
{
    unsafe extern "C" fn visit_option<F, B>(
        ctx: *mut c_void,
        key: *const c_char,
        default: *const c_char,
        allowed: *const c_char,
    ) -> i32
    where
        F: FnMut(&'static str, &'static str, &'static str) -> ControlFlow<B>,
    {
        // Safety: as above, and the texts are static.
        let walk = unsafe { &mut *ctx.cast::<Walk<F, B>>() };
        let [key, default, allowed] =
            [key, default, allowed].map(|text| unsafe { CStr::from_ptr::<'static>(text) }.to_str().unwrap_or_default());
        walk.step(|visit| visit(key, default, allowed))
    }
    walk(visit, |ctx| unsafe { sys::walrus_options_each(std::ptr::null(), Some(visit_option::<F, B>), ctx) })
}

// ---- Completions

/// Appends with a completion, which is freed when it was called, or here if it never will be.
pub(crate) fn append_async<F>(log: *mut sys::walrus_t, record: &sys::walrus_record_t, done: F) -> Result<u64>
where
    F: FnOnce(u64, Result<()>) + Send + 'static,
{
    unsafe extern "C" fn completed<F>(ctx: *mut c_void, index: u64, status: i32)
    where
        F: FnOnce(u64, Result<()>) + Send + 'static,
    {
        // Safety: ctx is the box below, and this is the one call for it.
        let done = unsafe { Box::from_raw(ctx.cast::<F>()) };
        let result = if status < 0 { Err(Error::of_code(status)) } else { Ok(()) };
        if let Err(payload) = run(|| done(index, result)) {
            swallow(payload);
        }
    }
    let mut index = 0;
    let ctx = Box::into_raw(Box::new(done));
    let code = unsafe { sys::walrus_append_async(log, record, 0, Some(completed::<F>), ctx.cast(), &mut index) };
    let result = check(code);
    if result.is_err() {
        // Safety: after an error the completion is not called.
        drop(unsafe { Box::from_raw(ctx) });
    }
    result.map(|()| index)
}

// ---- The logger

pub(crate) type LoggerFn = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// ctx is a `LoggerFn` that outlives the log.
pub(crate) unsafe extern "C" fn logged(ctx: *mut c_void, level: i32, message: *const c_char) {
    // Safety: the log's owner keeps it until walrus_close has returned; the message lives during the call.
    let (logger, message) = unsafe { (&*ctx.cast::<LoggerFn>(), CStr::from_ptr(message)) };
    if let Err(payload) = counted(&LOGGERS, || run(|| logger(Level::from_raw(level), &message.to_string_lossy()))) {
        swallow(payload);
    }
}
