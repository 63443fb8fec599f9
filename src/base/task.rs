//! What a client says its request is for: the names that Conflux's clients send as `task_type`.
//!
//! Must not know what follows: the rules of `flux-auto` say.

/// A kind of task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskType {
    /// Talk.
    SimpleChat,
    /// A shorter text of a longer one.
    Summarize,
    /// What stands in a text.
    Extract,
    /// Another language.
    Translate,
    /// A program.
    CodeGen,
    /// Calls of tools.
    ToolOrchestrate,
    /// A picture.
    ImageGen,
    /// Work on files.
    FileOps,
    /// Work on web pages.
    WebBrowse,
    /// A story, a poem, a name.
    Creative,
    /// A hard question.
    DeepReasoning,
    /// A long way of many steps.
    AgenticComplex,
}

impl TaskType {
    /// All with the names that clients use.
    pub const NAMES: [(&'static str, Self); 12] = [
        ("simple_chat", Self::SimpleChat),
        ("summarize", Self::Summarize),
        ("extract", Self::Extract),
        ("translate", Self::Translate),
        ("code_gen", Self::CodeGen),
        ("tool_orchestrate", Self::ToolOrchestrate),
        ("image_gen", Self::ImageGen),
        ("file_ops", Self::FileOps),
        ("web_browse", Self::WebBrowse),
        ("creative", Self::Creative),
        ("deep_reasoning", Self::DeepReasoning),
        ("agentic_complex", Self::AgenticComplex),
    ];

    /// The kind of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, task)| *task)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, task)| *task == self).map_or("", |(name, _)| name)
    }
}
