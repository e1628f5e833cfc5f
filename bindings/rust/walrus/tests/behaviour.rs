// behaviour.rs - what this crate adds to the C interface, and must keep: ownership, threads, panics, closing
//
// What a log answers is checked by scenarios.rs.
mod support;

use std::future::Future;
use std::ops::ControlFlow::{self, Break, Continue};
use std::os::fd::AsRawFd;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};
use std::{error, io, thread};
use support::{is_readable, Temporary};
use walrus::{Code, Cursor, Durability, Entry, EntryRef, Error, Level, Log, Options, Record, Sync, Transaction};

const LONG: Duration = Duration::from_secs(30);

fn fast() -> Options {
    Options::new().sync(Sync::None).preallocate(false)
}

/// Until it is so, or the time is over.
fn becomes(mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < LONG {
        if is_so() {
            return true;
        }
        thread::sleep(Duration::from_millis(2));
    }
    false
}

// ---- Types

#[test]
fn handles_may_go_where_the_header_says() {
    fn shared<T: Send + std::marker::Sync>() {}
    fn sent<T: Send>() {}
    shared::<Log>();
    shared::<Entry>();
    shared::<Error>();
    shared::<Options>();
    shared::<walrus::PendingAppend>();
    sent::<Cursor>();
    sent::<Transaction>();
    // That a cursor and a transaction are not Sync, and bytes do not outlive their entry, is in the doc tests.
}

// ---- Ownership

#[test]
fn entries_outlive_truncation_close_and_destruction() {
    let place = Temporary::new("outlive");
    let path = place.join("log");
    for zero_copy in [true, false] {
        let log = fast().zero_copy(zero_copy).open(&path).unwrap();
        log.append(vec![7; 100_000]).unwrap();
        log.append("").unwrap();
        log.sync().unwrap();
        let (entry, empty) = (log.get(1).unwrap(), log.get(2).unwrap());
        log.truncate(0).unwrap();
        log.close().unwrap();
        walrus::destroy(&path).unwrap();
        let entry = thread::spawn(move || entry).join().unwrap();
        assert!(entry.len() == 100_000 && entry.iter().all(|byte| *byte == 7));
        assert_eq!(walrus::crc32(&entry), entry.checksum());
        assert_eq!(empty.data(), b"");
    }
}

#[test]
fn cursors_and_transactions_outlive_their_log() {
    let place = Temporary::new("after");
    let log = fast().open(place.join("log")).unwrap();
    log.append("a").unwrap();
    let mut cursor = log.cursor(0).unwrap();
    let entry = cursor.next_entry().unwrap().unwrap();
    let (mut first, second) = (log.transaction().unwrap(), log.transaction().unwrap());
    first.append("staged").unwrap();
    log.close().unwrap();
    assert_eq!(cursor.next_entry().unwrap_err().code(), Code::Closed);
    assert_eq!(cursor.seek(1).unwrap_err().code(), Code::Closed);
    assert_eq!(cursor.wait(None).unwrap_err().code(), Code::Closed);
    assert_eq!(cursor.position(), 2);
    assert_eq!(first.append("b").unwrap_err().code(), Code::Closed);
    assert_eq!(first.commit(Durability::AsOpened).unwrap_err().code(), Code::Closed);
    assert_eq!(first.state().unwrap_err().code(), Code::Closed);
    second.rollback().unwrap();
    drop((cursor, first));
    assert_eq!(&entry[..], b"a");
    let log = fast().open(place.join("log")).unwrap();
    assert_eq!((log.last_index(), log.transaction_count()), (1, 0));
}

#[test]
fn a_dropped_transaction_is_rolled_back_and_a_committed_one_is_not() {
    let place = Temporary::new("txn");
    let log = fast().open(place.join("log")).unwrap();
    let mut dropped = log.transaction().unwrap();
    dropped.append(Record::new("no").term(3)).unwrap();
    assert_eq!(log.transaction_count(), 1);
    drop(dropped);
    assert_eq!((log.transaction_count(), log.last_index()), (0, 0));

    let mut kept = log.transaction_for(None).unwrap();
    kept.append("yes").unwrap();
    assert_eq!(kept.commit(Durability::AsOpened).unwrap(), 1..2);
    assert_eq!(kept.state().unwrap(), walrus::TransactionState::Committed);
    assert_eq!(kept.append("more").unwrap_err().code(), Code::TxnState);
    assert_eq!(kept.commit(Durability::AsOpened).unwrap_err().code(), Code::TxnState);
    kept.rollback().unwrap();
    assert_eq!(log.last_index(), 1);

    let mut again = log.transaction().unwrap();
    again.append(Record::new("early").index(9)).unwrap();
    let error = again.commit(Durability::AsOpened).unwrap_err();
    assert_eq!((error.code(), error.appended()), (Code::OutOfOrder, None));
    assert_eq!(again.state().unwrap(), walrus::TransactionState::Open);
}

// ---- Closing

#[test]
fn a_close_ends_the_waits_of_cursors_on_other_threads() {
    let place = Temporary::new("close");
    for round in 0..20 {
        let log = fast().open(place.join("log")).unwrap();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let mut cursor = log.cursor(log.next_index()).unwrap();
                thread::spawn(move || loop {
                    match cursor.wait(None) {
                        Ok(_) => continue,
                        Err(error) if error.code() == Code::Canceled => continue, // and then it is closed
                        Err(error) => return error.code(),
                    }
                })
            })
            .collect();
        let done = log.append_pending("pending").unwrap();
        thread::sleep(Duration::from_micros(300 * round));
        log.close().unwrap();
        for thread in waiting {
            assert_eq!(thread.join().unwrap(), Code::Closed);
        }
        done.wait().expect("a close tells of success");
    }
}

#[test]
fn the_last_owner_may_let_go_inside_a_completion() {
    let place = Temporary::new("inside");
    let log = Arc::new(fast().open(place.join("log")).unwrap());
    let (theirs, (told, tells)) = (Arc::clone(&log), mpsc::channel());
    let mut cursor = log.cursor(0).unwrap();
    log.append_async("last", move |index, result| {
        result.unwrap();
        while Arc::strong_count(&theirs) > 1 {
            thread::yield_now();
        }
        let log = Arc::into_inner(theirs).unwrap();
        let busy = log.close().unwrap_err().code(); // not from here: another thread does it
        told.send((index, busy)).unwrap();
    })
    .unwrap();
    drop(log);
    assert_eq!(tells.recv_timeout(LONG).unwrap(), (1, Code::Busy));
    assert_eq!(cursor.next_entry().unwrap_err().code(), Code::Closed);
    assert!(becomes(|| fast().open(place.join("log")).is_ok()), "the log was never closed");
}

#[test]
fn what_is_dropped_inside_a_logger_is_freed_later() {
    let place = Temporary::new("logger");
    let slot: Arc<Mutex<Option<Transaction>>> = Arc::default();
    let (theirs, calls) = (Arc::clone(&slot), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&calls);
    let log = fast()
        .logger(Level::Debug, move |_, message| {
            assert!(!message.is_empty());
            counted.fetch_add(1, Ordering::Relaxed);
            drop(theirs.lock().unwrap().take());
        })
        .open(place.join("log"))
        .unwrap();
    let mut open = log.transaction().unwrap();
    open.append("staged").unwrap();
    *slot.lock().unwrap() = Some(open);
    log.append("a").unwrap();
    log.rotate().unwrap();
    assert!(becomes(|| slot.lock().unwrap().is_none()), "a rotation tells the logger");
    assert!(becomes(|| log.transaction_count() == 0), "the transaction was never rolled back");
    log.close().unwrap();
    assert!(calls.load(Ordering::Relaxed) > 0);
}

// ---- Panics

/// What a panic carries that panics again when it is dropped.
struct Grudge;

impl Drop for Grudge {
    fn drop(&mut self) {
        panic!("meant")
    }
}

fn silently<T>(body: impl FnOnce() -> T) -> thread::Result<T> {
    static HOOK: OnceLock<()> = OnceLock::new();
    HOOK.get_or_init(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"meant") && !info.payload().is::<Grudge>() {
                usual(info);
            }
        }));
    });
    catch_unwind(AssertUnwindSafe(body))
}

#[test]
fn a_visitors_panic_goes_on_where_the_walk_was_begun() {
    let place = Temporary::new("panic");
    let log = fast().open(place.join("log")).unwrap();
    log.append_batch(["a", "b"], Durability::AsOpened).unwrap();
    log.meta_set("key", "value").unwrap();
    fn panics<T>(_: T) -> ControlFlow<()> {
        panic!("meant")
    }
    let walks: [&dyn Fn(); 3] = [
        &|| drop(log.scan(.., |entry| panics(entry.index()))),
        &|| drop(log.meta_each(|key, _| panics(key.len()))),
        &|| drop(log.each_segment(panics)),
    ];
    for walk in walks {
        let payload = silently(walk).expect_err("it panics");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"meant"));
    }
    assert_eq!(log.append("c").unwrap(), 3);
    log.close().unwrap();
}

#[test]
fn a_panic_in_a_completion_or_logger_ends_there() {
    let place = Temporary::new("panics");
    silently(|| ()).unwrap();
    let log = fast().logger(Level::Debug, |_, _| panic!("meant")).open(place.join("log")).unwrap();
    log.append_async("first", |_, _| panic!("meant")).unwrap();
    log.append_async("second", |_, _| std::panic::panic_any(Grudge)).unwrap();
    assert_eq!(log.append_pending("third").unwrap().wait().unwrap(), 3);
    log.rotate().unwrap();
    log.close().unwrap();
}

// ---- Asynchronous appends

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn completions_come_in_order_and_may_append() {
    let place = Temporary::new("async");
    let log = Arc::new(fast().open(place.join("log")).unwrap());
    let (told, tells) = mpsc::channel();
    let theirs = Arc::downgrade(&log);
    for number in 0..100u64 {
        let (told, log) = (told.clone(), theirs.clone());
        let index = log
            .upgrade()
            .unwrap()
            .append_async(Record::new("x").term(number), move |index, result| {
                result.unwrap();
                if index == 50 {
                    let log = log.upgrade().unwrap();
                    let pending = log.append_pending("from inside").unwrap();
                    assert_eq!(pending.wait().unwrap_err().code(), Code::Busy);
                    assert_eq!(log.sync().unwrap_err().code(), Code::Busy);
                }
                told.send(index).unwrap();
            })
            .unwrap();
        assert!(index == number + 1 || index == number + 2);
    }
    let indexes: Vec<u64> = (0..100).map(|_| tells.recv_timeout(LONG).unwrap()).collect();
    assert!(indexes.windows(2).all(|pair| pair[0] < pair[1]), "{indexes:?}");
    assert!(log.wait_durable(101, Some(LONG)).unwrap());
    assert_eq!(&log.range(..).filter(|entry| entry.as_ref().unwrap().data() == b"from inside").count(), &1);
}

#[test]
fn a_pending_append_is_a_future() {
    let place = Temporary::new("future");
    let log = fast().open(place.join("log")).unwrap();
    let both = async {
        let (first, second) = (log.append_pending("a")?, log.append_pending(&b"b"[..])?);
        assert_eq!(first.index(), 1);
        Ok::<_, Error>((first.await?, second.await?))
    };
    assert_eq!(block_on(both).unwrap(), (1, 2));
    let third = log.append_pending("c").unwrap();
    assert!(third.wait_timeout(LONG).unwrap() && third.is_done());
    assert_eq!(log.durable_index(), 3);
    let refused = log.append_pending(Record::new("d").index(9)).unwrap_err();
    assert_eq!(refused.code(), Code::OutOfOrder);
    log.shutdown().unwrap();
    let dropped = Arc::new(());
    let theirs = Arc::clone(&dropped);
    assert!(log.append_async("e", move |_, _| drop(theirs)).is_err());
    assert_eq!(Arc::strong_count(&dropped), 1, "a refused completion is freed");
}

// ---- Threads and waits

#[test]
fn threads_share_a_log() {
    let place = Temporary::new("threads");
    let log = Options::new().open(place.join("log")).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let index = log.append("shared").unwrap();
                    assert_eq!(log.get(index).unwrap().data(), b"shared");
                    assert!(log.durable_index() >= index);
                }
            });
        }
        scope.spawn(|| {
            let mut cursor = log.cursor(1).unwrap();
            assert_eq!(cursor.follow(Some(LONG)).take(100).filter(Result::is_ok).count(), 100);
        });
    });
    assert_eq!(log.last_index(), 100);
}

#[test]
fn waits_answer_when_the_time_is_over_and_when_they_are_interrupted() {
    let place = Temporary::new("waits");
    let log = fast().open(place.join("log")).unwrap();
    let mut cursor = log.cursor(1).unwrap();
    assert!(!cursor.wait(Some(Duration::from_nanos(1))).unwrap());
    assert!(!cursor.wait(Some(Duration::ZERO)).unwrap());
    assert_eq!(cursor.follow(Some(Duration::from_millis(1))).count(), 0);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| cursor.wait(None).unwrap_err().code());
        while !waiting.is_finished() {
            log.interrupt().unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(waiting.join().unwrap(), Code::Canceled);
    });
    assert_eq!(log.append("a").unwrap(), 1);
    assert!(!log.wait_durable(1, Some(Duration::ZERO)).unwrap());
    assert!(log.wait_durable(1, None).unwrap());
    thread::scope(|scope| {
        let mut cursor = log.cursor(2).unwrap();
        let following =
            scope.spawn(move || cursor.follow(None).map(|step| step.map(|e| e.index())).collect::<Vec<_>>());
        log.append("b").unwrap();
        assert!(becomes(|| log.last_index() == 2));
        thread::sleep(Duration::from_millis(20));
        log.shutdown().unwrap();
        let steps = following.join().unwrap();
        assert_eq!(steps.last().unwrap().as_ref().unwrap_err().code(), Code::Closed);
        assert_eq!(*steps[0].as_ref().unwrap(), 2);
        assert_eq!(steps.len(), 2, "after an error it has ended");
    });
}

#[test]
fn an_interrupted_append_says_where_it_is() {
    let place = Temporary::new("canceled");
    let log = Options::new().open(place.join("log")).unwrap();
    let (told, tells) = mpsc::channel();
    let found = thread::scope(|scope| {
        // Whoever waits for another thread's sync is interrupted; the one that syncs finishes.
        for _ in 0..4 {
            let (told, log) = (told.clone(), &log);
            scope.spawn(move || loop {
                match log.append("interrupted") {
                    Ok(_) => continue,
                    Err(error) => return drop(told.send(error)),
                }
            });
        }
        let found = becomes(|| {
            log.interrupt().unwrap();
            tells.try_recv().is_ok_and(|error: Error| {
                assert_eq!(error.code(), Code::Canceled);
                let indexes = error.appended().expect("it is in the log");
                assert_eq!(indexes.end - indexes.start, 1);
                assert_eq!(log.get(indexes.start).unwrap().data(), b"interrupted");
                true
            })
        });
        log.shutdown().unwrap(); // ends the others
        found
    });
    assert!(found, "no append was ever interrupted");
}

#[test]
fn the_notifier_belongs_to_the_log() {
    let place = Temporary::new("notify");
    let log = fast().open(place.join("log")).unwrap();
    let notifier = log.notifier().unwrap();
    assert!(!notifier.clear().unwrap());
    log.append("a").unwrap();
    log.sync().unwrap();
    assert!(is_readable(notifier.as_raw_fd(), 30_000));
    assert!(notifier.clear().unwrap() && !notifier.clear().unwrap());
    assert_eq!(log.notifier().unwrap().as_raw_fd(), notifier.as_raw_fd());
}

// ---- Reading

#[test]
fn ranges_are_read_from_both_ends() {
    let place = Temporary::new("ranges");
    let log = fast().open(place.join("log")).unwrap();
    assert_eq!(log.range(..).count(), 0);
    assert_eq!(log.scan(.., |_| Break(())).unwrap(), None);
    assert_eq!(log.scan(1.., |_| Break(())).unwrap(), None);
    assert!(log.get_range(.., usize::MAX, 10).unwrap().is_empty());
    log.append_batch(["1", "2", "3", "4", "5"], Durability::AsOpened).unwrap();
    let payloads = |range: walrus::Entries<'_>| -> String {
        range.map(|entry| String::from_utf8(entry.unwrap().to_vec()).unwrap()).collect()
    };
    assert_eq!(payloads(log.range(..)), "12345");
    assert_eq!(payloads(log.range(2..4)), "23");
    assert_eq!(payloads(log.range(4..=99)), "45");
    assert_eq!(payloads(log.range(6..)), "");
    #[allow(clippy::reversed_empty_ranges)]
    let reversed = log.range(4..2);
    assert_eq!(payloads(reversed), "");
    let mut both = log.range(..);
    assert_eq!(both.next_back().unwrap().unwrap().index(), 5);
    assert_eq!(both.next().unwrap().unwrap().index(), 1);
    assert_eq!(both.size_hint(), (0, Some(3)));
    assert_eq!((&log).into_iter().rev().count(), 5);
    assert_eq!(log.scan(6.., |_| Continue::<(), _>(())).unwrap(), None);
    assert_eq!(log.scan(7.., |_| Continue::<(), _>(())).unwrap_err().code(), Code::NotFound);
    assert_eq!(log.scan(2..2, |_| Continue::<(), _>(())).unwrap_err().code(), Code::Invalid);
    assert_eq!(log.get_range(2.., usize::MAX, usize::MAX).unwrap().len(), 4);
    assert_eq!(log.get_range(.., 0, 10).unwrap().len(), 1);
    log.rotate().unwrap();
    log.append("6").unwrap();
    log.truncate_front(6).unwrap();
    let mut gone = log.range(1..);
    assert_eq!(gone.next().unwrap().unwrap_err().code(), Code::Compacted);
    assert!(gone.next().is_none(), "after an error it has ended");
    log.truncate(5).unwrap();
    assert_eq!(log.range(..).count(), 0);
    log.shutdown().unwrap();
    assert_eq!(log.range(..).next().unwrap().unwrap_err().code(), Code::Closed);
}

#[test]
fn a_scan_lends_entries_and_lets_the_log_be_used() {
    let place = Temporary::new("scan");
    let log = fast().open(place.join("log")).unwrap();
    log.append_batch(["a", "b"], Durability::AsOpened).unwrap();
    let mut kept: Vec<(u64, Vec<u8>)> = Vec::new();
    let ended = log.scan(.., |entry: EntryRef<'_>| {
        kept.push((entry.index(), entry.data().to_vec()));
        log.append(entry.data()).map_or_else(Break, |_| Continue(()))
    });
    assert!(ended.unwrap().is_none());
    assert_eq!((kept.len(), log.last_index()), (2, 4));
}

#[test]
fn cursors_go_both_ways() {
    let place = Temporary::new("cursor");
    let log = fast().open(place.join("log")).unwrap();
    log.append_batch(["a", "b"], Durability::AsOpened).unwrap();
    let mut cursor = log.cursor(0).unwrap();
    let read: Vec<u64> = cursor.into_iter().map(|entry| entry.unwrap().index()).collect();
    assert_eq!(read, [1, 2]);
    assert!(cursor.next_entry().unwrap().is_none());
    log.append("c").unwrap();
    assert_eq!((&mut cursor).into_iter().count(), 1);
    assert_eq!(cursor.prev_entry().unwrap().unwrap().index(), 3);
    cursor.seek(1).unwrap();
    assert!(cursor.prev_entry().unwrap().is_none());
    let mut durable = log.durable_cursor(1).unwrap();
    assert!(durable.next_entry().unwrap().is_none());
    log.sync().unwrap();
    assert!(durable.next_entry().unwrap().is_some());
}

#[test]
fn packed_entries_agree_with_their_sizes() {
    let place = Temporary::new("packed");
    let log = fast().open(place.join("log")).unwrap();
    assert_eq!(log.append_packed(b"abbccc", &[1, 2, 3], 4, Durability::AsOpened).unwrap(), 1..4);
    let error = log.append_packed(b"abbccc", &[1, 2, u32::MAX], 4, Durability::AsOpened).unwrap_err();
    assert_eq!(error.code(), Code::Invalid, "sizes beyond the bytes must not reach C");
    let packed = log.read_packed(1, usize::MAX, 100).unwrap();
    assert_eq!((packed.data(), packed.sizes()), (&b"abbccc"[..], &[1, 2, 3][..]));
    assert_eq!(packed.iter().last(), Some(&b"ccc"[..]));
    assert_eq!(log.read_packed(3, 9, 2).unwrap_err().size_needed(), Some(3));
    assert_eq!(log.read_packed(1, 9, usize::MAX).unwrap_err().code(), Code::NoMemory);
    assert_eq!(log.term(2).unwrap(), 4);
}

#[test]
fn metadata_of_any_size_is_copied_out() {
    let place = Temporary::new("meta");
    let log = fast().open(place.join("log")).unwrap();
    log.meta_set("large", vec![9; 40_000]).unwrap();
    log.meta_set([0xffu8, 1], "").unwrap();
    assert_eq!(log.meta_get("large").unwrap().unwrap(), vec![9; 40_000]);
    assert_eq!(log.meta().unwrap().last().unwrap(), &(vec![0xff, 1], vec![]));
    assert_eq!(log.meta_set("a\0b", "").unwrap_err().code(), Code::Invalid);
    assert!(log.meta_delete("large").unwrap() && !log.meta_delete("large").unwrap());
    assert_eq!(log.meta_get("large").unwrap(), None);
    let stopped = log.meta_each(|key, _| Break(key.len())).unwrap();
    assert_eq!(stopped, Some(2));
    assert!(log.stats_text().unwrap().contains("walrus_appends_total 0"));
    log.append("a").unwrap();
    assert_eq!(log.segments().unwrap().last().map(|segment| segment.is_tail), Some(true));
}

// ---- Options and errors

#[test]
fn every_option_has_a_setter_that_takes_effect() {
    let ms = Duration::from_millis;
    let set = [
        ("create", Options::new().create(false)),
        ("must_be_new", Options::new().must_be_new(true)),
        ("read_only", Options::new().read_only(true)),
        ("recovery", Options::new().recovery(walrus::Recovery::Strict)),
        ("sync", Options::new().sync(Sync::Interval)),
        ("sync_interval_ms", Options::new().sync_interval(ms(5))),
        ("sync_bytes", Options::new().sync_bytes(5)),
        ("async_max_bytes", Options::new().async_max_bytes(5)),
        ("segment_size", Options::new().segment_size(8192)),
        ("preallocate", Options::new().preallocate(false)),
        ("cached_segments", Options::new().cached_segments(5)),
        ("buffer_size", Options::new().buffer_size(8192)),
        ("sync_padding", Options::new().sync_padding(4096)),
        ("file_mode", Options::new().file_mode(0o600)),
        ("verify_reads", Options::new().verify_reads(false)),
        ("zero_copy", Options::new().zero_copy(false)),
        ("max_entry_size", Options::new().max_entry_size(5)),
        ("max_segments", Options::new().max_segments(5)),
        ("retention_bytes", Options::new().retention_bytes(5)),
        ("retention_age_ms", Options::new().retention_age(ms(5))),
        ("txn_timeout_ms", Options::new().txn_timeout(ms(5))),
        ("txn_max_entries", Options::new().txn_max_entries(5)),
        ("format", Options::new().format(walrus::Format::Json)),
        ("compression", Options::new().compression(walrus::Compression::Zlib)),
        ("compression_level", Options::new().compression_level(9)),
        ("compression_min_size", Options::new().compression_min_size(5)),
    ];
    let known = walrus::options();
    assert_eq!(set.len(), known.len(), "{known:?}");
    for (key, options) in &set {
        let default =
            known.iter().find(|option| option.key == *key).unwrap_or_else(|| panic!("no option {key}")).default;
        assert_ne!(options.get(key).unwrap(), default, "{key}");
    }
    for option in &known {
        assert_eq!(Options::new().get(option.key).unwrap(), option.default);
    }
}

#[test]
fn wrong_options_are_told_when_they_are_used() {
    let place = Temporary::new("wrong");
    for options in [
        Options::new().set("segment_sise", "1MiB"),
        Options::new().sync_interval(Duration::from_micros(1500)),
        Options::new().sync_interval(Duration::MAX),
        Options::new().set("sync\0", "os"),
        Options::new().segment_size(1),
    ] {
        assert_eq!(options.open(place.join("log")).unwrap_err().code(), Code::Invalid, "{options:?}");
    }
    assert!(!place.join("log").exists());
    assert_eq!(walrus::open("a\0b").unwrap_err().code(), Code::Invalid);
    assert_eq!(walrus::destroy("a\0b").unwrap_err().code(), Code::Invalid);
}

#[test]
fn an_error_tells_all_that_is_known() {
    let place = Temporary::new("error");
    let error = walrus::open(place.join("no/such")).unwrap_err();
    assert_eq!((error.code(), error.os_errno()), (Code::Io, 2));
    assert!(error.path().unwrap().starts_with(&*place) && error.message().contains("no/such"));
    let source = error::Error::source(&error).unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
    assert!(format!("{error:?}").contains("Io") && error.to_string() == error.message());
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);

    let log = walrus::open(place.join("log")).unwrap();
    let locked = walrus::open(place.join("log")).unwrap_err();
    assert_eq!(locked.code(), Code::Locked);
    let missing = log.get(7).unwrap_err();
    assert_eq!((missing.code(), missing.index(), missing.os_errno()), (Code::NotFound, 7, 0));
    assert!(error::Error::source(&missing).is_none());
    log.append("12345").unwrap();
    assert_eq!(log.read(1, &mut [0; 2]).unwrap_err().size_needed(), Some(5));
    assert_eq!(Code::from_raw(-12345), Code::Unknown(-12345));
    assert!(!Code::Unknown(-12345).description().is_empty());
}

// ---- Formats

#[test]
fn a_copy_in_another_format_can_be_stopped_goes_on_and_carries_panics() {
    let place = Temporary::new("convert");
    let (source, target) = (place.join("source"), place.join("target"));
    let log = fast().open(&source).unwrap();
    for i in 0..5000 {
        log.append(format!("entry {i}")).unwrap();
    }
    log.close().unwrap();
    let json = Options::new().format(walrus::Format::Json);
    assert_eq!(json.convert(&source, &target, |done, _| Break(done)).unwrap(), Some(4096));
    let panicked =
        catch_unwind(AssertUnwindSafe(|| json.convert(&source, &target, |_, _| -> ControlFlow<()> { panic!("no") })));
    assert!(panicked.is_err());
    let mut seen = 0;
    let stopped = json.convert(&source, &target, |done, total| {
        assert!(done <= total);
        seen += 1;
        Continue::<()>(())
    });
    assert_eq!((stopped.unwrap(), seen), (None, 0), "the panic came when all was copied");
    let copy = json.open(&target).unwrap();
    assert_eq!((copy.first_index(), copy.last_index()), (1, 5000));
    assert_eq!(&*copy.get(5000).unwrap(), b"entry 4999");
    let error = Options::new().set("format", "proto").open(&target).map(drop).unwrap_err();
    assert!(matches!(error.code(), Code::Format | Code::Locked), "{error}");
}
