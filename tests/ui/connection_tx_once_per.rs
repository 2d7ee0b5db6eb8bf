use dlock::locked;

#[locked(key = "payout:<id>", tx = conn, once_per = "1d")]
async fn pay(conn: &mut sqlx::PgConnection, id: i64) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
