//! A proxy that shares the server's sessions among its clients, played by hand: it says hello, lets
//! everybody in, and answers every question with the id of the session that is asked.

use std::io::{Read as _, Result, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use dlock::{Error, Locker};
use tokio::runtime::Runtime;

/// Which session is asked next, of this client.
type Choose = fn(client: u32, question: u32) -> u32;

#[test]
fn that_has_one_session_for_all_is_refused() {
    assert_refused(|_, _| 7);
}

#[test]
fn that_changes_sessions_is_refused() {
    assert_refused(|client, question| 10 * client + question % 2);
}

fn assert_refused(choose: Choose) {
    let url = format!("mysql://root@{}/test", proxy(choose));
    let error = Runtime::new().unwrap().block_on(Locker::connect(&url)).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("connect to the server itself"), "{error}");
}

/// The proxy's address. Its threads end with the process.
fn proxy(choose: Choose) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let clients = Arc::new(AtomicU32::new(1));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let client = clients.fetch_add(1, Ordering::Relaxed);
            // Who hangs up is gone.
            thread::spawn(move || serve(stream, |question| choose(client, question)));
        }
    });
    address
}

/// <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>
fn serve(mut stream: TcpStream, session: impl Fn(u32) -> u32) -> Result<()> {
    const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
    const END_OF_ROWS: &[u8] = &[0xfe, 0, 0, 2, 0];
    // Protocol 41, a database in the URL, authentication by plugins.
    let hello = [
        b"\x0a8.0.30\0\x01\0\0\0saltsalt\0\x08\x82\x2d\x02\0\x08\0\x15",
        &[0; 10][..],
        b"saltsaltsalt\0mysql_native_password\0",
    ];
    send(&mut stream, 0, &hello.concat())?;
    let (sequence, _) = receive(&mut stream)?;
    send(&mut stream, sequence + 1, OK)?;
    for question in 0.. {
        let (_, command) = receive(&mut stream)?;
        if command.first() != Some(&3) {
            return Ok(());
        }
        let id = session(question).to_string();
        let column = b"\x03def\0\0\0\x01a\0\x0c\x2d\0\xff\0\0\0\xfd\0\0\0\0\0";
        let id = [&[u8::try_from(id.len()).unwrap()], id.as_bytes()].concat();
        let row = [&b"\x011"[..], &id].concat();
        let answer = [&b"\x02"[..], column, column, END_OF_ROWS, &row, END_OF_ROWS];
        for (sequence, packet) in (1..).zip(answer) {
            send(&mut stream, sequence, packet)?;
        }
    }
    Ok(())
}

fn send(stream: &mut TcpStream, sequence: u8, payload: &[u8]) -> Result<()> {
    let [a, b, c, _] = u32::try_from(payload.len()).unwrap().to_le_bytes();
    stream.write_all(&[&[a, b, c, sequence], payload].concat())
}

fn receive(stream: &mut TcpStream) -> Result<(u8, Vec<u8>)> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let [a, b, c, sequence] = head;
    let mut payload = vec![0; u32::from_le_bytes([a, b, c, 0]) as usize];
    stream.read_exact(&mut payload)?;
    Ok((sequence, payload))
}
