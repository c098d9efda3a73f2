//! Who may be chosen now, worked out once per change of health instead of once per request.
//!
//! In: the members of a build, the health of their nodes, the time. Out: a [`Roster`], published behind one
//! pointer. It is stale as soon as `Shared::version` has moved on or an introduction has ended; whoever notices
//! makes the next.

use tidegate_model::{Moment, pool::NodeState};

use crate::{
    algorithm::{Schedule, introduction},
    health::{Event, Health},
    pool::{Member, Pool},
};

/// Who may be chosen now.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// `Shared::version` before the health was read.
    pub(crate) version: u64,
    /// Slots in rotation of the priority groups in use, in slot order.
    pub(crate) ready: Box<[u32]>,
    /// Turns among `ready`.
    pub(crate) schedule: Schedule,
    /// Slots in rotation of priority groups not in use, preferred ones first. For requests that have tried all of
    /// `ready`.
    pub(crate) spare: Box<[u32]>,
    /// Slots that requests have failed and requests may try, of the groups in use.
    pub(crate) resting: Box<[u32]>,
    /// When the first of `resting` may be tried.
    pub(crate) next_try: Moment,
    /// When the first introduction ends and a new roster is due.
    pub(crate) expires: Moment,
    /// Introducing nodes get less than their share. Not so while they are the majority: the few others would have
    /// to carry the load of all.
    pub(crate) careful: bool,
    /// Whether any node takes new sessions when healthy.
    pub(crate) any_active: bool,
}

const NEVER: Moment = Moment(u64::MAX);

/// Whether this build lets the member take new sessions.
pub(crate) fn takes_new_sessions(member: &Member) -> bool {
    member.state == NodeState::Active && member.leaving.is_none()
}

impl Roster {
    /// Ends introductions that have lasted long enough, and reads the health of every member.
    pub(crate) fn new(pool: &Pool, now: Moment) -> Self {
        // This changes health, so it comes before the version is read.
        for member in &pool.members {
            let health = member.node.health();
            if health.introducing && introduction::is_over(&member.node, now) {
                member.node.apply(Event::Introduced, now);
            }
        }
        Self::read(pool, now)
    }

    /// Reads the health of every member. O(n) for n members (with weights: see [`Schedule::new`]).
    pub(crate) fn read(pool: &Pool, now: Moment) -> Self {
        let mut roster =
            Self { version: pool.shared.version(), next_try: NEVER, expires: NEVER, ..Self::default() };
        let mut rotation = Vec::with_capacity(pool.members.len());
        let mut resting = Vec::new();
        let mut introducing = Vec::new();
        let mut removed = Vec::new();
        for (slot, member) in (0_u32..).zip(&pool.members) {
            if !takes_new_sessions(member) {
                continue;
            }
            roster.any_active = true;
            let health = member.node.health();
            if health.in_rotation() {
                rotation.push(slot);
                if health.introducing && !introduction::is_over(&member.node, now) {
                    introducing.push(slot);
                    roster.expires = roster.expires.min(introduction::end(&member.node));
                }
            } else if let Some(moment) = health.next_try() {
                resting.push((slot, moment));
            } else if health.gone && (Health { gone: false, ..health }).in_rotation() {
                removed.push(slot);
            }
        }
        // Only an older build has removed members. Requests that still go by it avoid them, unless all of its nodes
        // were replaced: then a removed node is better than none.
        if rotation.is_empty() {
            rotation = removed;
        }
        let priority = |slot: u32| pool.members[slot as usize].priority;
        let lowest = lowest_in_use(&rotation, pool.settings.priority_nodes, priority);
        let (ready, mut spare): (Vec<u32>, Vec<u32>) =
            rotation.into_iter().partition(|slot| priority(*slot) >= lowest);
        spare.sort_by_key(|slot| std::cmp::Reverse(priority(*slot)));
        resting.retain(|(slot, _)| priority(*slot) >= lowest);
        roster.next_try = resting.iter().map(|(_, moment)| *moment).min().unwrap_or(NEVER);
        roster.resting = resting.into_iter().map(|(slot, _)| slot).collect();
        let introducing = introducing.iter().filter(|slot| priority(**slot) >= lowest).count();
        roster.careful = introducing > 0 && introducing * 2 <= ready.len();
        roster.schedule = Schedule::new(pool.settings.algorithm, &ready, &pool.members);
        roster.ready = ready.into();
        roster.spare = spare.into();
        roster
    }
}

/// The lowest priority in use: from the highest down, groups are added until they have `wanted` nodes.
fn lowest_in_use(rotation: &[u32], wanted: Option<u32>, priority: impl Fn(u32) -> u32) -> u32 {
    let Some(wanted) = wanted else { return 0 };
    let wanted = wanted.max(1) as usize;
    if rotation.len() <= wanted {
        return 0;
    }
    let mut priorities: Vec<u32> = rotation.iter().map(|slot| priority(*slot)).collect();
    let (_, lowest, _) = priorities.select_nth_unstable_by(wanted - 1, |a, b| b.cmp(a));
    *lowest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_added_until_enough_nodes() {
        let table: [(&[u32], Option<u32>, u32); 8] = [
            (&[1, 2, 3], None, 0),
            (&[1, 2, 3], Some(1), 3),
            (&[1, 2, 3], Some(2), 2),
            (&[1, 2, 3], Some(3), 0),
            (&[1, 2, 3], Some(9), 0),
            (&[2, 2, 1, 1], Some(1), 2),
            (&[2, 2, 1, 1], Some(3), 1),
            (&[], Some(1), 0),
        ];
        for (priorities, wanted, expected) in table {
            let rotation: Vec<u32> = (0..priorities.len() as u32).collect();
            let lowest = lowest_in_use(&rotation, wanted, |slot| priorities[slot as usize]);
            assert_eq!(lowest, expected, "{priorities:?} {wanted:?}");
        }
    }
}
