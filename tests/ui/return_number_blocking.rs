use dlock::locked;

#[locked(key = "k")]
fn count() -> u32 {
    1
}

fn main() {}
