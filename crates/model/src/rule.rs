//! Rules, and what only rules use: rate classes and their settings.

use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use tidegate_trafficscript::{Note, Options, Program};

use crate::{BandwidthName, PoolName, RateName, RuleName};

/// An entry of `rules`, compiled.
///
/// Equal to another one when it was compiled from the same: own source, those of the rules it imports, and options.
#[derive(Clone)]
pub struct Rule {
    /// Its name.
    pub name: RuleName,
    /// `content`, byte for byte.
    pub source: Arc<[u8]>,
    /// What it was compiled with.
    pub options: Options,
    /// The rules that were looked up for its imports, directly or not, with their sources; `None` = there was none.
    pub imports: Vec<(RuleName, Option<Arc<[u8]>>)>,
    /// What runs; `None` when it has an error.
    pub program: Option<Arc<Program>>,
    /// What there is to tell about it, in the order of lines.
    pub notes: Arc<[Note]>,
}

impl Rule {
    /// The pools that it names, as far as they are written out. A faulty rule names none.
    pub fn pools(&self) -> impl Iterator<Item = PoolName> {
        self.program.iter().flat_map(|program| program.uses().pools.iter().map(|pool| pool.as_str().into()))
    }

    /// The bandwidth classes that it names, as far as they are written out. A faulty rule names none.
    pub fn bandwidth(&self) -> impl Iterator<Item = BandwidthName> {
        let classes = self.program.iter().flat_map(|program| &program.uses().bandwidth);
        classes.map(|class| class.as_str().into())
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.options) == (&other.name, &other.options)
            && self.source == other.source
            && self.imports == other.imports
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("name", &self.name)
            .field("bytes", &self.source.len())
            .field("compiled", &self.program.is_some())
            .field("pools", &self.pools().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// An entry of a virtual server's list of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleEntry {
    /// A rule of this configuration, whether or not it compiled.
    pub rule: RuleName,
    /// False for an entry that is written with a leading `/`, and for a rule that cannot run in this list: it has an
    /// error, or calls what is not valid there.
    pub enabled: bool,
}

/// An entry of `rate`. Without a limit it lets everything through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateClass {
    /// Its name.
    pub name: RateName,
    /// `basic.max_rate_per_minute`; `None` (0) = no limit.
    pub per_minute: Option<NonZeroU32>,
    /// `basic.max_rate_per_second`; `None` (0) = no limit.
    pub per_second: Option<NonZeroU32>,
}

/// `global_settings.trafficscript`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSettings {
    /// `max_instr`: instructions between two suspensions (default 100000).
    pub instructions: NonZeroU32,
    /// `execution_time_warning`: a run that takes longer is told; `None` (0) = never (default 500 ms).
    pub execution_time_warning: Option<Duration>,
    /// `regex_cache_size`: patterns kept that are not constant, per worker (default 57).
    pub pattern_cache: usize,
    /// `regex_match_limit`: steps of a match after which the rule is aborted. Where no document sets it, the 5 million of
    /// [`Limits`](tidegate_trafficscript::Limits): the format's 10 million are counted per position in the text, ours over all of it.
    pub match_steps: NonZeroU32,
    /// `regex_match_warn_percentage`: hundredths of `match_steps` from which a match is told (default 5).
    pub match_warning: u8,
    /// `memory_warning`: a rule that makes a connection hold more bytes is told; `None` (0) = never (default 1 MiB).
    pub memory_warning: Option<usize>,
    /// `data_size`: what `data.*` may hold (default 5 %).
    pub data_size: MemoryAmount,
    /// `data_local_size`: what `data.local.*` may hold in each worker (default 5 %).
    pub data_local_size: MemoryAmount,
    /// `variable_pool_use`: rules may compute the name of a pool, so that every pool is in use.
    pub variable_pool_use: bool,
}

impl Default for RuleSettings {
    fn default() -> Self {
        Self {
            instructions: const { NonZeroU32::new(100_000).unwrap() },
            execution_time_warning: Some(Duration::from_millis(500)),
            pattern_cache: 57,
            match_steps: const { NonZeroU32::new(5_000_000).unwrap() },
            match_warning: 5,
            memory_warning: Some(1 << 20),
            data_size: MemoryAmount::Percent(5),
            data_local_size: MemoryAmount::Percent(5),
            variable_pool_use: false,
        }
    }
}

impl RuleSettings {
    /// What rules are compiled with.
    pub fn options(&self) -> Options {
        let mut options = Options::default();
        options.limits.instructions = self.instructions.get();
        options.limits.match_steps = self.match_steps.get();
        options.limits.match_warning = self.match_warning;
        options.limits.line = self.memory_warning.unwrap_or(usize::MAX);
        options.variable_pool_use = self.variable_pool_use;
        options
    }
}

/// An amount of memory, fixed or relative to what the process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryAmount {
    /// So many bytes.
    Bytes(u64),
    /// Hundredths of the memory there is, 0 to 100.
    Percent(u8),
}

impl MemoryAmount {
    /// The amount in bytes where there are `memory` bytes.
    pub fn of(self, memory: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => memory / 100 * u64::from(percent),
        }
    }
}
