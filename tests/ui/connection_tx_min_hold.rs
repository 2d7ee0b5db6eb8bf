use dlock::locked;

#[locked(key = "payout:<id>", tx = conn, min_hold = "1m")]
async fn pay(conn: &mut sqlx::PgConnection, id: i64) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
