//! Turns: which position of the roster has the n-th turn.
//!
//! A turn is a number from a counter that all workers share. The functions here map it to a position without any
//! other state, so concurrent workers never wait for each other and each turn is used once.

use tidegate_model::pool::Algorithm;

use crate::{hash::below, pool::Member};

/// Most steps a smooth sequence may cost to work out.
const SMOOTH_STEPS: u64 = 1 << 16;

/// How turns are given out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// One after another.
    #[default]
    Even,
    /// A cycle worked out in advance: each position as often as its weight says, spread as evenly as can be.
    Smooth(Box<[u32]>),
    /// For pools whose cycle would be too long: the turns of a cycle in an order that jumps about. Also exact
    /// within a cycle.
    Jumping {
        /// Sums of the weights up to and with each position.
        sums: Box<[u64]>,
        /// Step between turns; has no divisor in common with the length of the cycle.
        step: u64,
    },
}

impl Schedule {
    /// Turns by weight for the algorithms that use weights, else one after another.
    pub(crate) fn new(algorithm: Algorithm, ready: &[u32], members: &[Member]) -> Self {
        match algorithm {
            Algorithm::WeightedRoundRobin | Algorithm::WeightedLeastConnections => {
                Self::weighted(ready.iter().map(|slot| u64::from(members[*slot as usize].weight)).collect())
            }
            _ => Self::Even,
        }
    }

    fn weighted(mut weights: Vec<u64>) -> Self {
        let divisor = weights.iter().fold(0, |sum, weight| greatest_divisor(sum, *weight));
        if divisor == 0 || weights.iter().all(|weight| *weight == weights[0]) {
            return Self::Even;
        }
        for weight in &mut weights {
            *weight /= divisor;
        }
        let cycle: u64 = weights.iter().sum();
        if cycle * weights.len() as u64 <= SMOOTH_STEPS {
            return Self::Smooth(smooth(&weights, cycle));
        }
        let sums = weights.iter().scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self::Jumping { sums: sums.collect(), step: golden_step(cycle) }
    }

    /// The position (below `len`, which is not 0) that has this turn.
    pub(crate) fn position(&self, turn: u64, len: usize) -> usize {
        match self {
            Self::Even => (turn % len as u64) as usize,
            Self::Smooth(cycle) => cycle[(turn % cycle.len() as u64) as usize] as usize,
            Self::Jumping { sums, step } => {
                let cycle = sums.last().copied().unwrap_or(1);
                let point = (u128::from(turn % cycle) * u128::from(*step) % u128::from(cycle)) as u64;
                sums.partition_point(|sum| *sum <= point).min(len - 1)
            }
        }
    }
}

/// The smooth weighted sequence: in each turn every position gains its weight, and the one that has most pays the cycle.
fn smooth(weights: &[u64], cycle: u64) -> Box<[u32]> {
    let mut credit: Vec<i64> = vec![0; weights.len()];
    (0..cycle)
        .map(|_| {
            let mut best = 0;
            for (position, weight) in weights.iter().enumerate() {
                credit[position] += *weight as i64;
                if credit[position] > credit[best] {
                    best = position;
                }
            }
            credit[best] -= cycle as i64;
            best as u32
        })
        .collect()
}

/// A step near `cycle` divided by the golden ratio, which spreads successive turns best.
fn golden_step(cycle: u64) -> u64 {
    const INVERSE_GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15; // of 2^64
    let start = below(INVERSE_GOLDEN_RATIO, usize::try_from(cycle).unwrap_or(usize::MAX)) as u64;
    (start.max(1)..).find(|step| greatest_divisor(*step, cycle) == 1).unwrap_or(1)
}

fn greatest_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(weights: &[u64], count: u64) -> Vec<usize> {
        let schedule = Schedule::weighted(weights.to_vec());
        (0..count).map(|turn| schedule.position(turn, weights.len())).collect()
    }

    #[test]
    fn smooth_sequences() {
        assert_eq!(turns(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns(&[50, 10, 10], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns(&[1, 2], 6), [1, 0, 1, 1, 0, 1]);
        assert_eq!(turns(&[3, 3, 3], 6), [0, 1, 2, 0, 1, 2]);
        assert_eq!(turns(&[7], 3), [0, 0, 0]);
        assert_eq!(turns(&[], 0), [0_usize; 0]);
    }

    #[test]
    fn long_cycles_are_exact_and_spread() {
        let weights: Vec<u64> = (0..1000).map(|node| node % 100 + 1).collect();
        let cycle: u64 = weights.iter().sum();
        assert!(matches!(Schedule::weighted(weights.clone()), Schedule::Jumping { .. }));
        let turns = turns(&weights, cycle);
        let mut counts = vec![0; weights.len()];
        for position in &turns {
            counts[*position] += 1;
        }
        assert_eq!(counts, weights);
        // The heaviest node has 1/500 of the turns: never two in a row.
        assert!(turns.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
