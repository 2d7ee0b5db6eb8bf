use dlock::locked;

#[locked(key = "payout:<id>", on = transaction)]
async fn pay(conn: &mut sqlx::PgConnection, id: i64) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
