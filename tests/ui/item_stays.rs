use dlock::locked;

#[locked(timeuot = 10)]
async fn rename(user_id: u64) -> Result<(), dlock::Error> {
    Ok(())
}

async fn rename_all() -> Result<(), dlock::Error> {
    rename(1).await?;
    rename(2).await
}

fn main() {}
