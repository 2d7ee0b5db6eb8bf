use dlock::locked;

#[locked(tx = conn)]
async fn pay(conn: sqlx::Transaction<'_, sqlx::Postgres>) -> Result<(), sqlx::Error> {
    conn.commit().await
}

fn main() {}
