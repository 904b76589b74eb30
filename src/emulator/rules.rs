//! The service's rules, judged as a server judges them: the plan at init, the headers of a PUT.
//!
//! Written from the documents alone; the engine has its own reading of the same pages.

mod plan;
mod put;

pub(crate) use plan::{Plan, judge_plan, legal_under_both_readings};
pub(crate) use put::{Head, Judgement, Progress, judge_put};
