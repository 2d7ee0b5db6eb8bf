//! `DBMS_LOCK`.

use std::thread;
use std::time::{Duration, Instant};

use dlock_tests::oracle::{Double, code, number, soon};
use oracledb::Connection;

const REQUEST: &str = "DECLARE h VARCHAR2(128); BEGIN \
    SYS.DBMS_LOCK.ALLOCATE_UNIQUE_AUTONOMOUS(:name, h); \
    :result := SYS.DBMS_LOCK.REQUEST(h, :mode_wanted, :seconds, FALSE); END;";

/// In a mode, waiting so many seconds.
fn request(client: &Connection, name: &str, mode: i64, seconds: i64) -> i64 {
    let binds: [&dyn oracledb::ToDbValue; 4] = [&name, &oracledb::DB_TYPE_NUMBER, &mode, &seconds];
    client.execute(REQUEST, &binds).unwrap().out_bind_data().get(0).unwrap()
}

fn by_handle(client: &Connection, name: &str, what: &str) -> i64 {
    let sql = format!(
        "DECLARE h VARCHAR2(128); BEGIN DBMS_LOCK.ALLOCATE_UNIQUE_AUTONOMOUS(lockname => :name, \
         lockhandle => h); :result := {what}; END;"
    );
    number(client, &sql, &[&name]).unwrap()
}

#[test]
fn has_the_codes_of_the_manual() {
    let double = Double::start();
    let (a, b) = (double.client(), double.client());
    assert_eq!(request(&a, "k", 6, 0), 0);
    assert_eq!(request(&a, "k", 6, 0), 4, "it has it already");
    assert_eq!(request(&b, "k", 6, 0), 1);
    assert_eq!(request(&b, "k", 7, 0), 3);
    assert_eq!(request(&b, "k", 2, 0), 1);
    assert_eq!(by_handle(&b, "k", "DBMS_LOCK.RELEASE(h)"), 4);
    assert_eq!(by_handle(&b, "k", "DBMS_LOCK.CONVERT(h, DBMS_LOCK.S_MODE, 0)"), 4);
    assert_eq!(by_handle(&a, "k", "DBMS_LOCK.CONVERT(h, lockmode => 4, timeout => 0)"), 0);
    assert_eq!(request(&b, "k", 4, 0), 0, "shared after the conversion");
    assert_eq!(by_handle(&a, "k", "DBMS_LOCK.CONVERT(h, 6, 0)"), 1);
    assert_eq!(by_handle(&a, "k", "DBMS_LOCK.RELEASE(h)"), 0);
    assert_eq!(number(&a, "BEGIN :result := DBMS_LOCK.REQUEST('nonsense'); END;", &[]).unwrap(), 5);
    assert_eq!(
        number(&a, "BEGIN :result := DBMS_LOCK.REQUEST(id => 7, timeout => 0); END;", &[]).unwrap(),
        0
    );
    assert_eq!(number(&b, "BEGIN :result := DBMS_LOCK.REQUEST(7, 6, 0); END;", &[]).unwrap(), 1);
    assert_eq!(
        number(&b, "BEGIN :result := DBMS_LOCK.REQUEST(1073741824, 6, 0); END;", &[]).unwrap(),
        3
    );
    // Six modes, by what they let in.
    for (held, goes) in [(1, 6), (2, 5), (3, 3), (4, 3), (5, 2), (6, 1)] {
        let name = format!("mode {held}");
        assert_eq!(request(&a, &name, held, 0), 0);
        let granted = (1..=6).filter(|mode| {
            let granted = request(&b, &name, *mode, 0) == 0;
            granted && by_handle(&b, &name, "DBMS_LOCK.RELEASE(h)") == 0
        });
        assert_eq!(granted.count(), goes, "{name}");
    }
}

#[test]
fn waits_in_a_queue_and_ends_with_its_time() {
    let double = Double::start();
    let (a, b, c) = (double.client(), double.client(), double.client());
    assert_eq!(request(&a, "k", 4, 0), 0);
    let start = Instant::now();
    assert_eq!(request(&b, "k", 6, 1), 1);
    assert!(start.elapsed() >= Duration::from_secs(1));
    thread::scope(|scope| {
        let writer = scope.spawn(|| request(&b, "k", 6, 20));
        let sql = "SELECT COUNT(*) FROM v$lock WHERE type = 'UL' AND request > 0";
        soon("the writer waits", || c.query_row(sql, &[]).unwrap().get::<i64>(0).unwrap() == 1);
        assert_eq!(request(&c, "k", 4, 0), 1, "a reader that comes later");
        assert_eq!(by_handle(&a, "k", "DBMS_LOCK.RELEASE(h)"), 0);
        assert_eq!(writer.join().unwrap(), 0);
    });
}

#[test]
fn sees_deadlocks() {
    let double = Double::start();
    let (a, b) = (double.client(), double.client());
    assert_eq!((request(&a, "1", 6, 0), request(&b, "2", 6, 0)), (0, 0));
    thread::scope(|scope| {
        let one = scope.spawn(|| {
            let code = request(&a, "2", 6, 20);
            assert_eq!(by_handle(&a, "1", "DBMS_LOCK.RELEASE(h)"), 0);
            code
        });
        let other = request(&b, "1", 6, 20);
        assert_eq!(by_handle(&b, "2", "DBMS_LOCK.RELEASE(h)"), 0);
        let mut codes = [one.join().unwrap(), other];
        codes.sort_unstable();
        assert!(codes[1] == 2, "{codes:?}");
    });
}

#[test]
fn ends_with_session_or_transaction() {
    let double = Double::start();
    let (a, b) = (double.client(), double.client());
    assert_eq!(
        number(&a, "BEGIN :result := DBMS_LOCK.REQUEST(1, 6, 0, TRUE); END;", &[]).unwrap(),
        0
    );
    assert_eq!(
        number(&a, "BEGIN :result := DBMS_LOCK.REQUEST(2, 6, 0, FALSE); END;", &[]).unwrap(),
        0
    );
    a.rollback().unwrap();
    assert_eq!(number(&b, "BEGIN :result := DBMS_LOCK.REQUEST(1, 6, 0); END;", &[]).unwrap(), 0);
    assert_eq!(number(&b, "BEGIN :result := DBMS_LOCK.REQUEST(2, 6, 0); END;", &[]).unwrap(), 1);
    drop(a);
    assert_eq!(number(&b, "BEGIN :result := DBMS_LOCK.REQUEST(2, 6, 5); END;", &[]).unwrap(), 0);
    // One that is killed learns it by its next call; its locks are free before that.
    let c = double.client();
    let victim = format!("'{},{}'", b.session_id().unwrap(), b.serial_num().unwrap());
    c.execute(&format!("ALTER SYSTEM KILL SESSION {victim} IMMEDIATE"), &[]).unwrap();
    assert_eq!(number(&c, "BEGIN :result := DBMS_LOCK.REQUEST(2, 6, 0); END;", &[]).unwrap(), 0);
    assert_eq!(code(&b.ping().unwrap_err()), 28);
}

#[test]
fn users_differ_in_rights() {
    let double = Double::start();
    let powerless = double.login("powerless", "FREEPDB1").unwrap();
    let refused = number(&powerless, "BEGIN :result := SYS.DBMS_LOCK.REQUEST(1, 6, 0); END;", &[]);
    let refused = refused.unwrap_err();
    assert_eq!(code(&refused), 6550);
    assert!(refused.to_string().contains("PLS-00201: identifier 'SYS.DBMS_LOCK'"), "{refused}");
    assert_eq!(code(&powerless.execute("CREATE TABLE t (a NUMBER)", &[]).err().unwrap()), 1031);
    let limited = double.login("limited", "FREEPDB1").unwrap();
    assert_eq!(code(&limited.query("SELECT sid FROM v$session", &[]).err().unwrap()), 942);
    assert_eq!(code(&double.login("nobody", "FREEPDB1").err().unwrap()), 1017);
    for wrong in ["dlock_1234", "x", "Dlock_12345678901234567890"] {
        assert_eq!(code(&double.enter("scott", wrong, "FREEPDB1").err().unwrap()), 1017);
    }
    assert!(double.login("scott", "NOSUCH").err().unwrap().to_string().contains("NOSUCH"));
    assert!(double.client().query("SELECT sid FROM v$session", &[]).unwrap().count() >= 3);
}
