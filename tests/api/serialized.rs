//! The names of fields in JSON, which dashboards rely on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dlock::{Error, Holder, Key, Locker, LostInfo, LostReason, Severity, Stage};
use serde::Serialize;
use serde_json::{Value, json, to_value};

use crate::alone;

const SECOND: Duration = Duration::from_secs(1);

fn value(of: impl Serialize) -> Value {
    to_value(of).unwrap()
}

#[test]
fn fields_of_status_and_report_are_pinned() {
    alone(|| async {
        let locker = Locker::connect("memory:json").await.unwrap();
        let guard = locker.lock("two\nlines").acquire().await.unwrap();
        let status = locker.status().await.unwrap();
        let Holder { who, held_for, .. } = &status[0].holders[0];
        let held_for_s = held_for.map(|time| time.as_secs_f64());
        let holders = json!([{ "who": who, "held_for_s": held_for_s, "data": null }]);
        let locks = json!([{
            "key": "two\nlines", "native": "two%0alines", "mode": "exclusive", "holders": holders,
            "waiters": [],
        }]);
        assert_eq!(value(&status), locks);
        assert_eq!(value(locker.check().await.unwrap()), json!({ "ok": true, "findings": [] }));
        let sql = locker.explain("k").sql;
        assert_eq!(value(locker.explain("k")), json!({ "native": "k", "sql": sql }));
        drop(guard);
    });
    let held = Holder::new("pid 7", Some(3 * SECOND / 2));
    assert_eq!(value(held), json!({ "who": "pid 7", "held_for_s": 1.5, "data": null }));
    assert_eq!(value([Severity::Problem, Severity::Note]), json!(["problem", "note"]));
    let keys = [Key::from(7), Key::from("é".repeat(300)), Key::from(b"\xff"), Key::native(-5)];
    assert_eq!(value(keys), json!(["7", "é".repeat(300), r"\xff", "%n-5"]));
}

#[test]
fn fields_of_losses_are_pinned() {
    for (reason, name) in [
        (LostReason::SessionEnded, "session_ended"),
        (LostReason::Unconfirmed, "unconfirmed"),
        (LostReason::NotHeld, "not_held"),
        (LostReason::Expired, "expired"),
        (LostReason::Overtaken, "overtaken"),
        (LostReason::Closed, "closed"),
    ] {
        let info = LostInfo::new("k", reason, SECOND);
        assert_eq!(value(&info), json!({ "key": "k", "reason": name, "held_for_s": 1.0 }));
        let error = Error::from(info);
        let message = error.to_string();
        let expected = json!({
            "kind": "lost", "message": message, "retryable": true, "key": "k", "reason": name,
            "held_for_s": 1.0,
        });
        assert_eq!(value(error), expected);
    }
}

#[test]
fn fields_of_errors_are_pinned() {
    let (key, waited) = (Key::from("k"), SECOND);
    for (stage, name) in
        [(Stage::Process, "process"), (Stage::Database, "database"), (Stage::Done, "done")]
    {
        let holder = Some(Box::new(Holder::new("pid 7", None)));
        let error = Error::Timeout { key: key.clone(), waited, stage, holder };
        let message = error.to_string();
        let expected = json!({
            "kind": "timeout", "message": message, "retryable": true, "key": "k", "waited_s": 1.0,
            "stage": name, "holder": { "who": "pid 7", "held_for_s": null, "data": null },
        });
        assert_eq!(value(error), expected);
    }
    let source = Arc::new(io::Error::other("said with a secret"));
    let about = |retryable: bool, error: &Error| {
        json!({
            "message": error.to_string(), "retryable": retryable, "key": "k", "backend": "db (h)",
        })
    };
    let backend = || "db (h)".into();
    let some = || Some(Box::new(key.clone()));
    for (kind, retryable, error) in [
        (
            "unavailable",
            true,
            Error::Unavailable { key: some(), backend: backend(), source: source.clone() },
        ),
        (
            "backend",
            false,
            Error::Backend { key: some(), backend: backend(), source: source.clone() },
        ),
        (
            "permission",
            false,
            Error::Permission {
                key: some(),
                backend: backend(),
                remedy: "GRANT".into(),
                ddl: None,
                source: source.clone(),
            },
        ),
    ] {
        let mut expected = about(retryable, &error);
        expected["kind"] = kind.into();
        let shown = value(&error);
        assert_eq!(shown, expected);
        assert!(!shown.to_string().contains("secret"), "{shown}");
    }
    for (kind, error) in [
        ("reentrant", Error::Reentrant { key: key.clone() }),
        ("deadlock", Error::Deadlock { key: key.clone() }),
        ("invalid_key", Error::InvalidKey { key: key.clone(), why: "no".into() }),
        ("not_installed", Error::NotInstalled { name: "x".into(), installed: Vec::new() }),
        ("already_installed", Error::AlreadyInstalled { name: "x".into() }),
        ("config", Error::Config { message: "no".into() }),
        ("closed", Error::Closed),
        (
            "unsupported",
            Error::Unsupported { backend: backend(), what: "x".into(), instead: "y".into() },
        ),
    ] {
        let shown = value(&error);
        assert_eq!(shown["kind"], kind);
        assert_eq!(shown["message"], error.to_string());
        assert_eq!(shown["retryable"], error.is_retryable());
    }
}
