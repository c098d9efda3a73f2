//! How programs are run: any executable of the `servicediscovery` catalogue, in the surroundings that public
//! vTM plugins expect, with bounds on time and output, and its JSON judged as one transaction.
//!
//! ```text
//! catalogue ─► home (files) ─► run (process group, limits) ─► output (pure) ─► judge (pure) ─► Outcome
//! ```

pub(crate) mod home;
pub mod judge;
pub(crate) mod leftovers;
pub mod output;
pub(crate) mod queue;
pub(crate) mod run;
