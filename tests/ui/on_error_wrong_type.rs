use dlock::locked;

#[locked(on_busy = 0, on_error = |error| error.to_string())]
fn count() -> u32 {
    1
}

fn main() {}
