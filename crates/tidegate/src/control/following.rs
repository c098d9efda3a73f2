//! The seam to discovery: pools in, node sets out.

use std::{collections::BTreeMap, path::Path};

use tidegate_model::{Configuration, NodeSet, PoolName};

use crate::settings::Settings;

/// Tells discovery which pools to follow.
#[derive(Debug)]
pub(crate) struct Following;

/// What discovery finds.
#[derive(Debug)]
pub(crate) struct Followed;

/// Starts discovery.
pub(crate) async fn start(_settings: &Settings, _home: &Path) -> Result<(Following, Followed), String> {
    Ok((Following, Followed))
}

impl Following {
    /// Follows the pools of `configuration` and no others.
    pub(crate) fn follow(&self, _configuration: &Configuration) {}
}

impl Followed {
    /// Waits for news and takes all that wait, at most `limit`.
    pub(crate) async fn next(&mut self, _limit: usize) -> BTreeMap<PoolName, NodeSet> {
        std::future::pending().await
    }
}
