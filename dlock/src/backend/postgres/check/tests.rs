//! What is made of what the server says.

use super::*;

fn facts(settings: &[(&str, &str, &str)]) -> Facts {
    let most = [("max_connections", "100", "100"), ("max_locks_per_transaction", "64", "64")];
    let settings = most
        .iter()
        .chain(settings)
        .map(|(name, is, default)| ((*name).to_owned(), (*is).to_owned(), (*default).to_owned()));
    Facts {
        standby: false,
        locks: 1,
        connections: 1,
        ssl: Some(false),
        client: None,
        server: None,
        settings: settings.collect(),
    }
}

fn found(facts: &Facts) -> Vec<String> {
    let set = [("statement_timeout", "0".to_owned()), ("idle_session_timeout", "30100".into())];
    facts.findings(&set, 8).iter().map(ToString::to_string).collect()
}

#[test]
fn a_session_that_was_changed_is_a_problem() {
    let ours = ("idle_session_timeout", "30100", "0");
    assert_eq!(found(&facts(&[ours, ("statement_timeout", "0", "0")])), [""; 0]);
    let changed = found(&facts(&[ours, ("statement_timeout", "5000", "0")]));
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(
        changed[0].starts_with("problem: statement_timeout of a session that was set to 0 is 5000")
    );
    let changed = found(&facts(&[("idle_session_timeout", "500", "500")]));
    assert!(changed[0].starts_with("problem: idle_session_timeout"), "{changed:?}");
    assert!(changed[1].starts_with("note: idle_session_timeout is 500 ms"), "{changed:?}");
}

#[test]
fn a_way_that_others_can_read_is_noted() {
    let timeout = ("tcp_user_timeout", "30100", "0");
    let from = |client: &str, server: &str, ssl, timeout| {
        let (client, server) = (Some(client.to_owned()), Some(server.to_owned()));
        found(&Facts { client, server, ssl: Some(ssl), ..facts(&[timeout]) })
    };
    for (client, ssl, says) in [
        ("127.0.0.1", false, None),
        ("::1", false, None),
        ("10.0.0.1", false, None),
        ("10.0.0.7", true, None),
        ("10.0.0.7", false, Some("note: the connection from 10.0.0.7 is not encrypted")),
    ] {
        let found = from(client, "10.0.0.1", ssl, timeout);
        assert_eq!(found.len(), usize::from(says.is_some()), "{found:?}");
        assert!(says.is_none_or(|says| found[0].starts_with(says)), "{found:?}");
    }
    let found = from("127.0.0.1", "127.0.0.1", false, ("tcp_user_timeout", "0", "0"));
    assert!(found.len() == 1 && found[0].contains("has no tcp_user_timeout"), "{found:?}");
}

#[test]
fn a_standby_is_a_problem() {
    let found = found(&Facts { standby: true, ..facts(&[]) });
    assert!(found.len() == 1 && found[0].starts_with("problem: "), "{found:?}");
}
