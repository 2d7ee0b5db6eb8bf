//! A way to the server that can go dead, and that counts who says something.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::forger::{Forger, Forgery, Said};
use crate::wire::Wire;

/// A TCP proxy on a port of its own. Ends with the runtime, or on drop.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    silent: watch::Sender<Silence>,
    counts: Arc<Counts>,
}

/// What does not pass.
#[derive(Debug, Clone, Copy, Default)]
struct Silence {
    /// That of connections up to this number: 1 is the first.
    last: u64,
    /// What goes to the server, and what comes back.
    ways: [bool; 2],
}

/// The ways of [`Silence`].
const FORTH: usize = 0;
const BACK: usize = 1;

impl Silence {
    fn is_of(&self, number: u64, way: usize) -> bool {
        number <= self.last && self.ways[way]
    }
}

#[derive(Debug, Default)]
struct Counts {
    delay: AtomicU64,
    connections: AtomicU64,
    round_trips: AtomicU64,
    statements: AtomicU64,
    /// For connections up to this number.
    forgery: Mutex<Option<(u64, Forgery)>>,
}

impl Counts {
    fn forgery(&self, number: u64) -> Option<Forgery> {
        let forgery = *self.forgery.lock().unwrap();
        forgery.filter(|(last, _)| number <= *last).map(|(_, forgery)| forgery)
    }
}

impl Proxy {
    /// A proxy to the server of that URL.
    pub async fn to(url: &str) -> Self {
        Self::at("127.0.0.1:0", url).await
    }

    /// The same at this address.
    pub async fn at(address: &str, url: &str) -> Self {
        let ours = address;
        let (scheme, rest) = url.split_once("://").unwrap();
        let (address, path) = rest.split_once('/').unwrap();
        let (user, server) = address.rsplit_once('@').unwrap_or(("", address));
        let listener = TcpListener::bind(ours).await.unwrap();
        let ours = listener.local_addr().unwrap();
        let (silent, is_silent) = watch::channel(Silence::default());
        let counts = Arc::new(Counts::default());
        let ends = (listener, server.to_owned(), Wire::of(scheme));
        tokio::spawn(serve(ends, is_silent, Arc::clone(&counts)));
        Proxy { url: format!("{scheme}://{user}@{ours}/{path}"), silent, counts }
    }

    /// The server's URL, by way of the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on nothing passes, and nobody is told: neither side sees its connection end.
    pub fn go_silent(&self) {
        self.silent.send_replace(Silence { last: u64::MAX, ways: [true, true] });
    }

    /// From now on the server hears nothing, and what it says arrives.
    pub fn lose_requests(&self) {
        self.silent.send_replace(Silence { last: u64::MAX, ways: [true, false] });
    }

    /// From now on the server hears and does everything, and nobody hears of it.
    pub fn lose_answers(&self) {
        self.silent.send_replace(Silence { last: u64::MAX, ways: [false, true] });
    }

    /// The same for those connections that there are; new ones are not hurt.
    pub fn forget_open(&self) {
        self.silent.send_replace(Silence { last: self.connections(), ways: [true, true] });
    }

    /// Everything passes again, late as it is: TCP forgets nothing.
    pub fn come_back(&self) {
        self.silent.send_replace(Silence::default());
    }

    /// From now on answers come to those connections that there are like this. No answer may be on
    /// its way.
    pub fn forge(&self, forgery: Forgery) {
        *self.counts.forgery.lock().unwrap() = Some((self.connections(), forgery));
    }

    /// Lets each new connection wait this long, as one over a distance and with TLS does.
    pub fn delay_connections(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap();
        self.counts.delay.store(millis, Ordering::SeqCst);
    }

    /// How often a client has said something after the server had spoken.
    pub fn round_trips(&self) -> u64 {
        self.counts.round_trips.load(Ordering::SeqCst)
    }

    /// How many statements clients have had run, as far as nothing is encrypted.
    pub fn statements(&self) -> u64 {
        self.counts.statements.load(Ordering::SeqCst)
    }

    /// How many connections there were.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::SeqCst)
    }
}

async fn serve(
    (listener, server, wire): (TcpListener, String, Wire),
    mut silent: watch::Receiver<Silence>,
    counts: Arc<Counts>,
) {
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            () = dropped(&mut silent) => return,
        };
        let number = counts.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let ends = (client, server.clone(), wire.clone());
        tokio::spawn(connect(number, ends, silent.clone(), Arc::clone(&counts)));
    }
}

async fn connect(
    number: u64,
    (client, server, mut wire): (TcpStream, String, Wire),
    silent: watch::Receiver<Silence>,
    counts: Arc<Counts>,
) {
    tokio::time::sleep(Duration::from_millis(counts.delay.load(Ordering::SeqCst))).await;
    // A server that is away hangs up on the client.
    let Ok(server) = TcpStream::connect(&server).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let servers_turn = Arc::new(AtomicBool::new(false));
    let postgres = wire.is_postgres();
    let back_counts = Arc::clone(&counts);
    let forth = {
        let servers_turn = Arc::clone(&servers_turn);
        move |said: &[u8]| {
            counts.statements.fetch_add(wire.statements(said), Ordering::SeqCst);
            if !servers_turn.swap(true, Ordering::SeqCst) {
                counts.round_trips.fetch_add(1, Ordering::SeqCst);
            }
            Said::Once(said.to_owned())
        }
    };
    let mut forger = None;
    let back = move |said: &[u8]| {
        servers_turn.store(false, Ordering::SeqCst);
        let Some(forgery) = back_counts.forgery(number) else { return Said::Once(said.to_owned()) };
        forger.get_or_insert_with(|| Forger::new(forgery, postgres)).forge(said)
    };
    tokio::join!(
        pass((number, FORTH), (from_client, to_server), silent.clone(), forth),
        pass((number, BACK), (from_server, to_client), silent, back),
    );
}

async fn pass(
    (number, way): (u64, usize),
    (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf),
    mut silent: watch::Receiver<Silence>,
    mut spoke: impl FnMut(&[u8]) -> Said,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            () = dropped(&mut silent) => return,
        };
        let length = read.unwrap_or(0);
        if silent.wait_for(|silent| !silent.is_of(number, way)).await.is_err() || length == 0 {
            return;
        }
        let sent = match spoke(&buffer[..length]) {
            Said::Once(said) => to.write_all(&said).await,
            Said::Endless(said, row) => {
                let mut sent = to.write_all(&said).await;
                let many = row.repeat(16 * 1024 / row.len() + 1);
                while sent.is_ok() {
                    sent = tokio::select! {
                        sent = to.write_all(&many) => sent,
                        () = dropped(&mut silent) => return,
                    };
                }
                sent
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Ends when the proxy is dropped: so do its connections.
async fn dropped(silent: &mut watch::Receiver<Silence>) {
    while silent.changed().await.is_ok() {}
}
