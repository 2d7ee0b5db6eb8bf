use dlock::locked;

#[locked(on_busy = skip, on_error = |_| eprintln!("{name}"))]
async fn rename(name: String) {
    drop(name);
}

fn main() {}
