//! What goes wrong on purpose, and calls that end early.

use std::thread;
use std::time::Duration;

use dlock_tests::oracle::{Double, code, number, soon};
use oracledb::ErrorKind;

const REQUEST: &str = "BEGIN :result := DBMS_LOCK.REQUEST(7, 6, 0); END;";

#[test]
fn come_as_asked_for() {
    let double = Double::start();
    let a = double.client();
    double.fault("code:3", "REQUEST");
    assert_eq!(number(&a, REQUEST, &[]).unwrap(), 3);
    double.fault("error:4025", "REQUEST");
    assert_eq!(code(&number(&a, REQUEST, &[]).unwrap_err()), 4025);
    double.fault("null", "REQUEST");
    let none = number(&a, REQUEST, &[]).unwrap_err();
    assert!(matches!(none.kind(), ErrorKind::ValueWasNull), "{none:?}");
    assert_eq!(number(&a, REQUEST, &[]).unwrap(), 4, "it was done");
    for kind in ["cut", "hang_up"] {
        double.fault(kind, "REQUEST");
        let b = double.client();
        assert!(matches!(number(&b, REQUEST, &[]).unwrap_err().kind(), ErrorKind::DeadConnection));
    }
}

#[test]
fn a_call_that_takes_too_long_is_cancelled() {
    let double = Double::start();
    let (a, b) = (double.client(), double.client());
    assert_eq!(number(&a, REQUEST, &[]).unwrap(), 0);
    b.set_call_timeout(Some(Duration::from_millis(300))).unwrap();
    let wait = "BEGIN :result := DBMS_LOCK.REQUEST(7, 6, 20); END;";
    let cancelled = number(&b, wait, &[]).unwrap_err();
    assert!(cancelled.to_string().to_lowercase().contains("timeout"), "{cancelled}");
    assert_eq!(number(&b, REQUEST, &[]).unwrap(), 1, "it can go on");
    // A server that hears nothing.
    double.fault("deaf:3000", "REQUEST");
    let lost = number(&b, REQUEST, &[]).unwrap_err();
    assert!(matches!(lost.kind(), ErrorKind::UnableToRecover), "{lost:?}");
}

#[test]
fn a_lock_may_be_granted_to_who_has_gone() {
    let double = Double::start();
    let (a, c) = (double.client(), double.client());
    assert_eq!(number(&a, REQUEST, &[]).unwrap(), 0);
    double.fault("deaf:1500", ", 6, 20)");
    let b = double.client();
    b.set_call_timeout(Some(Duration::from_millis(100))).unwrap();
    thread::spawn(move || {
        number(&b, "BEGIN :result := DBMS_LOCK.REQUEST(7, 6, 20); END;", &[]).unwrap_err()
    });
    let count = |what: &str| -> i64 {
        let sql = format!("SELECT COUNT(*) FROM v$lock WHERE type = 'UL' AND {what} > 0");
        c.query_row(&sql, &[]).unwrap().get(0).unwrap()
    };
    soon("it waits", || count("request") == 1);
    thread::sleep(Duration::from_millis(300));
    drop(a);
    soon("it is granted all the same", || count("request") == 0);
    assert_eq!(number(&c, REQUEST, &[]).unwrap(), 1);
    assert_eq!(number(&c, "BEGIN :result := DBMS_LOCK.REQUEST(7, 6, 20); END;", &[]).unwrap(), 0);
}
