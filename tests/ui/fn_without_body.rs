use dlock::locked;

trait Users {
    #[locked(key = "users")]
    async fn rename(&self) -> Result<(), dlock::Error>;
}

fn main() {}
