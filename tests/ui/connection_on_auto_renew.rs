use dlock::locked;

#[locked(key = "payout:<id>", auto_renew = false, on = conn)]
async fn pay(conn: &mut sqlx::PgConnection, id: i64) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
