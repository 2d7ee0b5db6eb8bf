use dlock::locked;

#[locked(on_busy = 0, on_error = |_| 0)]
pub extern "C" fn rename() -> i32 {
    1
}

fn main() {}
