//! A request as it came in: its head read, and the name that it asks for looked up. The first half of an exchange.
//!
//! Must not choose a lane, `auto` does, nor a target, `plan` does.

use std::sync::Arc;

use bytes::Bytes;

use super::prefer::preference;
use super::snapshot::Snapshot;
use super::{Arrival, Refused, counted};
use crate::base::preference::Preference;
use crate::base::refusal::{Refusal, RefusalKind};
use crate::base::task::TaskType;
use crate::catalog::Route;
use crate::wire::head::{self, Head, HeadError};
use crate::wire::multipart::{Form, FormError};
use crate::wire::{leap, splice};

/// A request that makes sense so far.
#[derive(Debug)]
pub struct Request {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) arrival: Arrival,
    pub(super) body: Bytes,
    /// Empty where the body is a form.
    pub(super) head: Head,
    pub(super) form: Option<Box<Form>>,
    /// What the client says that it is for.
    pub(super) task: Option<TaskType>,
    /// What it prefers among providers.
    pub(super) preference: Option<Box<Preference>>,
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
        let said = head.provider.clone().filter(|_| arrival.format.is_conversation());
        let spelt = said.as_ref().map(|member| body.get(member.value.clone()).unwrap_or_default());
        let preference = preference(&arrival.asked, spelt, &snapshot.catalog, arrival.key.region())?.map(Box::new);
        let (head, body) = if said.is_some() { without_provider(&head, &body)? } else { (head, body) };
        let (task, head, body) = match &head.task_type {
            Some(member) if arrival.format.is_conversation() => {
                let task = task(body.get(member.value.clone()).unwrap_or_default())?;
                without_task(task, &head, &body, snapshot.catalog.auto_name())?
            }
            Some(_) | None => (None, head, body),
        };
        if form.is_none() && head.model.is_empty() {
            return Err(unreadable(&HeadError::Missing("model")).into());
        }
        let model = form.as_ref().map_or_else(|| head.model(&body), |form| form.model(&body));
        let catalog = &snapshot.catalog;
        let route = catalog.resolve(&model).ok_or_else(|| unknown_model(&model))?;
        let requested = Arc::clone(catalog.chain(route).map_or(catalog.auto_name(), |chain| &chain.name));
        let original: Arc<str> = if *requested == *model { Arc::clone(&requested) } else { Arc::from(&*model) };
        Ok(Self { snapshot, arrival, body, head, form, task, preference, route, requested, original })
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

/// What a client says that its request is for.
pub(super) fn task(value: &[u8]) -> Result<Option<TaskType>, Refusal> {
    if value == b"null" {
        return Ok(None);
    }
    let name = leap::string_inside(value).and_then(leap::unescape);
    let task = name.and_then(|name| TaskType::by_name(&name));
    let names = || TaskType::NAMES.map(|(name, _)| name).join(", ");
    let refuse = || Refusal::new(RefusalKind::InvalidRequest, format!("task_type must be one of {}", names()));
    task.map(Some).ok_or_else(|| refuse().with_param("task_type"))
}

/// The request without what it prefers among providers, which is not for them.
fn without_provider(head: &Head, body: &Bytes) -> Result<(Head, Bytes), Refusal> {
    let body = splice::without_provider(body, head);
    let head = head::scan(&body).map_err(|error| unreadable(&error))?;
    Ok((head, body))
}

/// The request without the field, which no provider knows. A task and no model leaves the choice to the router.
fn without_task(
    task: Option<TaskType>,
    head: &Head,
    body: &Bytes,
    auto_name: &str,
) -> Result<(Option<TaskType>, Head, Bytes), Refusal> {
    if task.is_none() && head.model.is_empty() {
        return Err(unreadable(&HeadError::Missing("model")));
    }
    let body = splice::without_task(body, head, auto_name);
    let head = head::scan(&body).map_err(|error| unreadable(&error))?;
    Ok((task, head, body))
}

pub(super) fn unreadable(error: &HeadError) -> Refusal {
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
