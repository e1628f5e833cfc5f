// quickstart.rs - append an entry, read it back: cargo run --manifest-path bindings/rust/Cargo.toml --example quickstart
fn run() -> walrus::Result<()> {
    let log = walrus::open("orders")?;
    let index = log.append("hello")?; // durable on return
    println!("entry {index}: {}", String::from_utf8_lossy(&log.get(index)?));
    log.close()
}

fn main() {
    if let Err(error) = run() {
        eprintln!("orders: {error}");
        std::process::exit(1);
    }
}
