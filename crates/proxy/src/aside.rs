//! Steps that few requests take, kept out of the way of all others.
//!
//! A connection's state has room for the largest step of a request, and its code is one function. [`aside`] puts the state
//! of a step in a box of its own, for as long as it lasts, and its code in a function of its own: what every request runs
//! through stays small enough for the processor's caches.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// A step that few requests take.
#[derive(Debug)]
pub(crate) struct Aside<F>(Pin<Box<F>>);

/// Puts a step aside.
pub(crate) fn aside<F: Future>(step: F) -> Aside<F> {
    Aside(Box::pin(step))
}

impl<F: Future> Future for Aside<F> {
    type Output = F::Output;

    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(cx)
    }
}
