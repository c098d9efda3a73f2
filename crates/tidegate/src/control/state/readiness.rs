//! Which pools have had their first answer from discovery.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tidegate_model::{Configuration, Moment, PoolName};

/// How long readiness waits for the first answer of a pool.
pub(super) const FIRST_ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// Pools that discovery follows.
#[derive(Debug, Default)]
pub(super) struct FirstAnswers {
    pools: BTreeMap<PoolName, FirstAnswer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstAnswer {
    /// Asked since this moment.
    Waiting(Moment),
    /// Answered.
    Had,
}

impl FirstAnswers {
    /// Follows `discovered` and no others. What has had its answer keeps it.
    pub(super) fn follow(&mut self, discovered: &BTreeSet<&PoolName>, now: Moment) {
        self.pools.retain(|pool, _| discovered.contains(pool));
        for pool in discovered {
            self.pools.entry((*pool).clone()).or_insert(FirstAnswer::Waiting(now));
        }
    }

    /// Whether discovery follows the pool.
    pub(super) fn knows(&self, pool: &PoolName) -> bool {
        self.pools.contains_key(pool)
    }

    /// Notes an answer; whether it was the first.
    pub(super) fn answered(&mut self, pool: &PoolName) -> bool {
        self.pools.insert(pool.clone(), FirstAnswer::Had) != Some(FirstAnswer::Had)
    }

    /// Whether the first answer of some pool may still come in time.
    pub(super) fn waiting(&self, now: Moment) -> bool {
        self.pools.values().any(|answer| !is_settled(*answer, now))
    }

    /// When the next pool is given up.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.pools
            .values()
            .filter_map(|answer| match answer {
                FirstAnswer::Waiting(since) => Some(since.after(FIRST_ANSWER_DEADLINE)),
                FirstAnswer::Had => None,
            })
            .min()
    }

    /// One sentence per pool in use that still has time to answer.
    pub(super) fn missing(&self, configuration: &Configuration, now: Moment) -> Vec<String> {
        let used = configuration.pools_in_use();
        self.pools
            .iter()
            .filter(|(pool, answer)| !is_settled(**answer, now) && used.contains(pool))
            .map(|(pool, _)| format!("pool {pool} has had no answer from discovery yet"))
            .collect()
    }

    /// Pools in use that did not answer in time.
    pub(super) fn overdue(&self, configuration: &Configuration, now: Moment) -> Vec<PoolName> {
        let used = configuration.pools_in_use();
        let late = |answer: FirstAnswer| answer != FirstAnswer::Had && is_settled(answer, now);
        self.pools
            .iter()
            .filter(|(pool, answer)| late(**answer) && used.contains(pool))
            .map(|(pool, _)| pool.clone())
            .collect()
    }
}

fn is_settled(answer: FirstAnswer, now: Moment) -> bool {
    match answer {
        FirstAnswer::Waiting(since) => now >= since.after(FIRST_ANSWER_DEADLINE),
        FirstAnswer::Had => true,
    }
}
