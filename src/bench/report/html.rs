//! x
use super::Report;
/// x
pub fn render(_: &[Report]) -> String { String::new() }
