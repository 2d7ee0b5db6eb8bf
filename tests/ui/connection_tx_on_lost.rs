use dlock::locked;

#[locked(key = "payout:<id>", tx = conn, on_lost = report)]
async fn pay(conn: &mut sqlx::PgConnection, id: i64) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
