//! A group of two (MySQL Group Replication): what is locked at a primary counts as long as the group
//! is its own.

use std::net::TcpListener;
use std::time::Duration;

use dlock::Error;
use dlock_tests::{Backend, Server, Site, Witness, eventually_async, in_time};
use sqlx::{Connection as _, MySqlConnection, Row as _};

const SOON: Duration = Duration::from_secs(20);

/// A member, which knows of the other one if that was there before.
fn member(number: u8, port: u16, other: Option<u16>) -> Option<Server> {
    let address = |port| format!("127.0.0.1:{port}");
    let settings = [
        "plugin_load_add=group_replication.so".to_owned(),
        "gtid_mode=ON".into(),
        "enforce_gtid_consistency=ON".into(),
        "log_bin=log".into(),
        "report_host=127.0.0.1".into(),
        "group_replication_start_on_boot=OFF".into(),
        "group_replication_group_name=aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa".into(),
        "group_replication_recovery_get_public_key=ON".into(),
        format!("server_id={number}"),
        format!("group_replication_local_address={}", address(port)),
        format!("group_replication_group_seeds={}", other.map(address).unwrap_or_default()),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Server::start(Backend::MySql, &settings)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Frozen and then away, the other one takes the majority with it: nobody knows whether there is
/// another primary by now.
pub(crate) async fn primary_without_its_majority_is_given_up(_: Site) {
    let (one, two) = (free_port(), free_port());
    let Some(first) = member(7, one, None) else { return };
    let Some(second) = member(8, two, Some(one)) else { return };
    let mut witness = Witness::at(first.url()).await;
    let begin = "SET GLOBAL group_replication_bootstrap_group=ON; START GROUP_REPLICATION; \
                 SET GLOBAL group_replication_bootstrap_group=OFF";
    witness.run(begin).await;
    let join = "CHANGE REPLICATION SOURCE TO SOURCE_USER='root' \
                FOR CHANNEL 'group_replication_recovery'; START GROUP_REPLICATION";
    Witness::at(second.url()).await.run(join).await;
    let mut looks = MySqlConnection::connect(first.url()).await.unwrap();
    let online = "SELECT COUNT(*) FROM performance_schema.replication_group_members \
                  WHERE MEMBER_STATE='ONLINE'";
    let mut all_online =
        async || sqlx::query(online).fetch_one(&mut looks).await.unwrap().get::<i64, _>(0) == 2;
    eventually_async("both are there", SOON, &mut all_online).await;

    let locker = Site::at(first.url()).locker().await;
    let report = locker.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    let guard = locker.lock("k").acquire().await.unwrap();
    second.freeze();
    in_time("the loss", SOON, guard.lost()).await;
    let error = locker.lock("k").timeout(Duration::from_secs(1)).acquire().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    second.thaw();
    let again = async || match locker.lock("k").try_acquire().await {
        Ok(guard) => guard.is_some(),
        Err(_) => false,
    };
    eventually_async("it has its majority again", SOON, again).await;
    // One that leaves its group.
    let guard = locker.lock("k").acquire().await.unwrap();
    witness.run("STOP GROUP_REPLICATION").await;
    in_time("the loss", SOON, guard.lost()).await;
}
