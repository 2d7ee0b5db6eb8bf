//! Which session carries, which one writes, and which ones may wait: decided anew at each flush, from
//! what the sessions are doing. Nothing is appointed, so nothing depends on a role that was given up.
//!
//! The carrier takes the tries. The writer takes those that draw a fencing token: a write can wait
//! for the disk or for a standby, so it never goes to a session that keeps locks without one. All
//! other sessions that hold nothing may wait for a key.
//!
//! Pure: no clock, no channel, no SQL.

use super::action::SessionId;

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// It is not there yet.
    Connecting,
    /// It can be asked something now.
    Idle,
    /// It has been asked something, and the answer is not late.
    Busy,
    /// The same, and its answer may depend on a disk or a standby.
    Writing,
    /// It waits for a key, or is being told to stop that.
    Waiting,
    /// Its answer is late. It may still come; until then the session is of no use.
    Silent { writes: bool },
}

/// What a session has, or is asked for: what depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    Nothing,
    /// Locks with fencing tokens only.
    Fenced,
    /// A lock without a token that the session itself has waited for.
    Waited,
    /// Locks without a token that were tried: it is or was the carrier.
    Tried,
}

/// A session, as far as it matters for its role.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionView {
    pub(super) id: SessionId,
    pub(super) activity: Activity,
    pub(super) load: Load,
}

/// What has come together to be asked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Demand {
    /// There are tries without a token, questions or orders.
    pub(super) plain: bool,
    /// There are tries with a token.
    pub(super) fenced: bool,
    /// Keys for which no session waits yet.
    pub(super) waits: usize,
    /// Where no other session can be had, the carrier may write, if it finds that nothing stops that.
    pub(super) careful: bool,
}

impl Demand {
    /// Returns `true` if no session is needed for anything.
    pub(super) fn is_nothing(self) -> bool {
        !self.plain && !self.fenced && self.waits == 0
    }
}

/// Room for more sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// So many more may be opened.
    For(usize),
    /// None now, for the server could not be reached a moment ago.
    Later,
}

/// Who does what until the next flush.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) carrier: Option<SessionId>,
    pub(super) writer: Option<SessionId>,
    /// So many sessions are to be opened.
    pub(super) connect: usize,
    /// Nobody can carry and there is no room for one more: this one's wait is to be given up.
    pub(super) reclaim: Option<SessionId>,
    /// Keys or writes lack a session: those that wait take turns.
    pub(super) scarce: bool,
    /// There is no session for what is to be written, and none on its way.
    pub(super) unwritable: bool,
}

/// How well a session carries; the least is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Carries,
    Free,
    HasWaited,
    /// A write may stop it: only where there is no other.
    Writes,
}

impl Roles {
    /// The roles of these sessions.
    pub(super) fn of(
        views: impl Iterator<Item = SessionView> + Clone,
        demand: Demand,
        room: Room,
    ) -> Self {
        let coming = views.clone().filter(is_coming).count();
        let mut openings = Openings { coming, room, connect: 0 };
        let best = best_carrier(views.clone());
        let writing = |view: SessionView| view.activity == Activity::Writing;
        let writes = |view| writing(view) || view.activity == Activity::Silent { writes: true };
        let wanted =
            demand.plain || (demand.fenced && best.is_none() && !views.clone().any(writes));
        let lacks_carrier = best.is_none_or(|(rank, _)| rank == Rank::Writes);
        let has_opening = lacks_carrier && wanted && openings.take();
        let carrier = best.filter(|(rank, _)| *rank != Rank::Writes || !(wanted && has_opening));
        let carrier = carrier.map(|(_, id)| id);
        let mut roles = Roles { carrier, ..Roles::default() };
        if best.is_none() {
            roles.unwritable = demand.fenced && !has_opening && !views.clone().any(writing);
            if wanted && !has_opening && room == Room::For(0) {
                // Not one that has been granted its key while it was being told to stop.
                let is_empty = |view: &SessionView| view.load == Load::Nothing;
                let waiting =
                    views.filter(|view| view.activity == Activity::Waiting).filter(is_empty);
                roles.reclaim = waiting.map(|view| view.id).max();
            }
            roles.connect = openings.connect;
            return roles;
        }
        if demand.fenced {
            roles.writer = writer(views.clone(), carrier, demand.plain);
            // One that writes and does not answer is no reason to lose the next to the same standby.
            let stuck = |view: SessionView| view.activity == Activity::Silent { writes: true };
            if roles.writer.is_none() {
                let all_keep = views.clone().all(|view| keeps_plain(&view));
                let may = demand.careful && !demand.plain && room == Room::For(0);
                roles.writer = carrier.filter(|_| may && all_keep);
            }
            if roles.writer.is_none() {
                let stuck = views.clone().any(stuck);
                roles.unwritable = stuck || !openings.take();
                roles.scarce |= roles.unwritable && !stuck;
            }
        }
        let free = |view: &SessionView| may_wait(view) && Some(view.id) != carrier;
        let free = views.filter(|view| free(view) && Some(view.id) != roles.writer).count();
        for _ in free..demand.waits {
            if !openings.take() {
                roles.scarce = true;
                break;
            }
        }
        roles.connect = openings.connect;
        roles
    }
}

/// Sessions that are connecting and not spoken for, and room for more.
struct Openings {
    coming: usize,
    room: Room,
    connect: usize,
}

impl Openings {
    /// Whether there is one to come, or can be.
    fn take(&mut self) -> bool {
        if let Some(rest) = self.coming.checked_sub(1) {
            self.coming = rest;
            return true;
        }
        let has_room = matches!(self.room, Room::For(room) if self.connect < room);
        self.connect += usize::from(has_room);
        has_room
    }
}

/// The session that carries best.
pub(super) fn best_carrier(views: impl Iterator<Item = SessionView>) -> Option<(Rank, SessionId)> {
    views.filter_map(|view| Some((carrier_rank(&view)?, view.id))).min()
}

/// How well it carries, if it can.
fn carrier_rank(view: &SessionView) -> Option<Rank> {
    match (view.activity, view.load) {
        (Activity::Idle | Activity::Busy, Load::Tried) => Some(Rank::Carries),
        (Activity::Idle | Activity::Busy, Load::Nothing) => Some(Rank::Free),
        (Activity::Idle | Activity::Busy, Load::Waited) => Some(Rank::HasWaited),
        (Activity::Idle | Activity::Busy, Load::Fenced) => Some(Rank::Writes),
        _ => None,
    }
}

/// Whether it can be asked, and locks without a token depend on it.
fn keeps_plain(view: &SessionView) -> bool {
    matches!(view.activity, Activity::Idle | Activity::Busy)
        && matches!(view.load, Load::Waited | Load::Tried)
}

/// Whether it is on its way, and has nothing to do when it is there.
pub(super) fn is_coming(view: &SessionView) -> bool {
    view.activity == Activity::Connecting && view.load == Load::Nothing
}

/// Whether a key can be waited for on it.
pub(super) fn may_wait(view: &SessionView) -> bool {
    view.activity == Activity::Idle && view.load == Load::Nothing
}

/// The session that may be asked to write: nothing depends on it but locks with tokens.
fn writer(
    views: impl Iterator<Item = SessionView> + Clone,
    carrier: Option<SessionId>,
    plain: bool,
) -> Option<SessionId> {
    use self::Activity::{Busy, Idle, Writing};
    let writes = |view: &SessionView| match (view.activity, view.load) {
        (Writing, _) => true,
        (Idle | Busy, load) => load == Load::Fenced,
        _ => false,
    };
    let is_free = |view: &SessionView| may_wait(view) && (Some(view.id) != carrier || !plain);
    // The carrier itself last: if it writes, there must be another one for whatever comes.
    let free = views.clone().filter(is_free).map(|view| (Some(view.id) == carrier, view.id));
    let writes = views.filter(writes).map(|view| view.id).min();
    writes.or_else(|| free.min().map(|(_, id)| id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(id: SessionId, activity: Activity, load: Load) -> SessionView {
        SessionView { id, activity, load }
    }

    fn roles(views: &[SessionView], demand: Demand, room: usize) -> Roles {
        Roles::of(views.iter().copied(), demand, Room::For(room))
    }

    const PLAIN: Demand = Demand { plain: true, fenced: false, waits: 0, careful: false };
    const FENCED: Demand = Demand { fenced: true, plain: false, ..PLAIN };
    const SILENT: Activity = Activity::Silent { writes: false };

    #[test]
    fn a_stuck_session_is_of_use_again_when_it_answers() {
        let others = [view(2, SILENT, Load::Tried), view(3, SILENT, Load::Waited)];
        let stuck = [&[view(1, SILENT, Load::Tried)][..], &others].concat();
        assert_eq!(roles(&stuck, PLAIN, 0), Roles::default());
        let back = [&[view(1, Activity::Idle, Load::Tried)][..], &others].concat();
        assert_eq!(roles(&back, PLAIN, 0).carrier, Some(1));
        // One that has waited itself, if there is no other.
        let back = [view(1, SILENT, Load::Tried), view(3, Activity::Idle, Load::Waited)];
        assert_eq!(roles(&back, PLAIN, 0).carrier, Some(3));
    }

    #[test]
    fn a_session_is_opened_while_all_are_stuck_and_there_is_room() {
        let stuck = [view(1, SILENT, Load::Tried)];
        assert_eq!(roles(&stuck, PLAIN, 7).connect, 1);
        assert_eq!(roles(&stuck, Demand::default(), 7).connect, 0);
        let coming = [stuck[0], view(2, Activity::Connecting, Load::Nothing)];
        assert_eq!(roles(&coming, PLAIN, 6), Roles::default());
        assert_eq!(Roles::of(stuck.into_iter(), PLAIN, Room::Later).connect, 0);
    }

    #[test]
    fn a_wait_is_given_up_when_nobody_can_carry() {
        let (stuck, waits) =
            (view(1, SILENT, Load::Tried), view(2, Activity::Waiting, Load::Nothing));
        let later = view(3, Activity::Waiting, Load::Nothing);
        assert_eq!(roles(&[stuck, waits, later], PLAIN, 0).reclaim, Some(3));
        assert_eq!(roles(&[stuck, waits, later], PLAIN, 1).reclaim, None);
        assert_eq!(roles(&[stuck, waits, later], Demand::default(), 0).reclaim, None);
        // What it holds would be lost.
        let granted = view(3, Activity::Waiting, Load::Waited);
        assert_eq!(roles(&[stuck, waits, granted], PLAIN, 0).reclaim, Some(2));
        assert_eq!(roles(&[stuck, granted], PLAIN, 0).reclaim, None);
    }

    #[test]
    fn the_carrier_stays_the_same_while_it_can_be_asked() {
        let carrier = view(2, Activity::Busy, Load::Tried);
        let free = view(1, Activity::Idle, Load::Nothing);
        assert_eq!(roles(&[free, carrier], PLAIN, 8).carrier, Some(2));
    }

    #[test]
    fn a_write_never_takes_a_session_that_keeps_locks_without_a_token() {
        let plain = view(1, Activity::Idle, Load::Tried);
        let only = roles(&[plain], FENCED, 0);
        assert_eq!((only.carrier, only.writer), (Some(1), None));
        assert!(only.scarce && only.unwritable);
        // Where there is no other, it makes sure first that the write waits for nobody.
        assert_eq!(roles(&[plain], Demand { careful: true, ..FENCED }, 0).writer, Some(1));
        let room = roles(&[plain], FENCED, 1);
        assert_eq!((room.writer, room.connect), (None, 1));
        let free = roles(&[plain, view(2, Activity::Idle, Load::Nothing)], FENCED, 0);
        assert_eq!(free.writer, Some(2));
        // Nor the session that is wanted for others at this moment.
        let both = Demand { plain: true, ..FENCED };
        let empty = view(1, Activity::Idle, Load::Nothing);
        assert_eq!(roles(&[empty], both, 0).writer, None);
        assert_eq!(roles(&[empty], FENCED, 0).writer, Some(1));
        assert_eq!(roles(&[empty], FENCED, 7).writer, Some(1));
    }

    #[test]
    fn writes_that_are_not_answered_take_one_session_only() {
        let plain = view(1, Activity::Idle, Load::Tried);
        let stuck = view(2, Activity::Silent { writes: true }, Load::Fenced);
        assert_eq!(roles(&[plain, stuck], FENCED, 6).connect, 0);
        let alone = roles(&[stuck], FENCED, 7);
        assert_eq!((alone.connect, alone.unwritable), (0, true));
        assert_eq!(roles(&[stuck], PLAIN, 7).connect, 1);
        let writes = view(2, Activity::Writing, Load::Fenced);
        assert_eq!(roles(&[plain, writes], FENCED, 6).writer, Some(2));
        assert_eq!(roles(&[writes], FENCED, 7).connect, 0);
    }

    #[test]
    fn locks_with_tokens_share_their_session_only_where_there_is_no_other() {
        let fenced = view(1, Activity::Idle, Load::Fenced);
        let room = roles(&[fenced], PLAIN, 1);
        assert_eq!((room.carrier, room.connect), (None, 1));
        assert_eq!(roles(&[fenced], PLAIN, 0).carrier, Some(1));
        // For orders and the like it is there as it is.
        assert_eq!(roles(&[fenced], Demand::default(), 7).carrier, Some(1));
    }

    #[test]
    fn each_key_that_is_waited_for_has_a_session_until_there_is_none() {
        let carrier = view(1, Activity::Idle, Load::Tried);
        let free = view(2, Activity::Idle, Load::Nothing);
        let waits = |waits| Demand { waits, ..Demand::default() };
        assert_eq!(roles(&[carrier, free], waits(1), 6).connect, 0);
        let three = roles(&[carrier, free], waits(3), 6);
        assert_eq!((three.connect, three.scarce), (2, false));
        let three = roles(&[carrier, free], waits(3), 1);
        assert_eq!((three.connect, three.scarce), (1, true));
        // The only session carries.
        let one = roles(&[view(1, Activity::Idle, Load::Nothing)], waits(1), 0);
        assert_eq!((one.carrier, one.scarce), (Some(1), true));
    }
}
