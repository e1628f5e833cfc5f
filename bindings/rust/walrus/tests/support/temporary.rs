/// A directory of its own for a test or an example, removed when it is dropped.
pub struct Temporary(std::path::PathBuf);

impl Temporary {
    pub fn new(name: &str) -> Self {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("walrus-rust-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a temporary directory can be made");
        Temporary(path)
    }
}

impl std::ops::Deref for Temporary {
    type Target = std::path::Path;

    fn deref(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
