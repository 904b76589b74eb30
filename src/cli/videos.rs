//! The videos of a run, and how they are carried: many at once, each begun in its order.

use std::cell::RefCell;

use futures::StreamExt;
use futures::future::ready;
use futures::stream::{self, LocalBoxStream};

use super::Failure;
use super::exit::Exit;
use super::item::{Item, fairly};
use super::render::Screen;
use super::signals::Signals;

/// Videos that are under way at once; each account's wait for their turns among them.
const AT_ONCE: usize = 256;

/// The videos of a run.
pub(super) enum Videos<'a> {
    All(Vec<Item>),
    /// Those that come one after the other. One that is wrong ends the run.
    Each(LocalBoxStream<'a, Result<Item, Failure>>),
}

impl Videos<'_> {
    /// Carries all videos, each begun in its order; the exit code of all.
    pub(super) async fn each(
        self,
        screen: &Screen,
        signals: &Signals,
        carry: impl AsyncFn(Item, Signals) -> Exit,
    ) -> Result<Exit, Failure> {
        let items = match self {
            Self::All(items) => {
                let items = fairly(items);
                screen.expect(&items);
                stream::iter(items).map(Ok).boxed_local()
            }
            Self::Each(items) => {
                let mut signals = signals.clone();
                let stopped = async move { signals.first().await };
                items.take_until(Box::pin(stopped)).boxed_local()
            }
        };
        let broken = RefCell::new(None);
        let good = items.scan((), |(), item| {
            ready(
                item.map_err(|failure| *broken.borrow_mut() = Some(failure))
                    .ok(),
            )
        });
        let exits = good
            .map(|item| carry(item, signals.clone()))
            .buffer_unordered(AT_ONCE);
        let exit = exits.fold(Exit::DELIVERED, |exit, one| ready(exit.over(one)));
        let exit = exit.await;
        match broken.into_inner() {
            Some(failure) => Err(failure),
            None => Ok(exit.over(signals.came().unwrap_or(exit))),
        }
    }

    /// Whether the video comes from standard input.
    pub(super) fn is_piped(&self) -> bool {
        matches!(self, Self::All(items) if items.iter().any(Item::is_piped))
    }

    /// The next video.
    pub(super) async fn next(&mut self) -> Option<Result<Item, Failure>> {
        match self {
            Self::All(items) if items.is_empty() => None,
            Self::All(items) => Some(Ok(items.remove(0))),
            Self::Each(items) => items.next().await,
        }
    }

    /// What another process is shown that waits for this run.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::All(items) => {
                let names = items.iter().take(SHOWN).map(Item::name);
                let names = names.collect::<Vec<_>>().join(" ");
                match items.len().saturating_sub(SHOWN) {
                    0 => names,
                    more => format!("{names} and {more} more"),
                }
            }
            Self::Each(_) => "lines of a manifest".to_owned(),
        }
    }
}

/// Videos that another process is shown by their names.
const SHOWN: usize = 3;
