use dlock::locked;

#[locked(key = "payout:<id>", tx = conn, retry_every = "1s")]
async fn pay(conn: &mut sqlx::PgConnection, id: i64) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
