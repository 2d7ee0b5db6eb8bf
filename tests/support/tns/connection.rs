//! One client's connection, from its first word to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use crate::doubles::script::Trick;

use super::answer::End;
use super::cursors::{Cursors, Reply};
use super::fault::Fault;
use super::login::{self, Entered};
use super::request::{Message, Request, Tags};
use super::runner::Runner;
use super::time;
use super::wire::{self, ACCEPT, CONNECT, DATA, EOF, MARKER, Packet, REFUSE, Writer};
use super::world::{Container, Shared};

/// What a marker says.
const BREAK: u8 = 1;
const RESET: u8 = 2;
const INTERRUPT: u8 = 3;

/// What ends while a call runs.
enum Event {
    Answered,
    Cancelled,
    Gone,
    Killed,
}

/// The server's end of the line.
struct Line {
    said: mpsc::UnboundedReceiver<Packet>,
    to: OwnedWriteHalf,
}

/// A connection that has logged in. The runner is away while a call runs.
struct Client {
    shared: Shared,
    line: Line,
    who: Entered,
    stop: watch::Sender<bool>,
}

/// Serves a client until it goes.
pub(super) async fn serve(mut stream: TcpStream, shared: Shared) {
    let _ = stream.set_nodelay(true);
    let Some(container) = connect(&mut stream).await else { return };
    let (from, to) = stream.into_split();
    let mut line = Line { said: listen(from), to };
    let Some(who) = log_in(&shared, container, &mut line).await else { return };
    let (id, (stop, stopped)) = (who.id, watch::channel(false));
    let whose = (&*who.user, container);
    let runner = Runner::new(shared.clone(), id, who.serial, whose, stopped);
    let mut client = Client { shared: shared.clone(), line, who, stop };
    client.serve(runner).await;
    // Before the socket is closed: who sees it closed may rely on that nothing is held any more.
    let mut world = shared.world();
    world.forget(id);
    world.sessions.remove(&id);
}

/// The listener's part.
async fn connect(stream: &mut TcpStream) -> Option<Container> {
    let packet = wire::read(stream).await.ok().filter(|packet| packet.kind == CONNECT)?;
    let data = match packet.body.get(66..).filter(|data| !data.is_empty()) {
        Some(data) => data.to_vec(),
        // It follows by itself, where it is long.
        None => wire::read(stream).await.ok()?.body,
    };
    let container = match login::container(&String::from_utf8_lossy(&data)) {
        Ok(container) => container,
        Err(refusal) => {
            let _ = wire::write(stream, &wire::packets(REFUSE, &refusal, false)).await;
            return None;
        }
    };
    wire::write(stream, &wire::packets(ACCEPT, &login::accept(), false)).await.ok()?;
    Some(container)
}

/// What the client says, also while it is being answered.
fn listen(mut from: OwnedReadHalf) -> mpsc::UnboundedReceiver<Packet> {
    let (say, said) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(packet) = wire::read(&mut from).await {
            let ends = packet.flags & EOF != 0;
            if say.send(packet).is_err() || ends {
                return;
            }
        }
    });
    said
}

async fn log_in(shared: &Shared, container: Container, line: &mut Line) -> Option<Entered> {
    let mut known = HashMap::new();
    loop {
        match line.message(|_| true).await?.request {
            Request::Protocol => line.send(&login::protocol()).await?,
            Request::DataTypes => line.send(&[2, 0, 0]).await?,
            Request::Login { pairs, is_second: false, .. } => {
                known.extend(pairs);
                line.send(&login::challenge()).await?;
            }
            Request::Login { user, pairs, .. } => {
                known.extend(pairs);
                let entered = login::enter(&mut shared.world(), (&user, container), known);
                return match entered {
                    Ok(who) => {
                        let sent = line.send(&login::welcome(who.id, who.serial)).await;
                        if sent.is_none() {
                            shared.world().sessions.remove(&who.id);
                        }
                        sent.map(|()| who)
                    }
                    Err(fault) => {
                        let _ = line.fail(&fault, End::default()).await;
                        None
                    }
                };
            }
            _ => return None,
        }
    }
}

impl Line {
    /// The next message; none: there is none any more. A message does not say how long it is: it is
    /// there as a whole when all is there that it speaks of.
    async fn message(&mut self, is_whole: impl Fn(&Message) -> bool) -> Option<Message> {
        let mut body = Vec::new();
        loop {
            let packet = self.said.recv().await?;
            match packet.kind {
                DATA if packet.flags & EOF != 0 => return None,
                DATA => body.extend(packet.body),
                // It wants to cancel what has been answered already.
                MARKER if packet.body.get(2) == Some(&INTERRUPT) => self.cancelled().await?,
                _ => continue,
            }
            if let Some(message) = Message::read(&body).filter(&is_whole) {
                return Some(message);
            }
        }
    }

    async fn send(&mut self, body: &[u8]) -> Option<()> {
        wire::write(&mut self.to, &wire::packets(DATA, body, true)).await.ok()
    }

    async fn mark(&mut self, what: u8) -> Option<()> {
        wire::write(&mut self.to, &wire::packets(MARKER, &[1, 0, what], true)).await.ok()
    }

    /// An error comes after marks, as on a server: what is on its way before them is void.
    async fn fail(&mut self, fault: &Fault, end: End) -> Option<()> {
        self.mark(BREAK).await?;
        self.reset(fault, end).await
    }

    async fn cancelled(&mut self) -> Option<()> {
        self.reset(&Fault::numbered(1013), End::default()).await
    }

    async fn reset(&mut self, fault: &Fault, end: End) -> Option<()> {
        while self.said.recv().await?.body.get(2) != Some(&RESET) {}
        self.mark(RESET).await?;
        let mut writer = Writer::default();
        writer.end(end, Some(fault));
        self.send(&writer.0).await
    }
}

impl Client {
    async fn serve(&mut self, runner: Runner) {
        let mut state = Some((runner, Cursors::default()));
        loop {
            let kill = Arc::clone(&self.who.kill);
            let Some((runner, cursors)) = &state else { break };
            let is_whole = |message: &Message| cursors.has_all(runner, &message.request);
            let message = tokio::select! {
                message = self.line.message(is_whole) => message,
                () = kill.notified() => None,
            };
            let Some(message) = message else { break };
            if self.answer(message, &mut state).await.is_none() {
                break;
            }
        }
        if let Some((mut runner, _)) = state {
            runner.close();
        }
    }

    /// Does what is asked for; none: the connection is over.
    async fn answer(
        &mut self,
        message: Message,
        state: &mut Option<(Runner, Cursors)>,
    ) -> Option<()> {
        let (mut runner, mut cursors) = state.take()?;
        let text = cursors.text_of(&message.request);
        cursors.close(&message.closes);
        let Some(trick) = self.begin(&text, message.tags) else {
            let _ = self.line.fail(&Fault::numbered(28), End::default()).await;
            *state = Some((runner, cursors));
            return None;
        };
        let mut logs_off = false;
        let quick = match &message.request {
            Request::Commit => {
                runner.commit();
                Some(())
            }
            Request::Rollback => runner.roll_back(None).ok(),
            Request::Ping => Some(()),
            Request::Logoff => {
                logs_off = true;
                Some(())
            }
            _ => None,
        };
        if let Some(Trick::Delay(time)) = trick {
            sleep(time).await;
        }
        let (event, reply) = if let Some(Trick::Error(number)) = trick {
            let reply = Reply::failed(Fault::numbered(number));
            *state = Some((runner, cursors));
            (Event::Answered, reply)
        } else if quick.is_some() {
            let mut writer = Writer::default();
            writer.status(runner.is_in_transaction());
            *state = Some((runner, cursors));
            stall(trick).await;
            (Event::Answered, Reply::done(writer))
        } else {
            runner.trick = trick;
            self.stop.send_replace(false);
            let running = spawn_blocking(move || {
                let reply = cursors.run(&mut runner, message.request);
                (runner, cursors, reply)
            });
            let (event, (runner, cursors, reply)) = self.wait(running, trick).await?;
            *state = Some((runner, cursors));
            (event, reply)
        };
        self.end();
        match event {
            Event::Answered => {
                let sent = self.reply(reply, trick).await;
                if logs_off { None } else { sent }
            }
            Event::Cancelled => self.line.cancelled().await,
            Event::Gone => None,
            Event::Killed => {
                let _ = self.line.fail(&Fault::numbered(28), End::default()).await;
                None
            }
        }
    }

    /// Waits for a call, or for what ends it.
    async fn wait<T>(
        &mut self,
        mut running: JoinHandle<T>,
        trick: Option<Trick>,
    ) -> Option<(Event, T)> {
        let deaf = if let Some(Trick::Deaf(time)) = trick { Some(time) } else { None };
        let done = async {
            let done = (&mut running).await;
            stall(trick).await;
            sleep(deaf.unwrap_or_default()).await;
            done
        };
        tokio::pin!(done);
        let event = tokio::select! {
            biased;
            () = self.who.kill.notified() => Event::Killed,
            packet = self.line.said.recv(), if deaf.is_none() => match packet {
                Some(packet) if packet.kind == MARKER => Event::Cancelled,
                _ => Event::Gone,
            },
            done = &mut done => return done.ok().map(|done| (Event::Answered, done)),
        };
        self.stop.send_replace(true);
        done.await.ok().map(|done| (event, done))
    }

    async fn reply(&mut self, reply: Reply, trick: Option<Trick>) -> Option<()> {
        match (trick, reply.fault) {
            (Some(Trick::HangUp), _) => None,
            (Some(Trick::Cut), _) => {
                let bytes = wire::packets(DATA, &reply.body, true);
                let _ = wire::write(&mut self.line.to, &bytes[..bytes.len() / 2]).await;
                None
            }
            (_, Some(fault)) => self.line.fail(&fault, reply.end).await,
            (_, None) => self.line.send(&reply.body).await,
        }
    }

    /// Shows that it runs something, and looks what is to go wrong with it; none: the session has been killed.
    fn begin(&self, text: &str, tags: Option<Tags>) -> Option<Option<Trick>> {
        let mut world = self.shared.world();
        let session = world.sessions.get_mut(&self.who.id).filter(|session| !session.is_killed)?;
        (session.is_active, session.asked) = (true, time::now() / 1_000_000);
        if let Some(tags) = tags {
            let Tags { identifier, module, action, info } = tags;
            session.identifier = identifier.unwrap_or_else(|| session.identifier.clone());
            session.module = module.unwrap_or_else(|| session.module.clone());
            session.action = action.unwrap_or_else(|| session.action.clone());
            session.client_info = info.unwrap_or_else(|| session.client_info.clone());
        }
        Some(world.script.of(text))
    }

    fn end(&self) {
        if let Some(session) = self.shared.world().sessions.get_mut(&self.who.id) {
            session.is_active = false;
        }
    }
}

async fn stall(trick: Option<Trick>) {
    let late = if let Some(Trick::Stall(time)) = trick { time } else { Duration::ZERO };
    sleep(late).await;
}
