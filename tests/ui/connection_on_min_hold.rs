use dlock::locked;

#[locked(key = "payout:<id>", min_hold = "1m", on = conn)]
async fn pay(conn: &mut sqlx::PgConnection, id: i64) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
