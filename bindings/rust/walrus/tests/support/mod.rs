//! What the tests share.
#![allow(dead_code)]

mod temporary;

pub use temporary::Temporary;

/// The C functions that the tests need and std has not.
pub mod c {
    use std::ffi::{c_char, c_int, c_short, c_ulong, c_void};

    pub const POLLIN: c_short = 1;

    #[repr(C)]
    pub struct PollFd {
        pub fd: c_int,
        pub events: c_short,
        pub revents: c_short,
    }

    extern "C" {
        pub fn poll(fds: *mut PollFd, count: c_ulong, timeout_ms: c_int) -> c_int;
        pub fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
        pub fn fork() -> c_int;
        pub fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
        pub fn _exit(status: c_int) -> !;
    }
}

/// Whether the descriptor can be read within the time.
pub fn is_readable(fd: std::os::fd::RawFd, timeout_ms: i32) -> bool {
    let mut one = c::PollFd { fd, events: c::POLLIN, revents: 0 };
    unsafe { c::poll(&mut one, 1, timeout_ms) == 1 }
}
