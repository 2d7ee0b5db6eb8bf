use dlock::locked;

#[locked(key = "payout:<id>", once_per = "1d", on = conn)]
async fn pay(conn: &mut sqlx::PgConnection, id: i64) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
