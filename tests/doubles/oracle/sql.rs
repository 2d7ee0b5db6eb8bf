//! Tables, transactions and blocks.

use std::thread;

use dlock_tests::oracle::{Double, code, number, soon};
use oracledb::{Connection, DB_TYPE_NUMBER, DB_TYPE_VARCHAR};

fn table(client: &Connection) {
    let sql =
        "CREATE TABLE t (name RAW(255) PRIMARY KEY, fence NUMBER(19) NOT NULL, at TIMESTAMP(6))";
    client.execute(sql, &[]).unwrap();
}

fn insert(client: &Connection, name: &str, fence: i64) -> Result<u64, usize> {
    let sql =
        "INSERT INTO t (name, fence, at) VALUES (:name, :fence, SYS_EXTRACT_UTC(SYSTIMESTAMP))";
    let done = client.execute(sql, &[&name.as_bytes(), &fence]);
    done.map(|done| done.rows_affected()).map_err(|error| code(&error))
}

fn fences(client: &Connection) -> Vec<i64> {
    let rows = client.query("SELECT fence FROM t ORDER BY fence", &[]).unwrap();
    rows.map(|row| row.unwrap().get(0).unwrap()).collect()
}

#[test]
fn transactions_are_apart() {
    let double = Double::start();
    let (a, b) = (double.client(), double.client());
    table(&a);
    assert_eq!(insert(&a, "k", 1), Ok(1));
    assert_eq!((fences(&a), fences(&b)), (vec![1], vec![]));
    // The other one's end decides.
    thread::scope(|scope| {
        let second = scope.spawn(|| insert(&b, "k", 2));
        let c = double.client();
        let sql = "SELECT COUNT(*) FROM v$lock WHERE type = 'TX' AND request > 0";
        soon("it waits", || c.query_row(sql, &[]).unwrap().get::<i64>(0).unwrap() == 1);
        a.commit().unwrap();
        assert_eq!(second.join().unwrap(), Err(1));
    });
    // Of updates that meet, none is lost.
    let add = "UPDATE t SET fence = fence + 1 WHERE name = HEXTORAW('6B')";
    a.execute(add, &[]).unwrap();
    assert_eq!(
        code(
            &b.execute(
                "BEGIN FOR r IN (SELECT fence FROM t FOR UPDATE NOWAIT) LOOP NULL; END LOOP; END;",
                &[]
            )
            .err()
            .unwrap()
        ),
        54
    );
    thread::scope(|scope| {
        let second = scope.spawn(|| b.execute(add, &[]).unwrap().rows_affected());
        a.commit().unwrap();
        assert_eq!(second.join().unwrap(), 1);
        b.commit().unwrap();
    });
    assert_eq!(fences(&a), [3]);
    a.execute("DELETE FROM t", &[]).unwrap();
    a.rollback().unwrap();
    assert_eq!(fences(&a), [3]);
    assert_eq!(insert(&a, "l", 4), Ok(1));
    a.execute(
        "BEGIN UPDATE t SET fence = 0; INSERT INTO t VALUES (HEXTORAW('6B'), 9, NULL); END;",
        &[],
    )
    .err()
    .unwrap();
    assert_eq!(fences(&a), [3, 4], "a block that fails has done nothing");
}

#[test]
fn rows_in_a_cycle_are_a_deadlock() {
    let double = Double::start();
    let (a, b) = (double.client(), double.client());
    table(&a);
    assert_eq!((insert(&a, "1", 1), insert(&a, "2", 2)), (Ok(1), Ok(1)));
    a.commit().unwrap();
    let change = |client: &Connection, fence: i64| {
        let done = client.execute("UPDATE t SET at = NULL WHERE fence = :fence", &[&fence]);
        let done = done.map(|_| 0).map_err(|error| code(&error));
        if done.is_err() {
            client.rollback().unwrap();
        }
        done
    };
    assert_eq!((change(&a, 1), change(&b, 2)), (Ok(0), Ok(0)));
    thread::scope(|scope| {
        let one = scope.spawn(|| change(&a, 2));
        let other = change(&b, 1);
        let codes = [one.join().unwrap(), other];
        assert!(codes.contains(&Err(60)) && codes.contains(&Ok(0)), "{codes:?}");
    });
}

#[test]
fn returns_what_was_written() {
    let a = Double::start().client();
    table(&a);
    assert_eq!((insert(&a, "1", 1), insert(&a, "2", 2)), (Ok(1), Ok(1)));
    let sql = "UPDATE t SET fence = fence * 10 WHERE fence > :least RETURNING fence, RAWTOHEX(name) INTO :fence, :name";
    for expected in [vec![(10, "31"), (20, "32")], vec![(100, "31"), (200, "32")]] {
        let mut done = a.execute(sql, &[&0, &DB_TYPE_NUMBER, &DB_TYPE_VARCHAR]).unwrap();
        assert_eq!(done.rows_affected(), 2);
        let rows = done.returned_data().into_iter();
        let rows: Vec<(i64, String)> =
            rows.map(|row| (row.get(0).unwrap(), row.get(1).unwrap())).collect();
        let rows: Vec<(i64, &str)> =
            rows.iter().map(|(fence, name)| (*fence, name.as_str())).collect();
        assert_eq!(rows, expected);
    }
    let merge = "MERGE INTO t USING (SELECT HEXTORAW(:name) n, :fence f FROM DUAL) s ON (t.name = s.n) \
        WHEN MATCHED THEN UPDATE SET t.fence = s.f WHERE t.fence < s.f \
        WHEN NOT MATCHED THEN INSERT (name, fence) VALUES (s.n, s.f)";
    for (name, fence, rows) in [("31", 5, 0), ("31", 500, 1), ("33", 7, 1)] {
        assert_eq!(a.execute(merge, &[&name, &fence]).unwrap().rows_affected(), rows);
    }
    assert_eq!(fences(&a), [7, 200, 500]);
}

#[test]
fn blocks_are_run() {
    let a = Double::start().client();
    table(&a);
    let sql = "DECLARE \
        total NUMBER := 0; failed EXCEPTION; PRAGMA EXCEPTION_INIT(failed, -20001); \
        FUNCTION twice(of IN NUMBER) RETURN NUMBER IS BEGIN RETURN of * 2; END; \
        PROCEDURE note(what IN NUMBER, sum IN OUT NUMBER) IS PRAGMA AUTONOMOUS_TRANSACTION; BEGIN \
        INSERT INTO t (name, fence) VALUES (UTL_RAW.CAST_TO_RAW('n' || what), what); COMMIT; sum := sum + what; END; \
        BEGIN \
        FOR i IN 1 .. 3 LOOP CONTINUE WHEN i = 2; note(twice(i), total); END LOOP; \
        BEGIN SELECT fence INTO total FROM t WHERE fence = 99; \
        EXCEPTION WHEN NO_DATA_FOUND THEN total := total + 100; END; \
        BEGIN RAISE_APPLICATION_ERROR(-20001, 'no'); \
        EXCEPTION WHEN failed THEN total := total - SQLCODE; END; \
        WHILE total < 20200 LOOP total := total + 1; EXIT WHEN total > 20150; END LOOP; \
        IF total IS NULL THEN NULL; ELSIF total BETWEEN 1 AND 5 THEN total := 0; ELSE ROLLBACK; END IF; \
        :result := total; END;";
    // 2 + 6 + 100 + 20001, and up to 20151.
    assert_eq!(number(&a, sql, &[]).unwrap(), 20_151);
    assert_eq!(fences(&a), [2, 6]);
    let text = "BEGIN :text := :text || TO_CHAR(EXTRACT(SECOND FROM NUMTODSINTERVAL(:millis / 1000, 'SECOND'))); END;";
    for _ in 0..2 {
        let long = "x".repeat(9000);
        let mut done = a.execute(text, &[&long, &1500]).unwrap();
        assert_eq!(done.out_bind_data().get::<String>(0).unwrap(), long + "1.5");
    }
    let unknown = a.execute("BEGIN nonsense(1); END;", &[]).err().unwrap();
    assert_eq!(code(&unknown), 6550);
    let late =
        "DECLARE FUNCTION f RETURN NUMBER IS BEGIN RETURN 1; END; late NUMBER; BEGIN NULL; END;";
    assert_eq!(code(&a.execute(late, &[]).err().unwrap()), 900, "a variable after a routine");
    let unknown = a.execute("GRANT nothing", &[]).err().unwrap();
    assert!(code(&unknown) == 900 && unknown.to_string().contains("GRANT nothing"), "{unknown}");
    // More rows than come at once.
    for fence in 10..30 {
        insert(&a, &fence.to_string(), fence).unwrap();
    }
    assert_eq!(fences(&a).len(), 22);
}
