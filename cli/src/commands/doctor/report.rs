//! What the doctor found: a line for each step as it comes, then what stands in the way and what to do.

use serde_json::{Value, json};

use crate::output::Output;

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// As it should be.
    Good,
    /// Worth knowing; nothing fails for it.
    Note,
    /// It stands in the way.
    Bad,
    /// It could not be looked at.
    Unknown,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Bad => "problem",
            Self::Unknown => "unknown",
        }
    }
}

/// What one step came to.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    /// One or two words, the same in every run.
    pub(super) step: &'static str,
    pub(super) mark: Mark,
    /// A sentence without its full stop.
    pub(super) text: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
    /// Figures for machines: an object, or null.
    pub(super) data: Value,
}

impl Finding {
    fn new(step: &'static str, mark: Mark, text: impl Into<String>) -> Self {
        Self {
            step,
            mark,
            text: text.into(),
            advice: None,
            data: Value::Null,
        }
    }

    pub(super) fn good(step: &'static str, text: impl Into<String>) -> Self {
        Self::new(step, Mark::Good, text)
    }

    pub(super) fn note(step: &'static str, text: impl Into<String>) -> Self {
        Self::new(step, Mark::Note, text)
    }

    pub(super) fn unknown(step: &'static str, text: impl Into<String>) -> Self {
        Self::new(step, Mark::Unknown, text)
    }

    pub(super) fn bad(step: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(step, Mark::Bad, text).advise(advice)
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(super) fn with(mut self, data: Value) -> Self {
        self.data = data;
        self
    }

    fn data(&self) -> Value {
        let mut data = json!({ "step": self.step, "status": self.mark.word(), "text": self.text });
        if let Some(object) = data.as_object_mut() {
            if let Some(advice) = &self.advice {
                object.insert("advice".to_owned(), json!(advice));
            }
            object.extend(self.data.as_object().cloned().unwrap_or_default());
        }
        data
    }
}

/// All that was found so far.
#[derive(Debug)]
pub(super) struct Report<'a> {
    output: &'a Output,
    problems: Vec<Finding>,
}

impl<'a> Report<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Self {
            output,
            problems: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.output.tag("check", finding.data());
        self.output.result(&format!(
            "{:<8} {:<10} {}",
            finding.mark.word(),
            finding.step,
            finding.text
        ));
        if finding.mark == Mark::Note
            && let Some(advice) = &finding.advice
        {
            self.output.result(&format!("{:<19} {advice}", ""));
        }
        if finding.mark == Mark::Bad {
            self.problems.push(finding);
        }
    }

    /// Says what stands in the way.
    ///
    /// # Errors
    /// If anything does: how many things.
    pub(super) fn conclude(self) -> anyhow::Result<()> {
        let problems: Vec<Value> = self.problems.iter().map(Finding::data).collect();
        if problems.is_empty() {
            self.output.result("Nothing stands in the way.");
            self.output.done(json!({ "problems": problems }));
            return Ok(());
        }
        self.output.result("What stands in the way:");
        for (number, finding) in self.problems.iter().enumerate() {
            self.output
                .result(&format!("{}. {}: {}", number + 1, finding.step, finding.text));
            if let Some(advice) = &finding.advice {
                self.output.result(&format!("   -> {advice}"));
            }
        }
        self.output.tag("problems", json!(problems));
        match self.problems.len() {
            1 => anyhow::bail!("1 thing stands in the way of updates"),
            many => anyhow::bail!("{many} things stand in the way of updates"),
        }
    }
}
