//! A request as it came in: its head read, and the name that it asks for looked up. The first half of an exchange.
//!
//! Must not choose a lane, `auto` does, nor a target, `plan` does.

use std::sync::Arc;

use bytes::Bytes;

use super::snapshot::Snapshot;
use super::{Arrival, Refused, counted};
use crate::base::refusal::{Refusal, RefusalKind};
use crate::catalog::Route;
use crate::wire::head::{self, Head, HeadError};
use crate::wire::multipart::{Form, FormError};

/// A request that makes sense so far.
#[derive(Debug)]
pub struct Request {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) arrival: Arrival,
    pub(super) body: Bytes,
    /// Empty where the body is a form.
    pub(super) head: Head,
    pub(super) form: Option<Box<Form>>,
    /// Where the name leads.
    pub(super) route: Route,
    /// What the name stands for.
    pub(super) requested: Arc<str>,
    /// The name that the client sent.
    pub(super) original: Arc<str>,
}

impl Request {
    /// Reads what came in.
    ///
    /// # Errors
    /// The refusal for a body that makes no sense, or a model that is not known.
    pub fn read(snapshot: Arc<Snapshot>, arrival: Arrival, body: Bytes) -> Result<Self, Box<Refused>> {
        let (head, form) = read(&arrival, &body)?;
        let model = form.as_ref().map_or_else(|| head.model(&body), |form| form.model(&body));
        let catalog = &snapshot.catalog;
        let route = catalog.resolve(&model).ok_or_else(|| unknown_model(&model))?;
        let requested = Arc::clone(catalog.chain(route).map_or(catalog.auto_name(), |chain| &chain.name));
        let original: Arc<str> = if *requested == *model { Arc::clone(&requested) } else { Arc::from(&*model) };
        Ok(Self { snapshot, arrival, body, head, form, route, requested, original })
    }

    /// Whether the choice of a lane is left to the router.
    pub fn is_auto(&self) -> bool {
        self.route == Route::Auto
    }
}

/// The head of a JSON body, or the parts of a form.
fn read(arrival: &Arrival, body: &Bytes) -> Result<(Head, Option<Box<Form>>), Refusal> {
    let (head, form) = if arrival.format.is_form() {
        let form = Form::scan(&arrival.media_type, body).map_err(|error| unreadable_form(&error))?;
        (Head::default(), Some(Box::new(form)))
    } else {
        (head::scan(body).map_err(|error| unreadable(&error))?, None)
    };
    counted::check_whole(arrival.format, &head, form.as_deref(), body)?;
    Ok((head, form))
}

fn unreadable(error: &HeadError) -> Refusal {
    let refusal = Refusal::new(RefusalKind::InvalidRequest, error.to_string());
    match error.key() {
        Some(key) => refusal.with_param(key),
        None => refusal,
    }
}

fn unreadable_form(error: &FormError) -> Refusal {
    let refusal = Refusal::new(RefusalKind::InvalidRequest, error.to_string());
    match error.key() {
        Some(key) => refusal.with_param(key.to_owned()),
        None => refusal,
    }
}

/// The refusal of a name that nobody knows.
pub(super) fn unknown_model(model: &str) -> Refusal {
    const SHOWN_CHARS_MAX: usize = 80;
    let shown: String = model.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect();
    let message =
        format!("the model \"{shown}\" does not exist; GET /v1/models lists those that do, or send \"flux-auto\"");
    // What a client calls a model may be anything; the log needs no more than that it was unknown.
    Refusal::new(RefusalKind::ModelNotFound, message).with_param("model").with_detail("unknown model")
}
