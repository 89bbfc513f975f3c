//! What a check found, for people or for scripts. The names in JSON are documented
//! in `docs/configuration.md` and stay.

use std::fmt::Write as _;

use anyhow::bail;
use serde::Serialize;

use crate::cli::Output;
use crate::cli::printable;
use crate::defender::{ApiError, AuthError};

/// A step of a tenant's check, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    Configuration,
    SignInHost,
    ApiHost,
    Token,
    Definitions,
    History,
    Agents,
    DefinitionsSeen,
    Cost,
    Budget,
}

impl Step {
    pub(super) const ALL: [Self; 10] = [
        Self::Configuration,
        Self::SignInHost,
        Self::ApiHost,
        Self::Token,
        Self::Definitions,
        Self::History,
        Self::Agents,
        Self::DefinitionsSeen,
        Self::Cost,
        Self::Budget,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::SignInHost => "sign-in host",
            Self::ApiHost => "API host",
            Self::Token => "token",
            Self::Definitions => "definitions",
            Self::History => "history",
            Self::Agents => "agents",
            Self::DefinitionsSeen => "definitions seen",
            Self::Cost => "cost",
            Self::Budget => "budget",
        }
    }
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Ok,
    /// It works, but is likely not meant, or not for long.
    Warning,
    Failed,
    /// It could not be taken, or need not.
    Skipped,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) step: Step,
    pub(super) outcome: Outcome,
    /// The class of a failure, as in the labels of the metrics.
    reason: Option<&'static str>,
    /// What is right or wrong.
    text: String,
    /// The one thing to do.
    advice: Option<&'static str>,
}

impl Finding {
    fn new(step: Step, outcome: Outcome, text: impl Into<String>) -> Self {
        Self {
            step,
            outcome,
            reason: None,
            text: text.into(),
            advice: None,
        }
    }

    pub(super) fn ok(step: Step, text: impl Into<String>) -> Self {
        Self::new(step, Outcome::Ok, text)
    }

    pub(super) fn skipped(step: Step, why: impl Into<String>) -> Self {
        Self::new(step, Outcome::Skipped, why)
    }

    pub(super) fn warning(step: Step, text: impl Into<String>, advice: &'static str) -> Self {
        Self {
            advice: Some(advice),
            ..Self::new(step, Outcome::Warning, text)
        }
    }

    /// A call that was refused for what it asked about: whoever may not ask hears another answer.
    pub(super) fn of_ids(step: Step, error: &ApiError) -> Self {
        Self::warning(step, error.to_string(), error.advice())
    }

    pub(super) fn failed(step: Step, text: impl Into<String>, advice: &'static str) -> Self {
        Self {
            advice: Some(advice),
            ..Self::new(step, Outcome::Failed, text)
        }
    }

    pub(super) fn of_auth(step: Step, error: &AuthError) -> Self {
        Self {
            reason: Some(error.reason.as_label()),
            ..Self::failed(step, &error.text, error.advice)
        }
    }

    pub(super) fn of_api(step: Step, error: &ApiError) -> Self {
        Self {
            reason: Some(error.reason().as_label()),
            ..Self::failed(step, error.to_string(), error.advice())
        }
    }

    /// The same, with other advice.
    pub(super) fn with_advice(self, advice: &'static str) -> Self {
        Self {
            advice: Some(advice),
            ..self
        }
    }

    /// The same, naming the host, with other advice.
    pub(super) fn about(self, origin: &str, advice: &'static str) -> Self {
        Self {
            text: format!("{origin}: {}", self.text),
            advice: Some(advice),
            ..self
        }
    }
}

/// What was found of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Checked {
    pub(super) tenant: String,
    pub(super) ok: bool,
    /// Calls that were sent to the API.
    pub(super) calls: usize,
    /// One a step, in order.
    pub(super) steps: Vec<Finding>,
}

impl Checked {
    fn write(&self) -> String {
        let mut text = format!("{}\n", self.tenant);
        for finding in &self.steps {
            let (outcome, step) = (finding.outcome.as_str(), finding.step.as_str());
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {outcome:<8} {step:<17} {}", finding.text);
            if let Some(advice) = finding.advice {
                let _ = writeln!(text, "{:<29}to do: {advice}", "");
            }
        }
        text
    }
}

/// All that is reported.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(skip)]
    output: Output,
    ok: bool,
    /// What keeps the configuration from being used.
    mistakes: Vec<String>,
    notes: Vec<String>,
    tenants: Vec<Checked>,
}

impl Report {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            ok: true,
            mistakes: Vec::new(),
            notes: Vec::new(),
            tenants: Vec::new(),
        }
    }

    /// The configuration cannot be used.
    pub(super) fn mistakes(&mut self, mistakes: Vec<String>) {
        self.ok = false;
        self.mistakes = mistakes;
    }

    /// Something that concerns more than one tenant; people read it at once.
    pub(super) fn note(&mut self, note: String) -> anyhow::Result<()> {
        self.say(&format!("{note}\n"))?;
        self.notes.push(note);
        Ok(())
    }

    /// A tenant's check; people read it at once.
    pub(super) fn tenant(&mut self, checked: Checked) -> anyhow::Result<()> {
        self.say(&checked.write())?;
        self.ok &= checked.ok;
        self.tenants.push(checked);
        Ok(())
    }

    /// The end; an error if anything failed.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        if self.output == Output::Json {
            let json = serde_json::to_string_pretty(&self)?;
            let lines: Vec<_> = json.lines().map(printable::json).collect();
            super::super::print(&format!("{}\n", lines.join("\n")))?;
        }
        let mistakes = self.mistakes.join("\n");
        if !mistakes.is_empty() {
            bail!(mistakes);
        }
        let all = self.tenants.len();
        match self.tenants.iter().filter(|checked| !checked.ok).count() {
            0 => self.say(&format!("tenants without a failure: {all} of {all}\n")),
            failed => bail!("tenants with a failure: {failed} of {all}"),
        }
    }

    fn say(&self, text: &str) -> anyhow::Result<()> {
        match self.output {
            Output::Text => super::super::print(text),
            Output::Json => Ok(()),
        }
    }
}
