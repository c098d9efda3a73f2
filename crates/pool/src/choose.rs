//! The decision itself: session, priorities, health, limits and exclusions, then the algorithm.

use std::sync::{Arc, atomic::Ordering};

use arc_swap::Guard;
use tidegate_model::{Moment, persistence::FailureMode, pool::NodeState};

use crate::{
    algorithm::{self, Candidates, rendezvous},
    health::Health,
    node::Node,
    persistence::Prepared,
    pool::Pool,
    roster::Roster,
    session::{Found, Session},
};

/// Position of a node in one build of a pool. Stays the same over rebuilds only while the node list does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub(crate) u32);

/// Nodes a request has been sent to already, at most [`Tried::MOST`], and nodes it is to avoid, at most
/// [`Tried::MOST_AVOIDED`]. Belongs to one request and one build of the pool.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    slots: [u32; Self::MOST],
    count: u8,
    avoided_count: u8,
    avoided: [u32; Self::MOST_AVOIDED],
}

/// The node for a request.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'pool> {
    /// The node.
    pub node: &'pool Arc<Node>,
    /// Its place in this pool.
    pub slot: Slot,
    /// Chosen because the session lives there.
    pub sticky: bool,
    /// The node had failed; this request finds out whether it works again, or goes along with one that does.
    pub trial: bool,
}

/// Why there is no node for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoNode {
    /// The pool has no node that may take new sessions: it is empty, or all are draining or disabled.
    NoNodes,
    /// Every node has failed: the failure pool's turn, or the error page.
    AllFailed,
    /// Every usable node has been tried by this request.
    AllTried,
    /// Limits are reached: the request may queue.
    AllBusy {
        /// It waits for the node of its session; otherwise for any.
        session_node: bool,
    },
    /// The session's node cannot take it and the class does not allow another (`Url` or `Close`).
    SessionFailed(FailureMode),
}

impl Tried {
    /// Most nodes a request is tried on.
    pub const MOST: usize = 64;

    /// Most nodes a request avoids.
    pub const MOST_AVOIDED: usize = 16;

    /// None yet.
    pub const fn none() -> Self {
        Self { slots: [0; Self::MOST], count: 0, avoided_count: 0, avoided: [0; Self::MOST_AVOIDED] }
    }

    /// Adds a node. False when the bound is reached: give up.
    pub fn add(&mut self, slot: Slot) -> bool {
        let Some(place) = self.slots.get_mut(usize::from(self.count)) else { return false };
        *place = slot.0;
        self.count += 1;
        true
    }

    /// Avoids a node (`request.avoidNode`): a request that is not of a session of the node gets it only if there is
    /// no other. False when the bound is reached.
    pub fn avoid(&mut self, slot: Slot) -> bool {
        if self.avoids(slot) {
            return true;
        }
        let Some(place) = self.avoided.get_mut(usize::from(self.avoided_count)) else { return false };
        *place = slot.0;
        self.avoided_count += 1;
        true
    }

    /// The same nodes in a later build of the pool; those that left are forgotten.
    #[must_use]
    pub fn in_build(&self, before: &Pool, now: &Pool) -> Self {
        let mut tried = Self::none();
        let later = |slot: &u32| {
            let node = &before.member(Slot(*slot))?.node;
            let place = now.members().iter().position(|member| Arc::ptr_eq(&member.node, node))?;
            u32::try_from(place).ok().map(Slot)
        };
        for slot in self.slots.iter().take(self.count()).filter_map(later) {
            tried.add(slot);
        }
        for slot in self.avoided().iter().filter_map(later) {
            tried.avoid(slot);
        }
        tried
    }

    fn avoided(&self) -> &[u32] {
        &self.avoided[..usize::from(self.avoided_count)]
    }

    /// Whether the node is to be avoided.
    pub fn avoids(&self, slot: Slot) -> bool {
        self.avoided().contains(&slot.0)
    }

    /// Whether the node is left out when a node is looked for.
    pub(crate) fn leaves_out(&self, slot: Slot) -> bool {
        self.contains(slot) || self.avoids(slot)
    }

    /// How many.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether the node has been tried.
    pub fn contains(&self, slot: Slot) -> bool {
        self.slots[..usize::from(self.count)].contains(&slot.0)
    }
}

/// Whether a session's own node takes a request.
enum Stick<'pool> {
    Goes {
        node: &'pool Arc<Node>,
        trial: bool,
    },
    /// It is at a limit.
    Waits,
    Cannot,
}

impl Default for Tried {
    fn default() -> Self {
        Self::none()
    }
}

impl Pool {
    /// The node for a request of `session` that has been `tried` on some. `random` is one fresh random number.
    ///
    /// Order: the session's node, else priority group, health, limits and exclusions, then the algorithm. If that
    /// leaves only nodes to be avoided, one of them.
    pub fn choose(
        &self,
        session: &Session,
        tried: &Tried,
        now: Moment,
        random: u64,
    ) -> Result<Choice<'_>, NoNode> {
        self.decide::<true>(session, tried, now, random)
    }

    /// What [`Pool::choose`] would come to with the next turn. Changes nothing: no turn is used up, no session moves,
    /// no failed node is tried.
    pub fn would_choose(
        &self,
        session: &Session,
        tried: &Tried,
        now: Moment,
        random: u64,
    ) -> Result<Choice<'_>, NoNode> {
        self.decide::<false>(session, tried, now, random)
    }

    /// With `REAL` off it is only looked at, here and below.
    fn decide<const REAL: bool>(
        &self,
        session: &Session,
        tried: &Tried,
        now: Moment,
        random: u64,
    ) -> Result<Choice<'_>, NoNode> {
        let moves = match session.found {
            Found::Off | Found::New => false,
            Found::Node(slot) => match self.stick::<REAL>(slot, tried, now) {
                Stick::Goes { node, trial } => return Ok(Choice { node, slot, sticky: true, trial }),
                Stick::Waits => return Err(NoNode::AllBusy { session_node: true }),
                Stick::Cannot => true,
            },
            Found::Lost => true,
        };
        if moves {
            self.session_failed::<REAL>(session)?;
        }
        let choice = self.balance::<REAL>(session, tried, now, random)?;
        if moves && REAL {
            self.shared.sessions_moved.fetch_add(1, Ordering::Relaxed);
        }
        if REAL && let Some(prepared) = self.prepared(session) {
            prepared.remember(session.found, session.key, choice.node.id(), now);
        }
        Ok(choice)
    }

    /// The choice that a rule has made itself (`pool.use` with an address that is in the pool). It has the rights of
    /// a session's node: draining does not matter.
    pub fn choose_node(&self, slot: Slot, tried: &Tried, now: Moment) -> Result<Choice<'_>, NoNode> {
        self.take_node::<true>(slot, tried, now)
    }

    /// What [`Pool::choose_node`] would come to. Changes nothing.
    pub fn would_choose_node(&self, slot: Slot, tried: &Tried, now: Moment) -> Result<Choice<'_>, NoNode> {
        self.take_node::<false>(slot, tried, now)
    }

    fn take_node<const REAL: bool>(
        &self,
        slot: Slot,
        tried: &Tried,
        now: Moment,
    ) -> Result<Choice<'_>, NoNode> {
        match self.stick::<REAL>(slot, tried, now) {
            Stick::Goes { node, trial } => Ok(Choice { node, slot, sticky: true, trial }),
            Stick::Waits => Err(NoNode::AllBusy { session_node: true }),
            Stick::Cannot if tried.contains(slot) => Err(NoNode::AllTried),
            Stick::Cannot => Err(NoNode::AllFailed),
        }
    }

    /// Whether the session's own node takes the request.
    fn stick<const REAL: bool>(&self, slot: Slot, tried: &Tried, now: Moment) -> Stick<'_> {
        let Some(member) = self.member(slot) else { return Stick::Cannot };
        let node = &member.node;
        if member.state == NodeState::Disabled || tried.contains(slot) {
            return Stick::Cannot;
        }
        let health = node.health();
        if !health.usable(now) {
            return Stick::Cannot;
        }
        if !self.has_room(node) {
            return Stick::Waits;
        }
        let trial = !health.in_rotation();
        if trial && !self.try_failed::<REAL>(node, now) {
            return Stick::Cannot;
        }
        if REAL && member.leaving.is_some() {
            node.note_session(now);
        }
        Stick::Goes { node, trial }
    }

    /// What the class does when the session's node cannot take the request.
    fn session_failed<const REAL: bool>(&self, session: &Session) -> Result<(), NoNode> {
        let Some(class) = self.class_of(session) else { return Ok(()) };
        if class.failure_mode == FailureMode::NewNode {
            return Ok(());
        }
        if REAL
            && let Some(prepared) = self.prepared(session)
            && (class.delete || session.found == Found::Lost)
        {
            prepared.forget(session.key);
        }
        Err(NoNode::SessionFailed(class.failure_mode.clone()))
    }

    /// A node for a new session, one to be avoided if there is no other.
    fn balance<const REAL: bool>(
        &self,
        session: &Session,
        tried: &Tried,
        now: Moment,
        random: u64,
    ) -> Result<Choice<'_>, NoNode> {
        let found = self.balance_among::<REAL>(session, tried, now, random);
        if found.is_ok() || tried.avoided_count == 0 {
            return found;
        }
        self.balance_among::<REAL>(session, &Tried { avoided_count: 0, ..*tried }, now, random)
    }

    fn balance_among<const REAL: bool>(
        &self,
        session: &Session,
        tried: &Tried,
        now: Moment,
        random: u64,
    ) -> Result<Choice<'_>, NoNode> {
        let roster = if REAL { self.current_roster(now) } else { self.read_roster(now) };
        if !roster.any_active {
            return Err(NoNode::NoNodes);
        }
        let choice = |slot: u32, trial| Choice {
            node: &self.members[slot as usize].node,
            slot: Slot(slot),
            sticky: false,
            trial,
        };
        if roster.next_try <= now
            && let Some(slot) = self.trial::<REAL>(&roster, tried, now)
        {
            return Ok(choice(slot, true));
        }
        if roster.ready.is_empty() {
            return self
                .trial_to_join(&roster, tried)
                .map(|slot| choice(slot, true))
                .ok_or(NoNode::AllFailed);
        }
        let candidates =
            Candidates { pool: self, roster: &roster, tried, now, random, careful: roster.careful };
        let tokens = self.prepared(session).filter(|_| session.key != 0).and_then(Prepared::tokens);
        let found = if let Some(tokens) = tokens {
            rendezvous::pick(&Candidates { careful: false, ..candidates }, session.key, tokens)
        } else {
            let turns = &self.shared.turns;
            algorithm::pick(candidates, || {
                if REAL { turns.fetch_add(1, Ordering::Relaxed) } else { turns.load(Ordering::Relaxed) }
            })
        };
        match found {
            Some(slot) => Ok(choice(slot, false)),
            None => self.last_resort(&roster, tried).map(|slot| choice(slot, false)),
        }
    }

    /// A failed node whose rest is over: this request tries it.
    fn trial<const REAL: bool>(&self, roster: &Roster, tried: &Tried, now: Moment) -> Option<u32> {
        roster.resting.iter().copied().find(|slot| {
            let node = &self.members[*slot as usize].node;
            !tried.leaves_out(Slot(*slot)) && self.has_room(node) && self.try_failed::<REAL>(node, now)
        })
    }

    /// A failed node that a request is trying already. Where there is nothing else, others go along instead of being refused
    /// for as long as that one takes.
    fn trial_to_join(&self, roster: &Roster, tried: &Tried) -> Option<u32> {
        if self.settings.failure_pool.is_some() {
            return None;
        }
        roster.resting.iter().copied().find(|slot| {
            let node = &self.members[*slot as usize].node;
            Health::is_trial(node.health_word()) && !tried.leaves_out(Slot(*slot)) && self.has_room(node)
        })
    }

    fn try_failed<const REAL: bool>(&self, node: &Node, now: Moment) -> bool {
        if !REAL {
            return node.health().usable(now);
        }
        let won = node.try_failed(now);
        if won {
            self.shared.trials.fetch_add(1, Ordering::Relaxed);
        }
        won
    }

    /// No node that is ready is available. If the request has tried them all it goes on with the priority groups
    /// that are not in use; otherwise it waits.
    fn last_resort(&self, roster: &Roster, tried: &Tried) -> Result<u32, NoNode> {
        let untried = |slot: &&u32| !tried.leaves_out(Slot(**slot));
        if roster.ready.iter().any(|slot| untried(&slot)) {
            return Err(NoNode::AllBusy { session_node: false });
        }
        let mut busy = false;
        for slot in roster.spare.iter().filter(untried) {
            if self.has_room(&self.members[*slot as usize].node) {
                return Ok(*slot);
            }
            busy = true;
        }
        Err(if busy { NoNode::AllBusy { session_node: false } } else { NoNode::AllTried })
    }

    /// What [`Pool::current_roster`] would be; one that is stale stays where it is.
    pub(crate) fn read_roster(&self, now: Moment) -> Guard<Arc<Roster>> {
        Guard::from_inner(Arc::new(Roster::read(self, now)))
    }

    /// The roster, made anew if health has changed since.
    pub(crate) fn current_roster(&self, now: Moment) -> Guard<Arc<Roster>> {
        let roster = self.roster.load();
        if roster.version == self.shared.version() && now < roster.expires {
            return roster;
        }
        drop(roster);
        // Several workers may do this at once. None waits for another; one that publishes a stale roster over a
        // newer one only causes the next request to make it again.
        let roster = Arc::new(Roster::new(self, now));
        self.roster.store(roster.clone());
        Guard::from_inner(roster)
    }
}
