use dlock::locked;

#[locked(on_error = |_| 0)]
fn count() -> u32 {
    1
}

fn main() {}
