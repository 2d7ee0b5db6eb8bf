use dlock::locked;

struct One<T>(T);

#[locked(key = "payout:<id>", on = conn)]
async fn pay(One(conn): One<&mut sqlx::PgConnection>, id: i64) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
