use dlock::locked;

#[locked(key = "payout:<id>", on = conn)]
async fn pay(mut conn: sqlx::PgConnection, id: i64) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
