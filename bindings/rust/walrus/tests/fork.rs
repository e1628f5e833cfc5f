// fork.rs - what a forked child may do with the parent's handles
//
// A program of its own: while the child lives it shares the locks of every log that was open, those of other tests among them.
mod support;

use support::{c, Temporary};
use walrus::Code;

#[test]
fn a_forked_child_is_refused_and_may_close() {
    let place = Temporary::new("fork");
    let log = walrus::open(place.join("log")).unwrap();
    log.append("a").unwrap();
    let mut cursor = log.cursor(0).unwrap();
    let entry = log.get(1).unwrap();
    let status = unsafe {
        match c::fork() {
            0 => {
                let refused = log.append("b").is_err_and(|error| error.code() == Code::Forked)
                    && cursor.next_entry().is_err_and(|error| error.code() == Code::Forked)
                    && entry.data() == b"a"
                    && log.last_index() == 0;
                drop((entry, cursor));
                drop(log);
                c::_exit(if refused { 0 } else { 1 })
            }
            child => {
                let mut status = -1;
                assert!(child > 0 && c::waitpid(child, &mut status, 0) == child);
                status
            }
        }
    };
    assert_eq!(status, 0);
    assert_eq!(log.append("b").unwrap(), 2);
    log.close().unwrap();
}
