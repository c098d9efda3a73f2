//! Classes of service: how fast nodes are to answer, and for which share of the requests.

use std::time::Duration;

use crate::LevelName;

/// An entry of `service_level_monitors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceLevel {
    /// Its name.
    pub name: LevelName,
    /// `basic.response_time`: a request conforms when its response begins in this time.
    pub response_time: Duration,
    /// `basic.warning_threshold`: hundredths of conforming requests below which there is a warning; 0 = never.
    pub warning_threshold: u8,
    /// `basic.serious_threshold`: hundredths of conforming requests below which the class is not met; 0 = never.
    pub serious_threshold: u8,
}
