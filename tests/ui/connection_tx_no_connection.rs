use dlock::locked;

#[locked(key = "payout:<id>", tx = pool)]
async fn pay(pool: &mut sqlx::PgPool, id: i64) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
