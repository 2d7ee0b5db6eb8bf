use dlock::locked;

#[locked(on_busy = skip)]
fn count() -> u32 {
    1
}

fn main() {}
