use dlock::locked;

#[locked(key = "k")]
async fn parse() -> Result<u32, std::num::ParseIntError> {
    "7".parse()
}

fn main() {}
