use dlock::locked;

#[locked(key = "payout", on = conn)]
async fn pay(conn: &mut sqlx::PgConnection) -> u32 {
    1
}

fn main() {}
