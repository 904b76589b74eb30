//! The service's rules as a server applies them: the plan at init, the headers of a PUT, the fields of a post.
//!
//! Written from the documents alone; the engine has its own reading of the same pages.

mod number;
mod plan;
mod post;
mod put;

pub(crate) use plan::{Plan, judge_plan, legal_under_both_readings};
pub(crate) use post::{PRIVACY_LEVELS, judge_photo_post, judge_video_post};
pub(crate) use put::{Head, Judgement, Progress, judge_put};
