//! What callers want to know of the server.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::actor::Actor;
use super::callers::expiry;
use super::executor::{Executor, Reply};
use super::mail::{Mail, Request};
use super::map::Map;
use super::table::RequestId;
use crate::backend::Seen;
use crate::claim::Claim;
use crate::holder::{Holder, Stage};
use crate::key::Key;
use crate::mode::Mode;
use crate::native::NativeKey;
use crate::status::rows::Row;
use crate::status::{Finding, Report};

/// So long a caller whose time is up waits at most to learn who was in the way.
const LOOK: Duration = Duration::from_millis(50);

/// So long it is worth telling who was in the way.
const NEWS: Duration = Duration::from_millis(100);

/// The keys whose holder is looked for, or was found a moment ago.
pub(super) type Looking = Map<NativeKey, Look>;

#[derive(Default)]
pub(super) struct Look {
    /// Callers whose time is up.
    pub(super) line: Vec<(Request, Duration)>,
    /// When, and who it was, if anybody.
    found: Option<(Instant, Option<Holder>)>,
}

impl<E: Executor> Actor<E> {
    /// Answers a caller whose time is up when it is known who holds the key. One question serves
    /// all whose time is up meanwhile.
    pub(super) fn look_for_holder(&mut self, request: Request, waited: Duration) {
        if let Some(Look { found: Some((at, holder)), .. }) = self.looking.get(&request.claim.key)
            && at.elapsed() < NEWS
        {
            return request.refuse(waited, Stage::Database, holder.clone());
        }
        let key = request.claim.key.clone();
        self.look(key.clone());
        self.looking.entry(key).or_default().line.push((request, waited));
    }

    /// A caller's time will soon be up.
    pub(super) fn look_ahead(&mut self, id: RequestId) {
        let Some(request) = self.callers.requests.get(&id) else { return };
        self.alarms.extend(expiry(request));
        let key = request.claim.key.clone();
        if !self.table.is_held(&request.claim) {
            self.look(key);
        }
    }

    /// Finds out who holds the key, unless that is under way.
    fn look(&mut self, key: NativeKey) {
        self.looking.retain(|_, look| {
            !look.line.is_empty() || look.found.as_ref().is_none_or(|(at, _)| at.elapsed() < NEWS)
        });
        if self.looking.contains_key(&key) {
            return;
        }
        self.looking.insert(key.clone(), Look::default());
        let (reply, answer) = oneshot::channel();
        self.executor.status(Some(key.clone()), reply);
        let engine = self.engine.clone();
        tokio::spawn(async move {
            let seen = match timeout(LOOK, answer).await {
                Ok(Ok(Ok(seen))) => seen,
                _ => Vec::new(),
            };
            let holders = seen.into_iter().flat_map(|seen| seen.holders);
            let holder = first(holders.map(|party| party.holder).collect());
            engine.post(Mail::Found { key, holder });
        });
    }

    /// Answers those who waited for this.
    pub(super) fn found(&mut self, key: &NativeKey, holder: Option<Holder>) {
        let Some(look) = self.looking.get_mut(key) else { return };
        for (request, waited) in look.line.drain(..) {
            request.refuse(waited, Stage::Database, holder.clone());
        }
        look.found = Some((Instant::now(), holder));
    }

    /// Asks who holds and who waits, of all keys.
    pub(super) fn status(&mut self, reply: Reply<Vec<Row>>) {
        let mut known: Map<NativeKey, Key> = Map::default();
        let mut waiting: BTreeMap<NativeKey, (Mode, Vec<Holder>)> = BTreeMap::new();
        for request in self.callers.requests.values() {
            let Claim { key, mode } = &request.claim;
            known.insert(key.clone(), request.key.clone());
            if request.patient {
                let (_, line) = waiting.entry(key.clone()).or_insert((*mode, Vec::new()));
                let (who, since) = (this_process(), Some(request.asked.elapsed()));
                line.push(Holder { who, since });
            }
        }
        for (hold, (claim, _)) in self.callers.holds.values() {
            known.insert(claim.key.clone(), hold.key.clone());
        }
        let (ask, answer) = oneshot::channel();
        self.executor.status(None, ask);
        tokio::spawn(async move {
            // Without an answer the asker is told by the dropped reply.
            let Ok(seen) = answer.await else { return };
            let _ = reply.send(seen.map(|seen| {
                let mut row = |seen: Seen| {
                    let native = seen.claim.key;
                    let ours = waiting.remove(&native).map(|(_, ours)| ours).unwrap_or_default();
                    let theirs = seen.waiters.into_iter().map(|party| party.holder);
                    Row {
                        key: known.get(&native).cloned(),
                        native,
                        mode: seen.claim.mode,
                        holders: seen.holders.into_iter().map(|party| party.holder).collect(),
                        waiters: theirs.chain(ours).collect(),
                    }
                };
                let mut rows: Vec<Row> = seen.into_iter().map(&mut row).collect();
                rows.extend(waiting.into_iter().map(|(native, (mode, waiters))| Row {
                    key: known.get(&native).cloned(),
                    native,
                    mode,
                    holders: Vec::new(),
                    waiters,
                }));
                rows
            }));
        });
    }

    /// Asks what is wrong with the set-up.
    pub(super) fn check(&mut self, reply: Reply<Report>) {
        let (ask, answer) = oneshot::channel();
        self.executor.check(ask);
        tokio::spawn(async move {
            if let Ok(found) = answer.await {
                let _ = reply.send(found.map(|mut findings: Vec<Finding>| {
                    findings.sort_by_key(|finding| finding.severity);
                    Report { findings }
                }));
            }
        });
    }
}

/// What its own callers are called in answers.
pub(super) fn this_process() -> String {
    format!("process {}", std::process::id())
}

/// The first one, who stands for all.
fn first(holders: Vec<Holder>) -> Option<Holder> {
    let others = holders.len().saturating_sub(1);
    let mut first = holders.into_iter().next()?;
    if others > 0 {
        first.who = format!("{} and {others} more", first.who);
    }
    Some(first)
}
