use dlock::locked;

#[locked(key = "payout:<id>", on = pool)]
async fn pay(pool: &mut sqlx::PgPool, id: i64) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
