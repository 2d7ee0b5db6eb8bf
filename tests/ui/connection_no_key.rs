use dlock::locked;

#[locked(key = id, tx = conn)]
async fn pay(conn: &mut sqlx::PgConnection, id: f64) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
