use dlock::locked;

#[locked(tx = conn)]
async fn pay(conn: &sqlx::PgConnection) -> Result<(), sqlx::Error> {
    Ok(())
}

fn main() {}
