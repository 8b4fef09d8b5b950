//! An authoriser that can be changed for another while it is in use, so that a session that began
//! under the old keys can refresh with a token of the new ones.
//!
//! # State
//! The one in use now.
//!
//! # Who may touch what
//! Whoever reads the configuration again stores; whoever checks a token loads.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | the authoriser | a reload | anybody | `ArcSwap` | a check sees the old one or the new one, whole |
//!
//! # Races considered
//! - *A check that began under the old one*: it ends under it. A token that was good a moment ago lets
//!   its session in, as it would have a moment before.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::base::access::{Answering, Authoriser, Grant, Refusal};

/// See the module.
#[derive(Debug)]
pub struct Rotating(ArcSwap<Box<dyn Authoriser>>);

impl Rotating {
    /// Beginning with this one.
    pub fn new(first: Box<dyn Authoriser>) -> Self {
        Self(ArcSwap::from_pointee(first))
    }

    /// From now on this one.
    pub fn set(&self, next: Box<dyn Authoriser>) {
        self.0.store(Arc::new(next));
    }
}

impl Authoriser for Rotating {
    fn authorise(&self, token: Option<&str>, now: SystemTime) -> Result<Grant, Refusal> {
        self.0.load().authorise(token, now)
    }

    fn refetched(&self) -> Answering<bool> {
        self.0.load().refetched()
    }

    fn takes_tokens(&self) -> bool {
        self.0.load().takes_tokens()
    }

    fn is_ready(&self, now: SystemTime) -> bool {
        self.0.load().is_ready(now)
    }
}
