use dlock::locked;

#[locked(key = "k")]
async fn rename() {
}

fn main() {}
