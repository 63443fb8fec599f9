//! Calls and their results: each call has one result before the conversation goes on. And a choice among tools names
//! tools that there are.
//!
//! Every provider refuses a conversation that breaks this, each in words of its own; a client of another format
//! could make nothing of them. Must not change the order: it says what is wrong, and where.

use super::Invalid;
use super::ir::{Request, Role, Text, ToolChoice, Turn};
use crate::base::wire_format::WireFormat;

/// Checks that calls and results answer one another. `format` is the client's, for the place in the message.
///
/// # Errors
/// Names the message: a result without its call, a call that is answered twice or, when the conversation goes on,
/// not at all; or a tool that is chosen and does not exist.
pub fn check(request: &Request<'_>, format: WireFormat) -> Result<(), Invalid> {
    check_choice(request)?;
    let mut step = Step::default();
    for turn in &request.turns {
        for id in results(turn) {
            step.answer(id).map_err(|message| Invalid::request(place(turn, format), message))?;
        }
        // The calls of one step may stand in several items, so that an assistant's turn ends a step only once
        // results have begun.
        let goes_on = match turn.role {
            Role::User => !is_only_results(turn),
            Role::Assistant => step.has_results,
            Role::System | Role::Developer | Role::Tool => false,
        };
        if goes_on {
            step.end().map_err(|message| Invalid::request(place(turn, format), message))?;
        }
        if turn.role == Role::Assistant {
            step.open.extend(turn.parts.iter().filter_map(|part| part.kind.as_call()).map(|call| &call.id));
        }
    }
    let Some(last) = request.turns.last() else { return Ok(()) };
    step.end().map_err(|message| Invalid::request(place(last, format), message))
}

/// A choice without any tools means nothing, and is left out everywhere.
fn check_choice(request: &Request<'_>) -> Result<(), Invalid> {
    let Request { tools, tool_choice, .. } = request;
    let names: &[Text<'_>] = match tool_choice {
        None | Some(ToolChoice::Auto | ToolChoice::None | ToolChoice::Required) => &[],
        Some(ToolChoice::Named(name)) => std::slice::from_ref(name),
        Some(ToolChoice::Allowed { names, .. }) => names,
    };
    match names.iter().find(|name| !tools.iter().any(|tool| tool.name == **name)) {
        Some(unknown) if !tools.is_empty() => {
            let message = format!("the tool \"{}\" is not among the tools; add it, or choose another", shown(unknown));
            Err(Invalid::request("tool_choice", message))
        }
        Some(_) | None => Ok(()),
    }
}

/// The calls of one turn of the assistant and what has come back of them.
#[derive(Default)]
struct Step<'r, 'a> {
    open: Vec<&'r Text<'a>>,
    has_results: bool,
}

impl<'r, 'a> Step<'r, 'a> {
    fn answer(&mut self, id: &'r Text<'a>) -> Result<(), String> {
        let place = self.open.iter().position(|call| *call == id).ok_or_else(|| {
            format!("the result for \"{}\" answers no open call; send it right after the turn that called", shown(id))
        })?;
        self.open.swap_remove(place);
        self.has_results = true;
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        self.has_results = false;
        match self.open.first() {
            Some(id) => Err(format!("the call \"{}\" has no result; send one for every call", shown(id))),
            None => Ok(()),
        }
    }
}

fn results<'r, 'a>(turn: &'r Turn<'a>) -> impl Iterator<Item = &'r Text<'a>> {
    turn.parts.iter().filter_map(|part| part.kind.as_result()).map(|result| &result.id)
}

fn is_only_results(turn: &Turn<'_>) -> bool {
    turn.parts.iter().all(|part| part.kind.as_result().is_some())
}

fn place(turn: &Turn<'_>, format: WireFormat) -> String {
    let list = if format == WireFormat::OpenaiResponses { "input" } else { "messages" };
    format!("{list}[{}]", turn.at)
}

fn shown(id: &Text<'_>) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    id.to_plain().chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::ir::{Call, CallKind, Part, PartKind, Tool, ToolKind, ToolResult};

    /// `u`: the user says something; `a1,2`: the assistant calls 1 and 2; `a`: it says something; `r1`: a result.
    fn conversation(script: &str) -> Request<'static> {
        let turns = script.split(' ').enumerate().map(|(at, word)| {
            let (who, ids) = word.split_at(1);
            let ids = ids.split(',').filter(|id| !id.is_empty()).map(|id| Text::plain(id.to_owned()));
            let (role, parts): (Role, Vec<PartKind<'static>>) = match who {
                "a" => (Role::Assistant, ids.map(call).collect()),
                "r" => (Role::Tool, ids.map(result).collect()),
                _ => (Role::User, vec![PartKind::Text(Text::plain("hi"))]),
            };
            Turn { role, parts: parts.into_iter().map(Part::from).collect(), name: None, at }
        });
        Request { turns: turns.collect(), ..Request::default() }
    }

    fn call(id: Text<'static>) -> PartKind<'static> {
        PartKind::Call(Call { id, name: Text::plain("f"), kind: CallKind::Function, arguments: "{}".into() })
    }

    fn result(id: Text<'static>) -> PartKind<'static> {
        PartKind::Result(ToolResult { id, parts: Vec::new(), is_error: false, kind: CallKind::Function })
    }

    #[test]
    fn what_is_chosen_is_there() {
        let tool = |name| Tool {
            kind: ToolKind::Function { schema: None, strict: None },
            name: Text::plain(name),
            description: None,
            cache: None,
            at: 0,
        };
        let named = || Some(ToolChoice::Named(Text::plain("f")));
        let allowed = Some(ToolChoice::Allowed { is_required: false, names: vec![Text::plain("g"), Text::plain("f")] });
        for (tools, tool_choice, is_fine) in [
            (vec![tool("f")], named(), true),
            (vec![tool("g")], named(), false),
            (vec![tool("g")], allowed, false),
            (Vec::new(), named(), true),
            (vec![tool("g")], Some(ToolChoice::Required), true),
        ] {
            let request = Request { tools, tool_choice, ..conversation("u") };
            let found = check(&request, WireFormat::OpenaiChat).err().map(|invalid| invalid.param);
            assert_eq!(found, (!is_fine).then(|| "tool_choice".to_owned()));
        }
    }

    #[test]
    fn each_call_has_one_result_before_the_conversation_goes_on() {
        for (script, place) in [
            ("u a u a", None),
            ("u a1,2 r2 r1 u", None),
            ("u a1 a2 r1 r2 a", None),
            ("u a1 r1 a1 r1", None),
            ("u r1", Some("messages[1]")),
            ("u a1 r1 r1", Some("messages[3]")),
            ("u a1 r2", Some("messages[2]")),
            ("u a1 u", Some("messages[2]")),
            ("u a1,2 r1 a", Some("messages[3]")),
            ("u a1", Some("messages[1]")),
        ] {
            let found = check(&conversation(script), WireFormat::OpenaiChat).err().map(|invalid| invalid.param);
            assert_eq!(found.as_deref(), place, "{script}");
        }
    }
}
