//! One client's connection, from its first word to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};

use super::error::Fault;
use super::login::{self, Login};
use super::reply::Reply;
use super::request::Request;
use super::runner::Runner;
use super::scope::Locals;
use super::time;
use super::tokens::{self, Style};
use super::value::Value;
use super::wire::{self, Kind, Message};
use super::world::Session;
use super::world::Shared;
use crate::doubles::script::Trick;

/// Sessions of clients have numbers from here on.
const FIRST: u16 = 51;

/// What ends while a request runs.
enum Event {
    Answered(Vec<Reply>, Style),
    Cancelled,
    Gone,
    Killed,
}

/// A connection that has logged in.
struct Client {
    shared: Shared,
    id: u16,
    said: mpsc::UnboundedReceiver<Message>,
    to: OwnedWriteHalf,
    packet_size: usize,
    kill: Arc<Notify>,
}

/// Serves a client until it goes.
pub(super) async fn serve(stream: TcpStream, shared: Shared) {
    let address = stream.peer_addr().map_or_else(|_| String::new(), |address| address.to_string());
    let _ = stream.set_nodelay(true);
    let (from, to) = stream.into_split();
    let said = listen(from);
    let Some((mut client, runner)) = welcome(shared, said, to, &address).await else { return };
    client.serve(runner).await;
    // Before the socket is closed: who sees it closed may rely on that nothing is held any more.
    client.shared.world().forget(client.id);
}

/// What the client says, also while it is being answered.
fn listen(mut from: OwnedReadHalf) -> mpsc::UnboundedReceiver<Message> {
    let (say, said) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(message) = wire::read(&mut from).await {
            if say.send(message).is_err() {
                return;
            }
        }
    });
    said
}

/// The handshake.
async fn welcome(
    shared: Shared,
    mut said: mpsc::UnboundedReceiver<Message>,
    mut to: OwnedWriteHalf,
    address: &str,
) -> Option<(Client, Runner)> {
    loop {
        let message = said.recv().await?;
        match message.kind {
            Kind::PreLogin => {
                wire::write(&mut to, &wire::packets(&login::pre_login(), 4096, 0)).await.ok()?
            }
            Kind::Login => {
                let login = login::read(&message.body)?;
                match enter(&shared, &login, address) {
                    Ok((locals, kill)) => {
                        let (id, packet_size) = (locals.id, login.packet_size);
                        let database = shared.world().database_name(locals.database).to_owned();
                        let ack = tokens::login_ack(&database, packet_size);
                        let runner = Runner::new(shared.clone(), locals);
                        let sent = wire::write(&mut to, &wire::packets(&ack, 4096, id)).await;
                        let client = Client { shared, id, said, to, packet_size, kill };
                        if sent.is_err() {
                            client.shared.world().forget(id);
                            return None;
                        }
                        return Some((client, runner));
                    }
                    Err(fault) => {
                        let refused = tokens::encode(&[Reply::Error(fault)], Style::Batch);
                        let _ = wire::write(&mut to, &wire::packets(&refused, 4096, 0)).await;
                        return None;
                    }
                }
            }
            _ => return None,
        }
    }
}

/// Makes the session, if the login may have one.
fn enter(shared: &Shared, login: &Login, address: &str) -> Result<(Locals, Arc<Notify>), Fault> {
    let mut world = shared.world();
    if login.password == "wrong" {
        return Err(Fault {
            severity: 14,
            ..Fault::new(18456, format!("Login failed for user '{}'.", login.login))
        });
    }
    let name = if login.database.is_empty() { "master" } else { &login.database };
    let database = world.database(name).map_err(|_| {
        Fault::new(
            4060,
            format!("Cannot open database \"{name}\" requested by the login. The login failed."),
        )
    })?;
    let most = world.option(&format!("sessions_of_{}", login.login));
    let most = most.and_then(|most| most.parse().ok()).unwrap_or(30_000);
    if world.sessions.values().filter(|session| session.login == login.login).count() >= most {
        return Err(Fault::numbered(10_928));
    }
    let id = (FIRST..u16::MAX).find(|id| !world.sessions.contains_key(id)).unwrap_or(u16::MAX);
    let kill = Arc::new(Notify::new());
    let now = time::now();
    let session = Session {
        host: login.host.clone(),
        program: login.program.clone(),
        login: login.login.clone(),
        process: login.process,
        address: address.to_owned(),
        database,
        since: now,
        asked: now,
        running: None,
        transactions: 0,
        kill: Arc::clone(&kill),
    };
    world.sessions.insert(id, session);
    let locals = Locals::new(id, &login.login, &login.program, &login.host, database);
    Ok((locals, kill))
}

impl Client {
    async fn serve(&mut self, mut runner: Runner) {
        loop {
            let message = tokio::select! {
                message = self.said.recv() => message,
                () = self.kill.notified() => return,
            };
            let Some(message) = message else { return };
            if message.kind == Kind::Attention {
                if self.send(&tokens::acknowledgement()).await.is_none() {
                    return;
                }
                continue;
            }
            if message.resets {
                runner.reset();
            }
            let Some(request) = Request::read(&message) else { return };
            if self.answer(&mut runner, request).await.is_none() {
                return;
            }
        }
    }

    /// Does what is asked for; none: the connection is over.
    async fn answer(&mut self, runner: &mut Runner, request: Request) -> Option<()> {
        let text = request.text();
        let trick = self.begin(&text);
        if let Some(Trick::Delay(time)) = trick {
            tokio::time::sleep(time).await;
        }
        if let Some(Trick::Error(number)) = trick {
            self.end();
            return self
                .send(&tokens::encode(&[Reply::Error(Fault::numbered(number))], Style::Batch))
                .await;
        }
        let mut cancelled = false;
        let event = {
            let running = run(runner, request, trick);
            tokio::pin!(running);
            loop {
                let hears = !matches!(trick, Some(Trick::Deaf(_)));
                tokio::select! {
                    biased;
                    () = self.kill.notified() => break Event::Killed,
                    message = self.said.recv(), if hears => match message {
                        None => break Event::Gone,
                        Some(message) if message.kind == Kind::Attention => match trick {
                            Some(Trick::Race) => cancelled = true,
                            _ => break Event::Cancelled,
                        },
                        // Nobody asks before he is answered.
                        Some(_) => break Event::Gone,
                    },
                    (reply, style) = &mut running => break Event::Answered(reply, style),
                }
            }
        };
        self.end();
        match event {
            Event::Answered(reply, style) => self.reply(reply, style, trick, cancelled).await,
            Event::Cancelled => self.send(&tokens::acknowledgement()).await,
            Event::Gone => None,
            Event::Killed => {
                let fault = Fault::new(
                    596,
                    "Cannot continue the execution because the session is in the kill state.",
                );
                let fault = Fault { severity: 21, ..fault };
                let _ = self.send(&tokens::encode(&[Reply::Error(fault)], Style::Batch)).await;
                None
            }
        }
    }

    async fn reply(
        &mut self,
        mut reply: Vec<Reply>,
        style: Style,
        trick: Option<Trick>,
        cancelled: bool,
    ) -> Option<()> {
        match trick {
            Some(Trick::NoRow) => reply.retain(|part| !matches!(part, Reply::Row(_))),
            Some(Trick::Null) => spoil(&mut reply, &Value::Null),
            Some(Trick::Code(code)) => spoil(&mut reply, &Value::Int(code)),
            Some(Trick::HangUp) => return None,
            Some(Trick::Flood) => return self.flood(reply).await,
            Some(Trick::Cut) => {
                let packets =
                    wire::packets(&tokens::encode(&reply, style), self.packet_size, self.id);
                let _ = wire::write(&mut self.to, &packets[..packets.len() / 2]).await;
                return None;
            }
            _ => {}
        }
        let sent = self.send(&tokens::encode(&reply, style)).await;
        if let Some(Trick::Deaf(time)) = trick {
            tokio::time::sleep(time).await;
        }
        sent?;
        if cancelled { self.send(&tokens::acknowledgement()).await } else { Some(()) }
    }

    /// Sends the first row until nobody takes it.
    async fn flood(&mut self, mut reply: Vec<Reply>) -> Option<()> {
        let row = reply.iter().position(|part| matches!(part, Reply::Row(_)))?;
        reply.truncate(row + 1);
        let mut once = wire::unfinished(&tokens::rows(&reply), self.packet_size, self.id);
        let many = tokens::rows_again(&reply).repeat(1000);
        let again = wire::unfinished(&many, self.packet_size, self.id);
        loop {
            wire::write(&mut self.to, &once).await.ok()?;
            once.clone_from(&again);
        }
    }

    async fn send(&mut self, body: &[u8]) -> Option<()> {
        wire::write(&mut self.to, &wire::packets(body, self.packet_size, self.id)).await.ok()
    }

    /// Shows that it runs something, and looks what is to go wrong with it.
    fn begin(&self, text: &str) -> Option<Trick> {
        let mut world = self.shared.world();
        if let Some(session) = world.sessions.get_mut(&self.id) {
            session.running = Some(text.to_owned());
            session.asked = time::now();
        }
        world.script.of(text)
    }

    fn end(&self) {
        if let Some(session) = self.shared.world().sessions.get_mut(&self.id) {
            session.running = None;
        }
    }
}

async fn run(runner: &mut Runner, request: Request, trick: Option<Trick>) -> (Vec<Reply>, Style) {
    let answer = runner.run(request).await;
    let late = if let Some(Trick::Stall(time)) = trick { time } else { Duration::ZERO };
    tokio::time::sleep(late).await;
    answer
}

/// Puts this in the first place of each row.
fn spoil(reply: &mut [Reply], with: &Value) {
    for part in reply {
        if let Reply::Row(values) = part
            && let Some(first) = values.first_mut()
        {
            *first = with.clone();
        }
    }
}
